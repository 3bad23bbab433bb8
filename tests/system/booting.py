"""Waiting for a machine that boots: a container or a virtual Pi."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def becomes_ready(
    process: subprocess.Popen[Any], ready: Callable[[], bool], *, timeout_s: float, pause_s: float
) -> bool:
    """Whether a machine gets ready before its process ends and before the time is up.

    Args:
        process: runs the machine.
        ready: asks the machine.
        timeout_s: maximum time, s.
        pause_s: between two questions, s.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return True
        time.sleep(pause_s)
    return False
