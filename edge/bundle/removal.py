"""Removes a model bundle that was installed on a device, and brings back the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.bundle import bundle as bundles
from edge.bundle import trial
from edge.bundle.folder import PREVIOUS, BundleFolder
from edge.bundle.locate import CURRENT, LANDMARKS, SHADOW
from edge.bundle.store import SWITCHED, listed, told
from edge.errors import NoInputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.bundle.signature import TrustedKeys


def uninstall(root: Path, keys: TrustedKeys | None = None, name: str = "") -> str:
    """Remove a bundle. If it is in use, the one before comes back; else that of the release, else the program's own.

    Args:
        root: the folder of the device's bundles, see `bundle.folder`.
        keys: of which one must have signed what comes back; None: no signature is needed.
        name: its id; empty: the bundle in use.

    Returns:
        One line that says what was done.

    Raises:
        NoInputError: it is not here.
        UsageError: it belongs to the release.
        ConfigError: the one before does not pass its checks, see `bundle.load`; nothing has changed.
        EdgeError: the folder cannot be written, or another process is changing it.
    """
    if not root.is_dir():
        if not name:
            return _NOTHING
        raise _missing(root, name, [])
    folder = BundleFolder(root)
    with folder.exclusive():
        names, current = folder.names(), folder.target(CURRENT)
        of_release = {*folder.released(), folder.target(LANDMARKS)}
        gone = name or current
        if not name and gone in {"", *of_release}:
            return _NOTHING
        if gone not in names:
            raise _missing(root, gone, names)
        if gone in of_release:
            raise UsageError(
                f"model bundle {gone} belongs to the release, which `sudo ./deploy/install.sh --uninstall` removes"
            )
        if gone == current:
            before = (folder.target(PREVIOUS), *folder.released())
            if back := next((each for each in before if each in names and each != gone), ""):
                bundles.verified(root / back, keys)
                trial.try_out(root / back)  # without a trial: it has worked here before
                folder.switch(back)
            else:
                folder.unlink(CURRENT)
        folder.unlink(*(link for link in (PREVIOUS, SHADOW) if folder.target(link) == gone))
        folder.remove(gone)
    now = folder.target(CURRENT) or "the one that comes with the program"
    return told(f"model bundle {gone} is removed from this machine; in use: {now}", SWITCHED, now, gone)


_NOTHING = "no model bundle of your own is in use on this machine: nothing to do"


def _missing(root: Path, name: str, names: list[str]) -> NoInputError:
    return NoInputError(f"{root}: there is no model bundle {name}; there are {listed(names)}")
