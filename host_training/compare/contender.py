"""What takes part in a comparison."""

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
class Lesson:
    """What there is to learn from: the rows of a table without those of its test split."""

    table: Table
    targets: Targets

    @classmethod
    def of(cls, table: Table, targets: Targets) -> Lesson:
        """Leave the test rows out.

        Raises:
            TableError: there is nothing to learn from, or nothing to watch it on.
        """
        rows = table.split != TEST
        known = Targets(targets.labels, targets.soft[rows], targets.hard[rows], targets.judged[rows])
        lesson = cls(take(table, rows), known)
        for split in (TRAIN, VALIDATION):
            if not len(lesson.rows(split)):
                raise TableError(f"the table has no usable row in its {split} split: import a whole data set")
        return lesson

    def rows(self, split: str) -> NDArray[np.intp]:
        """int[M]: the rows of a split in which a face was found and which have a label."""
        return np.flatnonzero(self.targets.judged & self.table.found & (self.table.split == split))

    def labels(self, split: str) -> NDArray[np.intp]:
        """int[M]: the labels of `rows`."""
        return self.targets.hard[self.rows(split)]

    def faces(self, split: str) -> NDArray[np.float32]:
        """float32[M, 478, 3] px: the landmarks of `rows`."""
        return self.table.landmarks[self.rows(split)]


@dataclass(frozen=True, slots=True)
class Trained:
    """What became of a contender."""

    probabilities: Callable[[Table], NDArray[np.float32]]
    """float32[N, C] of a table's rows, in all of which a face was found."""
    parameters: int
    """Learned numbers."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One kind of classifier."""

    name: str
    about: str
    learned_from: str
    """Rows and targets."""
    fit: Callable[[Lesson, int], Trained]
    """Trains with a seed."""
    seeded: bool = True
    """Whether chance plays a part."""
    why_not: str = ""
    """What is missing to run it; empty: nothing."""
