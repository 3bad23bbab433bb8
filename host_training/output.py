"""Files that appear whole or not at all."""

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
    """A path to write to, which replaces `path` at the end, so that the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written; a file that was there stays as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        files.sync(partial)  # before the rename, or a power cut could leave an empty file
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({os.strerror(error.errno) if error.errno else error})"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def ensure_writable(path: Path) -> None:
    """Check before the work, not after it, that a file can be written.

    Raises:
        OutputError: it cannot.
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
    """Write a text file; it appears whole or not at all.

    Raises:
        OutputError: it cannot be written; a file that was there stays as it was.
    """
    with whole(path) as partial:
        partial.write_text(text, "utf-8")
