"""The folder of a device's bundles: names, links, counter and lock.

    ID/         a bundle, with the face mesh models in its folder mesh/
    current     link to the bundle in use
    previous    link to the one before
    shadow      link to one that runs beside the one in use and acts on nothing
    landmarks   link to one that reads landmarks alone, for recordings
    released    name of the bundle that the release in use brought; if `current` differs, a user has chosen it
    counter     the highest counter of all bundles that were ever in use

A bundle is completed under a hidden name first, and each link changes by one rename. So `current` points to a complete
bundle even after a kill or a power cut, and the next change removes what an interrupted one left.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
from edge.bundle import bundle as bundles
from edge.bundle.locate import CURRENT, LANDMARKS, SHADOW, stored
from edge.bundle.signature import MESH
from edge.errors import ConfigError, OutputError, PermissionRefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREVIOUS, RELEASED, COUNTER = "previous", "released", "counter"
ROLES = (CURRENT, PREVIOUS, SHADOW, LANDMARKS)
"""Links that say what a bundle is used for."""
RESERVED = {*ROLES, RELEASED, COUNTER}
"""Names that no bundle can have."""
KEEP = 3
"""Number of bundles that are kept: the newest, and in addition those that a link leads to."""

_SCRATCH = ".install-"


class BundleFolder:
    """Changes the folder. One process at a time does."""

    def __init__(self, root: Path) -> None:
        """Remember where it is; it is created by the first change."""
        self.root = root

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock, and remove what an interrupted change left.

        Raises:
            UnavailableError: another process holds it.
            PermissionRefusedError, OutputError: the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise UnavailableError(
                        f"{self.root}: another process is installing a model bundle; wait until it has finished"
                    ) from error
                for left in self.root.glob(f"{_SCRATCH}*"):
                    shutil.rmtree(left)
                yield
        except PermissionError as error:
            raise PermissionRefusedError(f"{self.root}: this user may not change it; use sudo") from error
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.root}: cannot be written ({reason}); the bundle in use is unchanged") from error

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new hidden folder, to be filled and then put in place; it is removed at the end."""
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def target(self, link: str) -> str:
        """Name of the bundle that a link points to; empty: the link does not exist.

        Raises:
            ConfigError: it is something else than a link.
        """
        try:
            return str((self.root / link).readlink())
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigError(f"{self.root / link}: is not a link to a bundle; move it away") from error

    def names(self) -> list[str]:
        """Names of the bundles."""
        return [folder.name for folder in stored(self.root)]

    def holds(self, folder: Path, name: str) -> bool:
        """Whether the bundle of that name is here with the same files. One without a face mesh got one when it came."""
        return files.same(folder, self.root / name, but="" if (folder / MESH).exists() else MESH)

    def put(self, scratch: Path, name: str) -> None:
        """Give a bundle that is complete its name, unless the same is here; another one of that name is removed."""
        if files.same(scratch, self.root / name):
            return
        files.sync_tree(scratch)
        if (self.root / name).exists():  # signed again, or damaged
            files.swap_directories(scratch, self.root / name)
        else:
            scratch.rename(self.root / name)
        files.sync(self.root)

    def link(self, link: str, name: str) -> None:
        """Let a link lead to a bundle."""
        if self.target(link) != name:
            files.replace_symlink(self.root / link, name)

    def switch(self, name: str) -> None:
        """Move `current`, and `previous` first, so that a kill in between doesn't lose the way back.

        A shadow that comes into use ends before, because nothing would be left to compare it with.
        """
        before = self.target(CURRENT)
        if name == self.target(SHADOW):
            self.unlink(SHADOW)
        if name != before:
            if before:
                self.link(PREVIOUS, before)
            self.link(CURRENT, name)

    def unlink(self, *links: str) -> None:
        """Let these links lead to no bundle."""
        for link in links:
            (self.root / link).unlink(missing_ok=True)
        files.sync(self.root)

    def remove(self, name: str) -> None:
        """Remove a bundle that no link leads to."""
        # Under a hidden name first: half a bundle must not look like one.
        shutil.rmtree((self.root / name).rename(self.root / f"{_SCRATCH}{name}"))

    def highest_counter(self) -> int:
        """The highest counter so far; if it was never written, that of the bundle in use.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self.root / COUNTER
        try:
            return int(path.read_text("ascii"))
        except FileNotFoundError:
            pass
        except ValueError as error:
            raise ConfigError(f"{path}: is damaged; remove it if you know that no bundle here is too old") from error
        return max(0, counter_of(self.root / CURRENT))

    def raise_counter(self, counter: int) -> None:
        """Write the highest counter, when a bundle is about to come into use."""
        highest = self.highest_counter()
        if counter > highest or not (self.root / COUNTER).exists():
            files.write_text(self.root / COUNTER, f"{max(counter, highest)}\n")

    def released(self) -> list[str]:
        """Names of the bundles that a release brought; more than one while it is being replaced."""
        try:
            return (self.root / RELEASED).read_text("ascii").split()
        except FileNotFoundError:
            return []

    def set_released(self, *names: str) -> None:
        """Write these names."""
        if self.released() != sorted({*names}):
            files.write_text(self.root / RELEASED, "".join(f"{name}\n" for name in sorted({*names})))

    def sweep(self) -> None:
        """Remove the oldest bundles, by their counters. A failure here does not fail the installation."""
        with contextlib.suppress(OSError):
            linked = {path.resolve() for path in self.root.iterdir() if path.is_symlink()}
            landmarks = (self.root / LANDMARKS).resolve()
            counters = {folder: counter_of(folder) for folder in stored(self.root) if folder.resolve() != landmarks}
            for folder in sorted(counters, key=lambda folder: -counters[folder])[KEEP:]:
                if folder.resolve() not in linked:
                    self.remove(folder.name)


def roles(folder: Path) -> list[str]:
    """The links beside a bundle that lead to it: `current`, `previous`, `shadow`, `landmarks`."""
    place = folder.resolve()
    links = [place.parent / name for name in ROLES]
    return [link.name for link in links if link.is_symlink() and link.resolve() == place]


def counter_of(folder: Path) -> int:
    """Counter of a bundle; -1: it is damaged."""
    try:
        return bundles.verified(folder).counter
    except ConfigError:
        return -1
