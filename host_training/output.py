"""Writes files so that nothing half-done is ever found in their place."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edge import files
from edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` at the end: that appears whole or not at all.

    Raises:
        OutputError: it cannot be written; what was there is still there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        files.sync(partial)  # before the new name, or a power cut could leave that with nothing behind it
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({os.strerror(error.errno) if error.errno else error})"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def ensure_writable(path: Path) -> None:
    """Find out before the work, not after it, whether a file can be put there.

    Raises:
        OutputError: it can't.
    """
    if path.is_dir():
        raise OutputError(f"{path}: cannot be written (it is a folder)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def write_text(path: Path, text: str) -> None:
    """Write a file; it appears whole or not at all.

    Raises:
        OutputError: it cannot be written; what was there is still there.
    """
    with whole(path) as partial:
        partial.write_text(text, "utf-8")
