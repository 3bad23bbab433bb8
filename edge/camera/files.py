"""Says why a file cannot be read, because decoders only say that it cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edge.errors import NoInputError, PermissionRefusedError

if TYPE_CHECKING:
    from pathlib import Path


def check_file(path: Path) -> None:
    """Check that a path is a readable file.

    Raises:
        NoInputError: it does not exist, or is a folder.
        PermissionRefusedError: this user may not read it.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise refusal(path, error) from error
    except ValueError as error:  # a null byte in the name
        raise NoInputError(f"{str(path)!r} is not the name of a file") from error


def refusal(path: Path, error: OSError) -> NoInputError | PermissionRefusedError:
    """The error for a path that the system refuses to open."""
    if isinstance(error, NotADirectoryError) and path.exists():
        return NoInputError(f"{path} is neither a file nor a folder")
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return NoInputError(f"{path} is a link to {path.readlink()}, which does not exist")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NoInputError(f"{path} does not exist")
    if isinstance(error, IsADirectoryError):
        return NoInputError(f"{path} is a folder, not a file; images:{path} shows the images in it")
    if isinstance(error, PermissionError):
        return PermissionRefusedError(f"{path} may not be read by this user")
    return NoInputError(f"{path} cannot be read: {os.strerror(error.errno or 0)}")
