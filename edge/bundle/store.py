"""Installs model bundles on a device: copies, tests, switches to them, and rolls back. The files: `bundle.folder`."""

from __future__ import annotations

import contextlib
import syslog
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
from edge.bundle import bundle as bundles
from edge.bundle import trial
from edge.bundle.folder import PREVIOUS, RESERVED, BundleFolder, counter_of
from edge.bundle.locate import CURRENT, FUSED, LANDMARKS, SHADOW
from edge.bundle.signature import MESH, refused, verify_names
from edge.device import journal
from edge.errors import EdgeError, NoInputError
from edge.face_mesh import models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.bundle.manifest import Manifest
    from edge.bundle.signature import TrustedKeys
    from edge.face_mesh.models import MeshModels

SWITCHED = "5f6a1d0c5d0f4b0b9f2b0c7e3f1d9a64"
"""MESSAGE_ID, in the journal, of a bundle that became the current one."""
SHADOWED = "d1f3c6b0a9e84c57b2f4f7d0c35e8a16"
"""MESSAGE_ID of a bundle that became the shadow, or stopped being it."""


class BundleStore:
    """The bundles of a device."""

    def __init__(
        self, root: Path, keys: TrustedKeys | None = None, *, trial_s: float = trial.TRIAL_S, mesh: str = ""
    ) -> None:
        """Remember how to install; nothing is done yet.

        Args:
            root: the folder of the bundles.
            keys: of which one must have signed what is installed; None: no signature is needed.
            trial_s: s, how long a new bundle works on trial, see `edge.bundle.trial`; 0: it reads golden faces only.
            mesh: folder of the face mesh models for the trial; empty: those of the bundle, else those fetched.
        """
        self._folder = BundleFolder(root)
        self._root = root
        self._keys = keys
        self._trial_s = trial_s
        self._mesh = mesh

    def install(self, source: Path, *, shadow: bool = False) -> str:
        """Copy a bundle, test the copy, and make it the current one, or the shadow.

        Returns:
            One line that says what was done.

        Raises:
            NoInputError: `source` is not a folder.
            ConfigError: it is not a bundle for this device, is older than one installed before, or too slow.
            EdgeError: the folder of the bundles cannot be written, or another process is changing it.
        """
        with self._folder.exclusive(), self._folder.scratch() as scratch:
            manifest = self._stage(source, scratch)
            name, before = manifest.id, self._folder.target(CURRENT)
            if done := self._done(scratch, name, shadow=shadow):
                return done
            with _known_as(source, scratch):
                self._test(scratch, beside=True)
            if not shadow:
                # First of all: a power cut after the switch would leave the door open to what came before.
                self._folder.raise_counter(manifest.counter)
            self._folder.put(scratch, name)
            if shadow:
                self._folder.link(SHADOW, name)
            else:
                self._folder.switch(name)
            self._folder.sweep()
        if shadow:
            return told(f"model bundle {name} is installed as the shadow of {before}", SHADOWED, name, before)
        return _installed(name, before)

    def check(self, source: Path, *, shadow: bool = False) -> str:
        """Test a bundle where it is, as `install` does.

        Returns:
            One line that says what `install` would do.

        Raises:
            NoInputError, ConfigError: see `install`.
        """
        name, before = self._acceptable(source).id, self._folder.target(CURRENT)
        if done := self._done(source, name, shadow=shadow):
            return done
        self._test(source, beside=True)
        if shadow:
            return f"would install model bundle {name} as the shadow of {before}"
        return f"would install model bundle {name}{_after(name, before)}"

    def install_release(self, source: Path) -> str:
        """Install the two bundles of a release: one to be in use, and one for recordings.

        A bundle that a user has chosen on this device stays in use, and is tested instead. An older release is
        installed on purpose, so counters don't matter; neither does the speed of the bundle before.

        Args:
            source: folder with `fused` and `landmarks`.

        Returns:
            What was done, one line for each bundle.

        Raises:
            NoInputError, ConfigError, EdgeError: see `install`; nothing has changed.
        """
        lines: list[str] = []
        with self._folder.exclusive(), contextlib.ExitStack() as stack:
            before, chosen = self._folder.target(CURRENT), self._chosen()
            new: dict[str, tuple[Path, Manifest]] = {}
            for link, folder in self._roles_of(source):
                scratch = stack.enter_context(self._folder.scratch())
                manifest = self._stage(folder, scratch, counts=False)
                if not (scratch / MESH).exists():
                    _copy_mesh(models.find([models.cache_folder()]), scratch / MESH)
                if not self._in_place(scratch, manifest.id, link):
                    with _known_as(folder, scratch):
                        self._test(scratch)
                    new[link] = scratch, manifest
            if chosen:
                lines.append(self._tested_choice({manifest.id for _, manifest in new.values()}))
            if CURRENT in new:
                self._folder.raise_counter(new[CURRENT][1].counter)
            for scratch, manifest in new.values():
                self._folder.put(scratch, manifest.id)
            if LANDMARKS in new:
                name = new[LANDMARKS][1].id
                self._folder.link(LANDMARKS, name)
                lines.append(f"model bundle {name} is installed for recordings")
            if CURRENT in new:
                name = new[CURRENT][1].id
                # Both names, so that after a kill in between neither of them looks chosen.
                self._folder.set_released(name, *self._folder.released())
                self._folder.switch(name)
                lines.append(_installed(name, before))
            if not chosen:
                self._folder.set_released(self._folder.target(CURRENT))
            self._folder.sweep()
        return "\n".join(lines if new else [*lines, _NOTHING])

    def check_release(self, source: Path) -> str:
        """Test the two bundles of a release where they are.

        Returns:
            What `install_release` would do, one line for each bundle.

        Raises:
            NoInputError, ConfigError: see `install`.
        """
        before = self._folder.target(CURRENT)
        new: set[str] = set()
        lines: list[str] = []
        for link, folder in self._roles_of(source):
            manifest = self._acceptable(folder, counts=False)
            if not self._in_place(folder, manifest.id, link):
                self._test(folder)
                new.add(manifest.id)
                what = " for recordings" if link == LANDMARKS else _after(manifest.id, before)
                lines.append(f"would install model bundle {manifest.id}{what}")
        if self._chosen():
            lines.append(self._tested_choice(new))
        return "\n".join(lines if new else [*lines, _NOTHING])

    def shadow_off(self) -> str:
        """Stop the shadow.

        Returns:
            One line that says what was done.

        Raises:
            EdgeError: see `install`.
        """
        with self._folder.exclusive():
            name = self._folder.target(SHADOW)
            if not name:
                return "no model bundle runs as a shadow: nothing to do"
            self._folder.unlink(SHADOW)
        return told(f"model bundle {name} is no longer a shadow", SHADOWED, name, self._folder.target(CURRENT))

    def rollback(self, to: str = "") -> str:
        """Make a bundle that is still here the current one, whatever its counter.

        Args:
            to: its id; empty: the one before the current one.

        Returns:
            One line that says what was done.

        Raises:
            NoInputError: it is not here.
            ConfigError: it does not pass its checks, see `bundle.load`.
            EdgeError: see `install`.
        """
        with self._folder.exclusive():
            name, before = to or self._folder.target(PREVIOUS), self._folder.target(CURRENT)
            if name not in (names := self._folder.names()):
                what = f"no model bundle {name}" if name else "no bundle before the one in use"
                raise NoInputError(f"{self._root}: there is {what}; there are {listed(names)}")
            if name == before:
                return f"model bundle {name} is in use: nothing to do"
            bundles.verified(self._root / name, self._keys)
            trial.try_out(self._root / name)  # without a trial: it has worked here before
            self._folder.raise_counter(counter_of(self._root / name))  # if it was a shadow, it is new here
            self._folder.switch(name)
        message = f"back to model bundle {name}, after {before or 'none'}, as asked for"
        return told(message, SWITCHED, name, before)

    def _chosen(self) -> bool:
        """Whether a user has chosen the bundle in use on this device, so that it isn't the one of a release."""
        return self._folder.target(CURRENT) not in {"", *self._folder.released()}

    def _tested_choice(self, new: set[str]) -> str:
        """Test the chosen bundle, unless it is one of the new ones; a line that says that it stays."""
        name = self._folder.target(CURRENT)
        if name not in new:
            self._test(self._root / CURRENT)
        return f"model bundle {name} stays in use, because it was chosen on this device"

    def _roles_of(self, source: Path) -> list[tuple[str, Path]]:
        """The bundles of a release that are needed, each with its link."""
        in_use = [] if self._chosen() else [(CURRENT, source / FUSED)]
        return [*in_use, (LANDMARKS, source / LANDMARKS)]

    def _in_place(self, folder: Path, name: str, link: str) -> bool:
        return name == self._folder.target(link) and self._folder.holds(folder, name)

    def _acceptable(self, folder: Path, *, counts: bool = True) -> Manifest:
        """The manifest of a whole bundle that has a usable name and, if that `counts`, is not too old."""
        if not folder.is_dir():
            raise NoInputError(f"{folder}: no such folder; give the folder of a model bundle")
        manifest = bundles.verified(folder, self._keys)
        verify_names(folder, manifest.files)
        if manifest.id in RESERVED:
            raise refused(folder, f"on a device it cannot be called {manifest.id!r}")
        # Without signatures a counter protects from nobody, and who names an older bundle wants it.
        if counts and self._keys is not None and manifest.counter < (highest := self._folder.highest_counter()):
            raise refused(
                folder,
                f"its counter, {manifest.counter}, is below that of one installed before, {highest}; sign it again if "
                "it is right, or go back with `emotion-edge model rollback`",
            )
        return manifest

    def _stage(self, source: Path, scratch: Path, *, counts: bool = True) -> Manifest:
        """Copy a bundle and, if it has none, the face mesh of the one in use."""
        self._acceptable(source, counts=counts)  # first, so that nothing else is copied
        files.copy_tree(source, scratch)
        mesh, of_current = scratch / MESH, self._root / CURRENT / MESH
        if not mesh.exists() and of_current.is_dir():
            mesh.mkdir()
            mesh.chmod(0o755)
            for path in of_current.iterdir():
                # A second name of the same file, which is never written to, because cards are small.
                (mesh / path.name).hardlink_to(path)
        scratch.chmod(0o755)  # a temporary folder is private
        with _known_as(source, scratch):
            return self._acceptable(scratch, counts=counts)

    def _done(self, folder: Path, name: str, *, shadow: bool) -> str:
        """A line, if there is nothing to do; empty: there is."""
        current, of_shadow = self._folder.target(CURRENT), self._folder.target(SHADOW)
        if shadow and not current:
            raise NoInputError(f"{self._root}: no bundle is in use, so there is nothing to be a shadow of; install one")
        if shadow and name == current:
            return f"model bundle {name} is in use, and cannot be its own shadow: nothing to do"
        if name != (of_shadow if shadow else current) or not self._folder.holds(folder, name):
            return ""
        return f"model bundle {name} is installed and {'the shadow' if shadow else 'in use'}: nothing to do"

    def _test(self, folder: Path, *, beside: bool = False) -> None:
        """Let a separate process try a verified bundle, where wanted in turn with the one in use."""
        own = folder / MESH
        if own.exists():
            models.verify(own)
        if not self._trial_s:
            trial.try_out(folder)
            return
        current = self._root / CURRENT
        mesh = models.find([Path(self._mesh)] if self._mesh else [own, current / MESH, models.cache_folder()])
        other = current if beside and current.exists() else None
        trial.try_out(folder, seconds=self._trial_s, mesh=mesh.folder, beside=other)


