"""The pictures of a keypoint table's rows, from the data sets that the user has."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tqdm import tqdm

from edge.errors import EdgeError, UsageError
from edge.paths import home_path
from host_training import importers
from host_training.data.keypoints import REPEATED, TRAIN
from host_training.data.names import normal
from host_training.data.source import Options, Source, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

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
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(table.ids.tolist()):
        rows_of.setdefault(_key(name), []).append(row)
    candidates: dict[int, list[Pixels | ImageFile]] = {}
    for text in given:
        name, colon, path = text.partition(":")
        if not (name and colon and path):
            raise UsageError(f"--pictures {text}: give a data set and its path, such as fer2013:fer2013.csv")
        source = importers.load(name, home_path(path), Options(split=TRAIN, any_name=True))  # the table knows both
        if not isinstance(source, Source):
            raise UsageError(f"--pictures {text}: {name} has no pictures; leave it out")
        known = [
            (key, each.picture) for each in source.rows if (key := _key(f"{source.name}/{each.source}")) in rows_of
        ]
        if not known:
            raise UsageError(f"--pictures {text}: none of its {len(source.rows):,} pictures belongs to the table")
        for key, picture in known:
            for row in rows_of[key]:
                candidates.setdefault(row, []).append(picture)
    return _chosen(table, candidates, alone={rows[0] for rows in rows_of.values() if len(rows) == 1})


def _key(name: str) -> str:
    """The id of a row as pictures have it: without what `merge` adds, and however accents are written."""
    return normal(REPEATED.sub("", name))


def _chosen(
    table: Table, candidates: dict[int, list[Pixels | ImageFile]], alone: set[int]
) -> dict[int, Pixels | ImageFile]:
    """The picture of each row: where several rows or pictures have one name, that with the row's fingerprint."""
    chosen = {row: pictures[0] for row, pictures in candidates.items() if row in alone and len(pictures) == 1}
    doubtful = {row: pictures for row, pictures in candidates.items() if row not in chosen}
    shown: dict[int, np.int64] = {}
    for row, pictures in tqdm(doubtful.items(), "comparing pictures of one name", leave=False, disable=not doubtful):
        for picture in pictures:
            if id(picture) not in shown:
                with suppress(EdgeError):  # it cannot be read, so it isn't the one
                    shown[id(picture)] = fingerprint(picture.load())
            if shown.get(id(picture)) == table.group[row]:
                chosen[row] = picture
                break
    return chosen
