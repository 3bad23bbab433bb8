"""The pictures that the rows of a keypoint table were measured on, out of the data sets that a user has at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import UsageError
from host_training import importers
from host_training.data.source import Options, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels


def pictures_of(table: Table, given: Sequence[str]) -> dict[int, Pixels | ImageFile]:
    """Row of the table -> its picture, for those that a data set has; what is in a file is read when it is loaded.

    Args:
        table: the rows.
        given: what `--pictures` says: data sets and where they lie, each as in `fer2013:fer2013.csv`.

    Raises:
        UsageError: one is not of that form, has no pictures, or none that belongs to a row.
        EdgeError: it cannot be read; see `importers.load`.
    """
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    pictures: dict[int, Pixels | ImageFile] = {}
    for text in given:
        name, colon, path = text.partition(":")
        if not (name and colon and path):
            raise UsageError(f"--pictures {text}: give a data set and where it lies, as in fer2013:fer2013.csv")
        source = importers.load(name, Path(path), Options())
        if not isinstance(source, Source):
            raise UsageError(f"--pictures {text}: {name} has no pictures; leave it out")
        mine = {f"{source.name}/{row.source}": row.picture for row in source.rows}
        known = {row_of[name]: picture for name, picture in mine.items() if name in row_of}
        if not known:
            raise UsageError(f"--pictures {text}: none of its {len(mine):,} pictures belongs to a row of the table")
        pictures |= known
    return pictures
