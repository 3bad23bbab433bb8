"""The inputs of a network: for each face the vector of its landmarks, its crop, or both.

They are built once for each split and handed down to training, quantisation and evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.crop import MEAN, STD
from edge.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table


NO_CROPS = (
    "the network reads crops, and a keypoint table has no pictures: make a crop store with `emotion-train crop` and "
    "give it with --crops FILE"
)
"""Error message for a missing crop store."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of N faces."""

    rows: NDArray[np.intp]
    """int[N], the rows of the table that they come from."""
    vectors: NDArray[np.float32]
    """float32[N, F], from `edge.classifier.features`; F is 0 if the network reads no landmarks."""
    crops: NDArray[np.uint8] | None
    """uint8[N, S, S], from `edge.classifier.crop`; None if the network reads no crops."""

    def __getitem__(self, places: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Inputs:
        """The inputs at some places, counted from 0 to N - 1."""
        return Inputs(self.rows[places], self.vectors[places], None if self.crops is None else self.crops[places])

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def of(self, rows: NDArray[np.intp]) -> Inputs:
        """The inputs of some rows of the table, int[M], in their order. A row may occur more than once.

        Raises:
            ValueError: there are none of a row.
        """
        order = np.argsort(self.rows)
        places = np.searchsorted(self.rows, rows, sorter=order)
        missing = places == len(self)
        missing[~missing] = self.rows[order[places[~missing]]] != rows[~missing]
        if missing.any():
            raise ValueError(f"there are no inputs of row {rows[missing][0]}")
        return self[order[places]]

    def under(self, features: Features, table: Table) -> Inputs:
        """The same faces under another feature contract with crops of the same size: only the vectors change."""
        return replace(self, vectors=features(table.landmarks[self.rows])[0])


def inputs_of(features: Features, table: Table, rows: NDArray[np.intp], store: CropStore | None = None) -> Inputs:
    """Build the inputs of some rows, in each of which a face was found.

    Args:
        features: the feature contract, which says what the network reads.
        table: the rows and others.
        rows: int[N].
        store: the crop store of the table; not needed if the network reads no crops.

    Raises:
        UsageError: the network reads crops, and there is no store.
    """
    vectors, _ = features(table.landmarks[rows])
    if features.crop is None:
        return Inputs(rows, vectors, None)
    crops = np.zeros((len(rows), features.crop.size, features.crop.size), np.uint8)
    for place, row in enumerate(rows.tolist()):
        if store is None:
            raise UsageError(NO_CROPS)
        crops[place] = features.crop(store.cutout(row), store.landmarks(row))
    return Inputs(rows, vectors, crops)


def inputs_of_split(features: Features, table: Table, split: str, store: CropStore | None = None) -> Inputs:
    """Build the inputs of every row of a split in which a face was found.

    Args:
        features: as for `inputs_of`; so is the store.
        table: the rows.
        split: one of `keypoints.SPLITS`, or `keypoints.ALL`.
        store: the crop store.

    Raises:
        UsageError: there is no such split; or the network reads crops, and there is no store.
    """
    return inputs_of(features, table, np.flatnonzero(table.found & table.in_split(split)), store)


def as_input(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The crops, uint8[N, S, S], as a float network takes them in, float32[N, S, S, 1]."""
    values = (crops.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return values[..., None]
