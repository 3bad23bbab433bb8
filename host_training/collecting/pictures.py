"""Kept pictures of the faces: a folder that `import folder` reads, for `emotion-train crop`."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge import files
from edge.errors import NoInputError, OutputError
from host_training.collecting.samples import DATA_SET, Take
from host_training.output import whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pictures:
    """A folder of kept pictures."""

    def __init__(self, folder: Path) -> None:
        """Create the folder.

        Args:
            folder: the parent folder; the pictures go into a folder named after the data set.

        Raises:
            OutputError: it cannot be written.
        """
        self.folder = folder / DATA_SET
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror})") from error

    def keep(self, source: str, rgb: NDArray[np.uint8]) -> None:
        """Write the picture, uint8[h, w, 3], of a row.

        Raises:
            OutputError: it cannot be written.
        """
        _, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        with whole(self.folder / source) as partial:
            partial.write_bytes(data.tobytes())

    def drop(self, source: str) -> None:
        """Remove the picture of a row."""
        with suppress(OSError):
            (self.folder / source).unlink(missing_ok=True)

    def drop_take(self, take: Take) -> None:
        """Remove the pictures of a take."""
        shutil.rmtree((self.folder / take.source(1)).parent, ignore_errors=True)


def list_of(table: Path) -> Path:
    """Path of the file beside a table that lists the folders with pictures of its rows."""
    return table.with_name(f".{table.name}.pictures")


def remember(table: Path, pictures: Pictures) -> None:
    """Note beside a table where pictures of its rows are kept, so that `remove_subject` finds them.

    Raises:
        OutputError: it cannot be written.
    """
    folders = [*dict.fromkeys([*folders_of(table), pictures.folder.resolve()])]
    try:
        files.write_text(list_of(table), "".join(f"{folder}\n" for folder in folders))
    except OSError as error:
        raise OutputError(f"{list_of(table)}: cannot be written ({error.strerror})") from error


def folders_of(table: Path) -> list[Path]:
    """The folders with pictures of a table's rows.

    Raises:
        NoInputError: the list exists, but cannot be read.
    """
    try:
        return [Path(line) for line in list_of(table).read_text("utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise NoInputError(f"{list_of(table)}: cannot be read ({error})") from error


def remove_subject(table: Path, subject: str) -> int:
    """Remove all pictures of a person, and return their number.

    Raises:
        NoInputError: a folder of pictures is missing; then none is removed.
        OutputError: some cannot be removed.
    """
    folders = folders_of(table)
    for folder in folders:
        if not folder.is_dir():
            raise NoInputError(
                f"{folder}: the folder with pictures of this table is missing; bring it back, or delete its line in "
                f"{list_of(table)}; nothing was removed"
            )
    removed = 0
    for folder in folders:
        mine = folder / subject
        removed += sum(path.suffix == ".png" for path in mine.rglob("*"))
        try:
            shutil.rmtree(mine)
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise OutputError(f"{error.filename or mine}: cannot be removed ({reason}); try again") from error
    return removed
