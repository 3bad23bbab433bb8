"""Counts of the rows and people in a keypoint table: for reports, and as text for the terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.keypoints import SPLITS
from host_training.data.votes import targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets


NAMED = 20
"""People who lost rows that are named; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Numbers of rows of a split."""

    rows: int
    found: int
    """Those with a face."""
    judged: int
    """Those with a label that a prediction can be compared with."""


def by_split(table: Table, targets: Targets) -> dict[str, Rows]:
    """The rows of each of `SPLITS`."""
    counts = zip(*(in_splits(table, rows) for rows in (table.split != "", table.found, targets.judged)), strict=True)
    return {split: Rows(*each) for split, each in zip(SPLITS, counts, strict=True)}


def by_label(table: Table) -> str:
    """Rows of each label in each split, as training counts them; then the faces found and the people."""
    targets = targets_of(table)
    lines = [(name, targets.judged & (targets.hard == place)) for place, name in enumerate(targets.labels)]
    lines.append(("no clear label", ~targets.judged))
    known = people(table, np.ones(len(table), np.bool_))
    return "\n".join(
        [
            *_aligned(table, lines),
            f"a face found in {int(table.found.sum())} of {len(table)} ({table.found.mean():.2%})",
            *([f"{known} people"] if known else []),
        ]
    )


def by_data_set(table: Table) -> str:
    """Rows of each data set in each split."""
    return "\n".join(_aligned(table, [(name, table.data_set == name) for name in np.unique(table.data_set).tolist()]))


def in_splits(table: Table, rows: NDArray[np.bool_]) -> list[int]:
    """How many of these rows, bool[N], each of `SPLITS` has."""
    return [int((rows & (table.split == split)).sum()) for split in SPLITS]


def people(table: Table, rows: NDArray[np.bool_]) -> int:
    """How many people these rows, bool[N], show, each counted once in a data set; 0 if no row has a subject."""
    named = rows & (table.subject != "")
    return len(set(zip(table.data_set[named].tolist(), table.subject[named].tolist(), strict=True)))


def lost(before: Table, after: Table) -> list[str]:
    """A line for each person of whom rows were left out, those who lost most first; the last counts those not named."""
    had, left = (Counter(table.persons[table.subject != ""].tolist()) for table in (before, after))
    gone = (had - left).most_common()
    lines = [
        f"  of {person}: {'all' if rows == had[person] else f'{rows:,} of'} {had[person]:,} rows"
        for person, rows in gone[:NAMED]
    ]
    return lines + ([f"  and of {len(gone) - NAMED:,} other people"] if len(gone) > NAMED else [])


def _aligned(table: Table, lines: Sequence[tuple[str, NDArray[np.bool_]]]) -> list[str]:
    """A header, a line for each kind of row, and the sum."""
    everything = [*lines, ("all", np.ones(len(table), np.bool_))]
    cells = [["", *SPLITS, "all"]]
    cells += [[name, *map(str, in_splits(table, rows)), str(int(rows.sum()))] for name, rows in everything]
    first, *rest = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], rest, strict=True))])
        for row in cells
    ]
