"""State that survives restarts, in the folder that systemd gives the service (systemd.exec(5)).

A daemon started by hand has no such folder and keeps no state.
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
"""File that exists while the device is paused."""
BASELINE = "baseline.npz"
"""File with the neutral baseline."""


def path() -> Path | None:
    """The state directory; None: the daemon has none."""
    # StateDirectory= may name several, separated by colons.
    name = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(name) if name else None


def load_paused() -> bool:
    """Whether the device was paused when it last ran."""
    folder = path()
    return folder is not None and (folder / PAUSED).exists()


def save_paused(*, paused: bool) -> None:
    """Remember whether the device is paused. If that fails, a warning says that a restart will resume."""
    folder = path()
    if folder is None:
        return
    try:
        if paused:
            files.write_text(folder / PAUSED, "")
        else:
            with contextlib.suppress(FileNotFoundError):
                (folder / PAUSED).unlink()
                files.sync(folder)
    except OSError as error:
        log.warning("can't write to %s (%s): the pause won't outlast a restart", folder, error.strerror)


def load_baseline() -> Baseline | None:
    """The neutral baseline measured last; None: none, or an unreadable one, which a warning names and which stays."""
    folder = path()
    if folder is None:
        return None
    file = folder / BASELINE
    try:
        return Baseline.load(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("can't read %s (%s): no neutral baseline is in use", file, error.strerror)
    except ConfigError as error:
        log.warning("%s: %s", file, error)
    return None


def save_baseline(baseline: Baseline | None) -> bool:
    """Remember a neutral baseline; None: forget it.

    Returns:
        False if there is no state directory.

    Raises:
        OutputError: the directory can't be written to; it is unchanged.
    """
    folder = path()
    if folder is None:
        return False
    file = folder / BASELINE
    try:
        if baseline is not None:
            # Independent of the umask: the baseline of a face is private.
            files.write_bytes(file, baseline.dump(), 0o600)
        elif file.exists():
            file.unlink()
            files.sync(folder)
    except OSError as error:
        raise OutputError(f"can't write to {folder} ({error.strerror})") from error
    return True
