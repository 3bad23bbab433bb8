"""The pictures of a keypoint table's rows, from the data sets that the user has."""

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
    """Row of the table -> its picture, for all rows that a data set has. Files are read when a picture is loaded.

    Args:
        table: the rows.
        given: the values of `--pictures`: data sets and their paths, such as `fer2013:fer2013.csv`.

    Raises:
        UsageError: a value is not of that form, or its data set has no pictures, or none that belongs to a row.
        EdgeError: a data set cannot be read; see `importers.load`.
    """
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    pictures: dict[int, Pixels | ImageFile] = {}
    for text in given:
        name, colon, path = text.partition(":")
        if not (name and colon and path):
            raise UsageError(f"--pictures {text}: give a data set and its path, such as fer2013:fer2013.csv")
        source = importers.load(name, Path(path), Options())
        if not isinstance(source, Source):
            raise UsageError(f"--pictures {text}: {name} has no pictures; leave it out")
        mine = {f"{source.name}/{row.source}": row.picture for row in source.rows}
        known = {row_of[name]: picture for name, picture in mine.items() if name in row_of}
        if not known:
            raise UsageError(f"--pictures {text}: none of its {len(mine):,} pictures belongs to the table")
        pictures |= known
    return pictures
