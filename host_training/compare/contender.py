"""What a comparison compares, and the rows that it trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.keypoints import TEST, TRAIN, VALIDATION, take
from host_training.data.votes import Targets
from host_training.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows of a table without its test split, and their targets."""

    table: Table
    targets: Targets

    @classmethod
    def of(cls, table: Table, targets: Targets) -> TrainingData:
        """Leave the test rows out.

        Raises:
            TableError: there is no row to train on, or none to validate on.
        """
        rows = table.split != TEST
        known = Targets(targets.labels, targets.soft[rows], targets.hard[rows], targets.judged[rows])
        data = cls(take(table, rows), known)
        for split in (TRAIN, VALIDATION):
            if not len(data.rows(split)):
                raise TableError(f"the table has no usable row in its {split} split; import a whole data set")
        return data

    def rows(self, split: str) -> NDArray[np.intp]:
        """int[M]: the rows of a split that have a label and in which a face was found."""
        return np.flatnonzero(self.targets.judged & self.table.found & (self.table.split == split))

    def labels(self, split: str) -> NDArray[np.intp]:
        """int[M]: the labels of `rows`."""
        return self.targets.hard[self.rows(split)]

    def landmarks(self, split: str) -> NDArray[np.float32]:
        """float32[M, 478, 3] px: the landmarks of `rows`."""
        return self.table.landmarks[self.rows(split)]


@dataclass(frozen=True, slots=True)
class Trained:
    """A contender after its training."""

    probabilities: Callable[[Table], NDArray[np.float32]]
    """float32[N, C] for the rows of a table; a face was found in each."""
    parameters: int
    """Number of learned parameters."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One kind of classifier."""

    name: str
    about: str
    learned_from: str
    """Targets, and more than the landmarks if it takes more."""
    fit: Callable[[TrainingData, int], Trained]
    """Trains it with a seed."""
    seeded: bool = True
    """Whether the result depends on the seed."""
    why_not: str = ""
    """What is missing to run it; empty: nothing is."""
