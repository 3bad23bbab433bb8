"""What a device remembers over restarts, in the folder that systemd gives the service.

Started by hand there is no such folder, and nothing is remembered: whoever starts it means it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge import files
from edge.classifier.baseline import Baseline
from edge.errors import ConfigError, OutputError

log = logging.getLogger(__name__)

PAUSED = "paused"
BASELINE = "baseline.npz"


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
            files.write_text(home / PAUSED, "")
        else:
            with contextlib.suppress(FileNotFoundError):
                (home / PAUSED).unlink()
                files.sync(home)
    except OSError as error:
        log.warning("%s: cannot be written (%s), so a restart will forget the pause", home, error.strerror)


def baseline() -> Baseline | None:
    """The neutral face that was measured last. What cannot be read is told, left, and taken for none."""
    home = folder()
    if home is None:
        return None
    path = home / BASELINE
    try:
        return Baseline.load(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read (%s), so nobody's neutral face is known", path, error.strerror)
    except ConfigError as error:
        log.warning("%s: %s", path, error)
    return None


def keep_baseline(baseline: Baseline | None) -> bool:
    """Remember a neutral face, or forget it.

    Returns:
        False: there is no folder to keep it in.

    Raises:
        OutputError: the folder cannot be written; it is as it was.
    """
    home = folder()
    if home is None:
        return False
    path = home / BASELINE
    try:
        if baseline is not None:
            # A face is nobody else's business, whatever the umask is.
            files.write_bytes(path, baseline.dump(), 0o600)
        elif path.exists():
            path.unlink()
            files.sync(home)
    except OSError as error:
        raise OutputError(f"{home} cannot be written ({error.strerror})") from error
    return True
