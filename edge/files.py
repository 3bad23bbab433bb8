"""Atomic file operations: after a crash or a power cut, a change is either complete or absent."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Constants of renameat2(2)."""


def swap_directories(one: Path, other: Path) -> None:
    """Swap the names of two folders of one file system, atomically.

    Raises:
        OSError: the file system can't do that, as most network file systems.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, f"folders cannot swap their names here: {os.strerror(number)}", str(one))


def replace_symlink(link: Path, target: str) -> None:
    """Point a symlink at another target, atomically; create it if it doesn't exist."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    sync(link.parent)


def write_text(path: Path, text: str) -> None:
    """Write a small file atomically. See `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a small file atomically. `mode` and the umask set its permissions. A failure leaves the old file."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        sync(new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def copy_tree(source: Path, target: Path) -> None:
    """Copy the contents of a folder into an existing one, readable by all users."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
            copy.chmod(0o755)
        else:
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)


def same(one: Path, other: Path, *, but: str = "") -> bool:
    """Whether two folders hold the same files. The subfolder `but` is ignored."""
    import filecmp

    names = [
        sorted(path for path in (path.relative_to(folder) for path in folder.rglob("*")) if path.parts[0] != but)
        for folder in (one, other)
    ]
    files = [name for name in names[0] if (one / name).is_file()]
    return names[0] == names[1] and not any(filecmp.cmpfiles(one, other, files, shallow=False)[1:])


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush a folder and everything in it to the disk (fsync)."""
    for path in (*folder.rglob("*"), folder):
        sync(path)
