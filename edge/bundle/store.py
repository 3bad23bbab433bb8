"""The model bundles of a device: puts one there, tested, and switches to it by one rename, and back.

    ID/         a bundle, with the face mesh models in its folder mesh/
    current     the one in use, a link
    previous    the one before, a link
    shadow      one that only runs beside the one in use, a link
    counter     the highest counter of all that were ever installed: what is older comes back only on purpose

A bundle is made whole under a hidden name first. Whenever this process is killed, or the power fails, `current` leads
to a whole bundle, and what is left of the attempt is swept away by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import syslog
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
from edge.bundle import bundle as bundles
from edge.bundle import trial
from edge.bundle.locate import CURRENT, LANDMARKS, SHADOW, stored
from edge.bundle.signature import MESH, refused, verify_names
from edge.device import journal
from edge.errors import ConfigError, EdgeError, NoInputError, OutputError, PermissionRefusedError, UnavailableError
from edge.face_mesh import models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.bundle.manifest import Manifest
    from edge.bundle.signature import TrustedKeys

PREVIOUS, COUNTER = "previous", "counter"
KEPT = 3
"""Bundles that stay: the newest, and in any case those that a link leads to."""
SWITCHED = "5f6a1d0c5d0f4b0b9f2b0c7e3f1d9a64"
"""MESSAGE_ID, in the journal, of a bundle that was made the current one."""
SHADOWED = "d1f3c6b0a9e84c57b2f4f7d0c35e8a16"
"""MESSAGE_ID of one that was made the shadow, or is it no more."""

_LINKS = (CURRENT, PREVIOUS, SHADOW, LANDMARKS)
_SCRATCH = ".install-"


class BundleStore:
    """The folder of the bundles. One process at a time changes it."""

    def __init__(
        self, root: Path, keys: TrustedKeys | None = None, *, trial_s: float = trial.TRIAL_S, mesh: str = ""
    ) -> None:
        """Nothing is done yet.

        Args:
            root: the folder; made when something is installed.
            keys: of which one must have signed what is installed; None: no signature is needed.
            trial_s: s, how long a new bundle works on trial, see `edge.bundle.trial`; 0: not at all.
            mesh: folder of the face mesh models for that; empty: those of the bundle, else those fetched.
        """
        self._root = root
        self._keys = keys
        self._trial_s = trial_s
        self._mesh = mesh

    def install(self, source: Path, *, shadow: bool = False) -> str:
        """Copy a bundle, test the copy, and make it the current one, or the shadow; a line that says what was done.

        Raises:
            NoInputError: `source` is no folder.
            ConfigError: it is no bundle for this device, or older than one that was installed before, or too slow.
            EdgeError: the folder of the bundles cannot be written, or another process is at work there.
        """
        with self._alone(), self._scratch() as scratch:
            manifest = self._stage(source, scratch)
            name, before = manifest.id, self._target(CURRENT)
            if done := self._done(scratch, name, shadow=shadow):
                return done
            with _known_as(source, scratch):
                self._test(scratch, self._trial_s)
            if not shadow:
                # First of all: a power cut after the switch would leave the door open to what came before.
                self._note(manifest.counter)
            if not files.same(scratch, self._root / name):
                self._place(scratch, self._root / name)
            if shadow:
                files.replace_symlink(self._root / SHADOW, name)
            else:
                self._switch(name, before)
            with contextlib.suppress(OSError):  # too many bundles are no reason to call it failed
                self._sweep()
        if shadow:
            return _told(f"model bundle {name} is installed as the shadow of {before}", SHADOWED, name, before)
        if name == before:
            return _told(f"model bundle {name} is installed anew", SWITCHED, name, before)
        return _told(f"model bundle {name} is installed, after {before or 'none'}", SWITCHED, name, before)

    def check(self, source: Path, *, shadow: bool = False) -> str:
        """Put a bundle through the tests of `install` where it lies; a line that says what that would do.

        Raises:
            NoInputError, ConfigError: see `install`.
        """
        name, before = self._acceptable(source).id, self._target(CURRENT)
        if done := self._done(source, name, shadow=shadow):
            return done
        self._test(source, self._trial_s)
        if shadow:
            return f"would install model bundle {name} as the shadow of {before}"
        if name == before:
            return f"would install model bundle {name} anew"
        return f"would install model bundle {name}, after {before or 'none'}"

    def shadow_off(self) -> str:
        """Let no bundle run as a shadow; a line that says what was done.

        Raises:
            EdgeError: see `install`.
        """
        with self._alone():
            name = self._target(SHADOW)
            if not name:
                return "no model bundle runs as a shadow: nothing to do"
            self._end_shadow()
        return _told(f"model bundle {name} is no shadow any more", SHADOWED, name, self._target(CURRENT))

    def rollback(self, to: str = "") -> str:
        """Make a bundle that is still there the current one, whatever its counter; a line that says what was done.

        Args:
            to: its id; empty: the one before the current one.

        Raises:
            NoInputError: it is not there.
            ConfigError: it does not pass its checks, see `bundle.load`.
            EdgeError: see `install`.
        """
        with self._alone():
            name, before = to or self._target(PREVIOUS), self._target(CURRENT)
            names = [folder.name for folder in stored(self._root)]
            if name not in names:
                what = f"no model bundle {name}" if name else "none before the one in use"
                raise NoInputError(f"{self._root}: there is {what}; there are {', '.join(names) or 'none'}")
            if name == before:
                return f"model bundle {name} is in use: nothing to do"
            bundles.verified(self._root / name, self._keys)
            self._test(self._root / name, 0.0)  # it has worked here before
            self._note(_counter(self._root / name))  # if it was a shadow, it is new here
            self._switch(name, before)
        message = f"back to model bundle {name}, after {before or 'none'}, as asked for"
        return _told(message, SWITCHED, name, before)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise UnavailableError(f"{self._root}: another installation goes on; wait for its end") from error
                yield
        except PermissionError as error:
            raise PermissionRefusedError(f"{self._root}: may not be changed by this user; use sudo") from error
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._root}: cannot be written ({reason}); the bundle in use is as it was") from error

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A new hidden folder, which is gone afterwards, with all that an earlier attempt has left."""
        for left in self._root.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=self._root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _acceptable(self, folder: Path) -> Manifest:
        """The manifest of a bundle that may be tested: whole, and neither older nor otherwise called than it may be."""
        if not folder.is_dir():
            raise NoInputError(f"{folder}: there is no such folder; give that of a model bundle")
        manifest = bundles.verified(folder, self._keys)
        verify_names(folder, manifest.files)
        if manifest.id in {*_LINKS, COUNTER}:
            raise refused(folder, f"on a device it cannot be called {manifest.id!r}")
        if manifest.counter < (highest := self._highest()):
            raise refused(
                folder,
                f"its counter, {manifest.counter}, is below that of one installed before, {highest}; sign it anew if "
                "it is right, or go back with `emotion-edge model rollback`",
            )
        return manifest

    def _stage(self, source: Path, scratch: Path) -> Manifest:
        """Copy a bundle, and the face mesh of the one in use where it brings none; its manifest."""
        self._acceptable(source)  # here already, so that nothing is copied that is none
        files.copy_tree(source, scratch)
        mesh, of_current = scratch / MESH, self._root / CURRENT / MESH
        if not mesh.exists() and of_current.is_dir():
            mesh.mkdir()
            mesh.chmod(0o755)
            for path in of_current.iterdir():
                # A second name for the same file: it is never written to, and cards are small.
                (mesh / path.name).hardlink_to(path)
        scratch.chmod(0o755)  # a temporary folder is its owner's alone
        with _known_as(source, scratch):
            return self._acceptable(scratch)

    def _done(self, folder: Path, name: str, *, shadow: bool) -> str:
        """A line, if this very bundle is where it is to be; empty: it is not."""
        current, of_shadow = self._target(CURRENT), self._target(SHADOW)
        if shadow and not current:
            raise NoInputError(f"{self._root}: no bundle is in use, so there is nothing to be a shadow of; install one")
        if shadow and name == current:
            return f"model bundle {name} is in use, and cannot be its own shadow: nothing to do"
        if name != (of_shadow if shadow else current) or not self._holds(folder, name):
            return ""
        return f"model bundle {name} is installed and {'the shadow' if shadow else 'in use'}: nothing to do"

    def _holds(self, folder: Path, name: str) -> bool:
        """Whether this very bundle is here. One that brings no face mesh was given one."""
        return files.same(folder, self._root / name, but="" if (folder / MESH).exists() else MESH)

    def _test(self, folder: Path, seconds: float) -> None:
        """Let a process of its own try a verified bundle: golden faces, and so many seconds of work."""
        own = folder / MESH
        if own.exists():
            models.verify(own)
        if not seconds:
            trial.try_out(folder)
            return
        current = self._root / CURRENT
        mesh = models.find([Path(self._mesh)] if self._mesh else [own, current / MESH, models.cache_folder()])
        trial.try_out(folder, seconds=seconds, mesh=mesh.folder, beside=current if current.exists() else None)

    def _place(self, scratch: Path, folder: Path) -> None:
        files.sync_tree(scratch)
        if folder.exists():  # signed anew, or damaged: it leaves at the same moment
            files.swap_directories(scratch, folder)
        else:
            scratch.rename(folder)
        files.sync(self._root)

    def _highest(self) -> int:
        """The highest counter so far; where none is written down, that of the bundle in use."""
        path = self._root / COUNTER
        try:
            return int(path.read_text("ascii"))
        except FileNotFoundError:
            pass
        except ValueError as error:
            raise ConfigError(f"{path}: is damaged; remove it if you know that no bundle here is too old") from error
        return max(0, _counter(self._root / CURRENT))

    def _note(self, counter: int) -> None:
        """Write down the highest counter so far, when a bundle is about to be in use."""
        highest = self._highest()
        if counter > highest or not (self._root / COUNTER).exists():
            files.write_text(self._root / COUNTER, f"{max(counter, highest)}\n")

    def _target(self, link: str) -> str:
        """What a link says; empty: there is none."""
        try:
            return str((self._root / link).readlink())
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigError(f"{self._root / link}: is no link to a bundle; move it away") from error

    def _switch(self, name: str, before: str) -> None:
        """Move `current`, and `previous` first: a kill in between must not lose the way back.

        The shadow ends before it is in use itself: nothing would be left to compare it with.
        """
        if name == self._target(SHADOW):
            self._end_shadow()
        if name != before:
            if before:
                files.replace_symlink(self._root / PREVIOUS, before)
            files.replace_symlink(self._root / CURRENT, name)

    def _end_shadow(self) -> None:
        (self._root / SHADOW).unlink()
        files.sync(self._root)

    def _sweep(self) -> None:
        """Remove the oldest bundles, by their counters."""
        linked = {path.resolve() for path in self._root.iterdir() if path.is_symlink()}
        beside = (self._root / LANDMARKS).resolve()
        counters = {folder: _counter(folder) for folder in stored(self._root) if folder.resolve() != beside}
        for folder in sorted(counters, key=lambda folder: -counters[folder])[KEPT:]:
            if folder.resolve() not in linked:
                # Under a hidden name first: half a bundle must not look like one.
                doomed = folder.rename(self._root / f"{_SCRATCH}{folder.name}")
                shutil.rmtree(doomed)


def roles(folder: Path) -> list[str]:
    """The links beside a bundle that lead to it: `current`, `previous`, `shadow`, `landmarks`."""
    place = folder.resolve()
    links = [place.parent / name for name in _LINKS]
    return [link.name for link in links if link.is_symlink() and link.resolve() == place]


@contextlib.contextmanager
def _known_as(source: Path, scratch: Path) -> Iterator[None]:
    """Errors that name a copy name its source: people know it by the name that they gave."""
    try:
        yield
    except EdgeError as error:
        raise type(error)(str(error).replace(str(scratch), str(source))) from error


def _told(message: str, message_id: str, name: str, before: str) -> str:
    """The message, which is now in the journal too, where there is one: `journalctl -t emotion-edge`."""
    journal.write_entry(message, syslog.LOG_NOTICE, {"MESSAGE_ID": message_id, "BUNDLE": name, "BUNDLE_BEFORE": before})
    return message


def _counter(folder: Path) -> int:
    """Of a bundle; -1: it is damaged."""
    try:
        return bundles.verified(folder).counter
    except ConfigError:
        return -1
