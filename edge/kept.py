"""What a device remembers over restarts, in the folder that systemd gives the service.

Started by hand there is no such folder, and nothing is remembered: whoever starts it means it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge import durable

log = logging.getLogger(__name__)

PAUSED = "paused"


def folder() -> Path | None:
    """Where it may be written (systemd.exec(5), StateDirectory=); None: nowhere."""
    # Of several, separated by colons, the first.
    name = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(name) if name else None


def paused() -> bool:
    """Whether the device was paused when it was last running."""
    home = folder()
    return home is not None and (home / PAUSED).exists()


def keep_paused(*, paused: bool) -> None:
    """Remember whether it is paused. What cannot be written is told, and forgotten at the next start."""
    home = folder()
    if home is None:
        return
    try:
        if paused:
            durable.write_text(home / PAUSED, "")
        else:
            with contextlib.suppress(FileNotFoundError):
                (home / PAUSED).unlink()
                durable.sync(home)
    except OSError as error:
        log.warning("%s: cannot be written (%s), so a restart will forget the pause", home, error.strerror)
