"""Waits until a frame is due."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock and how to wait; both in s, the clock is monotonic."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until(self, due: float, timeout_s: float) -> bool:
        """Wait until a time, but no longer than `timeout_s`.

        Args:
            due: s, on the clock.
            timeout_s: s, the longest wait.

        Returns:
            Whether the time has come.
        """
        wait = due - self.clock()
        if wait <= 0:
            return True
        self.sleep(max(min(wait, timeout_s), 0.0))
        return wait <= timeout_s
