"""The model bundles of a device: puts one there, tested, and switches to it by one rename, and back.

    ID/         a bundle, with the face mesh models in its folder mesh/
    current     the one in use, a link
    previous    the one before, a link
    counter     the highest counter of all that were ever installed: what is older comes back only on purpose

A bundle is made whole under a hidden name first. Whenever this process is killed, or the power fails, `current` leads
to a whole bundle, and what is left of the attempt is swept away by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import signal
import subprocess
import sys
import syslog
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import bundle as bundles
from edge import durable, mesh_models, service
from edge.errors import ConfigError, EdgeError, NoInputError, OutputError, PermissionRefusedError, UnavailableError
from edge.signature import MANIFEST, MESH, refused, verify_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.signature import TrustedKeys

CURRENT, PREVIOUS, COUNTER = "current", "previous", "counter"
KEPT = 3
"""Bundles that stay: the newest, and in any case those that a link leads to."""
SWITCHED = "5f6a1d0c5d0f4b0b9f2b0c7e3f1d9a64"
"""MESSAGE_ID, in the journal, of a bundle that was made the current one."""

_SCRATCH = ".install-"
_ID = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)
_SELF_TEST = "import sys; from edge import bundle_store; sys.exit(bundle_store.self_test(sys.argv[1]))"
_SELF_TEST_S = 120
"""A Raspberry Pi with an old SD card needs a few seconds."""


class BundleStore:
    """The folder of the bundles. One process at a time changes it."""

    def __init__(self, root: Path, keys: TrustedKeys | None = None) -> None:
        """Nothing is done yet.

        Args:
            root: the folder; made when something is installed.
            keys: from `signature.trusted_keys`, of which one must have signed what is installed.
        """
        self._root = root
        self._keys = keys

    def install(self, source: Path) -> str:
        """Copy a bundle, test the copy, and make it the current one; a line that says what was done.

        Raises:
            NoInputError: `source` is no folder.
            ConfigError: it is no bundle for this device, or older than one that was installed before.
            EdgeError: the folder of the bundles cannot be written, or another process is at work there.
        """
        with self._alone(), self._scratch() as scratch:
            manifest = self._stage(source, scratch)
            name, counter = manifest["id"], manifest["counter"]
            highest = self._highest()
            if counter < highest:
                raise refused(
                    source,
                    f"its counter, {counter}, is below that of one installed before, {highest}; sign it anew if it is "
                    "right, or go back with `emotion-edge model rollback`",
                )
            # First of all: after the switch, a power cut in between would leave the door open to what came before.
            if counter > highest:
                durable.write_text(self._root / COUNTER, f"{counter}\n")
            folder, before = self._root / name, self._target(CURRENT)
            if not durable.same(scratch, folder):
                self._place(scratch, folder)
            elif name == before:
                return f"model bundle {name} is installed and in use: nothing to do"
            self._switch(name, before)
            with contextlib.suppress(OSError):  # too many bundles are no reason to call it failed
                self._sweep()
        if name == before:
            return self._told(f"model bundle {name} is installed anew", name, before)
        return self._told(f"model bundle {name} is installed, after {before or 'none'}", name, before)

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
            names = [folder.name for folder in bundles.stored(self._root)]
            if name not in names:
                what = f"no model bundle {name}" if name else "none before the one in use"
                raise NoInputError(f"{self._root}: there is {what}; there are {', '.join(names) or 'none'}")
            if name == before:
                return f"model bundle {name} is in use: nothing to do"
            bundles.verified(self._root / name, self._keys)
            _test(self._root / name)
            self._switch(name, before)
        return self._told(f"back to model bundle {name}, after {before or 'none'}, as asked for", name, before)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("w") as lock:
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

    def _stage(self, source: Path, scratch: Path) -> dict[str, Any]:
        """Copy a bundle and put the copy through every test; its manifest."""
        if not source.is_dir():
            raise NoInputError(f"{source}: there is no such folder; give that of a model bundle")
        # Here already, so that nothing is copied that is none.
        verify_names(source, bundles.verified(source, self._keys)["files"])
        durable.copy_tree(source, scratch)
        mesh, of_current = scratch / MESH, self._root / CURRENT / MESH
        if not mesh.exists() and of_current.is_dir():
            mesh.mkdir()
            mesh.chmod(0o755)
            for path in of_current.iterdir():
                # A second name for the same file: it is never written to, and cards are small.
                (mesh / path.name).hardlink_to(path)
        scratch.chmod(0o755)  # a temporary folder is its owner's alone
        try:
            manifest = bundles.verified(scratch, self._keys)
            verify_names(scratch, manifest["files"])
            name, counter = manifest["id"], manifest.get("counter")
            if type(counter) is not int or counter < 0:
                raise refused(scratch, f"{MANIFEST} lacks a proper 'counter'")
            if not _ID.fullmatch(name) or name in {CURRENT, PREVIOUS, COUNTER, bundles.LANDMARKS_ALONE}:
                raise refused(scratch, f"on a device it cannot be called {name!r}")
            if mesh.exists():
                mesh_models.verify(mesh)
            _test(scratch)
        except EdgeError as error:  # people know it by the name that they gave
            raise type(error)(str(error).replace(str(scratch), str(source))) from error
        return manifest

    def _place(self, scratch: Path, folder: Path) -> None:
        durable.sync_tree(scratch)
        if folder.exists():  # signed anew, or damaged: it leaves at the same moment
            durable.exchange(scratch, folder)
        else:
            scratch.rename(folder)
        durable.sync(self._root)

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

    def _target(self, link: str) -> str:
        """What a link says; empty: there is none."""
        try:
            return str((self._root / link).readlink())
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigError(f"{self._root / link}: is no link to a bundle; move it away") from error

    def _switch(self, name: str, before: str) -> None:
        """Move `current`, and `previous` first: a kill in between must not lose the way back."""
        if name != before:
            if before:
                durable.point(self._root / PREVIOUS, before)
            durable.point(self._root / CURRENT, name)

    def _sweep(self) -> None:
        """Remove the oldest bundles, by their counters."""
        linked = {path.resolve() for path in self._root.iterdir() if path.is_symlink()}
        beside = (self._root / bundles.LANDMARKS_ALONE).resolve()
        counters = {folder: _counter(folder) for folder in bundles.stored(self._root) if folder.resolve() != beside}
        for folder in sorted(counters, key=lambda folder: -counters[folder])[KEPT:]:
            if folder.resolve() not in linked:
                # Under a hidden name first: half a bundle must not look like one.
                doomed = folder.rename(self._root / f"{_SCRATCH}{folder.name}")
                shutil.rmtree(doomed)

    @staticmethod
    def _told(message: str, name: str, before: str) -> str:
        """The message, which is now in the journal too, where there is one: `journalctl -t emotion-edge`."""
        service.tell_journal(
            message, syslog.LOG_NOTICE, {"MESSAGE_ID": SWITCHED, "BUNDLE": name, "BUNDLE_BEFORE": before}
        )
        return message


def roles(folder: Path) -> list[str]:
    """The links beside a bundle that lead to it: `current`, `previous`, `landmarks`."""
    place = folder.resolve()
    names = (CURRENT, PREVIOUS, bundles.LANDMARKS_ALONE)
    links = [place.parent / name for name in names]
    return [link.name for link in links if link.is_symlink() and link.resolve() == place]


def self_test(folder: str) -> int:
    """Load a bundle and say, on stdout, what is wrong with it; the exit status.

    For a process of its own, because an interpreter may crash on a crafted or damaged network.
    """
    try:
        bundles.load(Path(folder))
    except EdgeError as error:
        print(error)
        return error.exit_status
    return 0


def _test(folder: Path) -> None:
    """Let a process of its own load a verified bundle: golden faces, this machine's interpreter."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _SELF_TEST, folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=_SELF_TEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise refused(folder, f"its golden faces are not read within {_SELF_TEST_S} s") from error
    if done.returncode < 0:
        raise refused(folder, f"the interpreter crashes on it ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        reason = done.stdout.strip() or f"its test ends with status {done.returncode}"
        raise ConfigError(reason)


def _counter(folder: Path) -> int:
    """Of a bundle; -1: it has none, or is damaged."""
    try:
        counter = bundles.verified(folder).get("counter")
    except ConfigError:
        return -1
    return counter if isinstance(counter, int) else -1
