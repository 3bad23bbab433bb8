"""The keypoint table in memory: one row for each picture of a face, with everything but the picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import UsageError
from edge.face_mesh.models import LANDMARKER, MEMBERS
from host_training.words import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
ALL = "all"
"""Name of all three splits together."""
HELD_OUT = {TEST: 0.1, VALIDATION: 0.1}
"""Shares of a data set that has no splits of its own; the rest is for training."""

MESH = MEMBERS[LANDMARKER]
"""sha256 of the landmark model that the daemon runs."""
UNKNOWN_MESH = "unknown"
"""Mesh of landmarks that came without their model's name."""


REPEATED = re.compile(r"#\d+$")
"""What `joining.join` adds to the source of a row whose id an earlier table has."""


@dataclass(frozen=True, slots=True)
class Table:
    """A keypoint table in memory."""

    data_set: NDArray[np.str_]
    """str[N], such as `fer2013`."""
    source: NDArray[np.str_]
    """str[N]: place in the data set, unique within it."""
    split: NDArray[np.str_]
    """str[N], each one of `SPLITS`."""
    subject: NDArray[np.str_]
    """str[N]: who it is, within the data set; empty if unknown. All rows of a person are in one split."""
    group: NDArray[np.int64]
    """int64[N]: fingerprint of the picture, equal for byte-equal pictures. All rows of a group are in one split."""
    label: NDArray[np.int8]
    """int8[N]: the data set's own label, an index into `labels.LABELS`; -1 if it has votes only."""
    votes: NDArray[np.uint8]
    """uint8[N, 10], votes in the order of `labels.VOTE_COLUMNS`; all 0 if nobody voted."""
    mesh: NDArray[np.str_]
    """str[N]: sha256 of the landmark model that measured the row, or `UNKNOWN_MESH`."""
    presence: NDArray[np.float32]
    """float32[N], 0..1: the mesh's own estimate that this is a face; 0 if it found none."""
    brightness: NDArray[np.float32]
    """float32[N], 0..1: mean luminance in the box of the landmarks; NaN without a face or a picture."""
    sharpness: NDArray[np.float32]
    """float32[N]: variance of the Laplacian of that box, scaled to 64 px and a luminance of 0..1; NaN as above."""
    landmarks: NDArray[np.float32]
    """float32[N, 478, 3], px of the picture; NaN if no face was found."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.source)

    @property
    def found(self) -> NDArray[np.bool_]:
        """bool[N]: whether the mesh saw a face."""
        return np.asarray(np.isfinite(self.landmarks[:, 0, 0]))

    @property
    def ids(self) -> NDArray[np.str_]:
        """str[N]: data set and place in it, such as `fer2013/123`; unique."""
        return np.char.add(np.char.add(self.data_set, "/"), self.source)

    @property
    def persons(self) -> NDArray[np.str_]:
        """str[N]: data set and subject; meaningless if the subject is unknown."""
        return np.char.add(np.char.add(self.data_set, "/"), self.subject)

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """bool[N]: whether the row belongs to a split, one of `SPLITS` or `ALL`.

        Raises:
            UsageError: there is no such split.
        """
        if split not in (*SPLITS, ALL):
            raise UsageError(unknown("split", split, (*SPLITS, ALL)))
        return np.asarray((self.split == split) | (split == ALL))


def decisions_path(table: Path) -> Path:
    """Path of the decisions about a table: `faces.decisions.csv` beside `faces.parquet`."""
    return table.with_suffix(".decisions.csv")


def take(table: Table, rows: NDArray[Any]) -> Table:
    """The rows that a mask or indices select."""
    return Table(**{field.name: getattr(table, field.name)[rows] for field in fields(Table)})


def concatenate(tables: Sequence[Table]) -> Table:
    """All rows of some tables, in their order."""
    columns = {field.name: np.concatenate([getattr(t, field.name) for t in tables]) for field in fields(Table)}
    return Table(**columns)