_NOTHING = "the model bundles of the release are installed: nothing to do"


def _installed(name: str, before: str) -> str:
    """Write to the journal that a bundle is in use now."""
    return told(f"model bundle {name} is installed{_after(name, before)}", SWITCHED, name, before)


def listed(names: list[str]) -> str:
    """Names of bundles, for a message."""
    return ", ".join(names) or "none"


def _after(name: str, before: str) -> str:
    return " again" if name == before else f", after {before or 'none'}"


def _copy_mesh(found: MeshModels, target: Path) -> None:
    target.mkdir()
    target.chmod(0o755)
    for path in (found.detector, found.landmarker, found.task):
        if path.exists():
            (target / path.name).write_bytes(path.read_bytes())
            (target / path.name).chmod(0o644)


@contextlib.contextmanager
def _known_as(source: Path, scratch: Path) -> Iterator[None]:
    """Let errors name the folder that the user gave instead of its copy."""
    try:
        yield
    except EdgeError as error:
        raise type(error)(str(error).replace(str(scratch), str(source))) from error


def told(message: str, message_id: str, name: str, before: str) -> str:
    """Write a message to the journal too, where there is one: `journalctl -t emotion-edge`."""
    journal.write_entry(message, syslog.LOG_NOTICE, {"MESSAGE_ID": message_id, "BUNDLE": name, "BUNDLE_BEFORE": before})
    return message
