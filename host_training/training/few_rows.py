"""What to tell before the training: labels of which there is too little to learn from or to judge by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host_training.data.counts import in_splits
from host_training.data.keypoints import SPLITS, TRAIN
from host_training.words import joined

if TYPE_CHECKING:
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets

FEW = {TRAIN: 100}
"""Rows of a label in a split below which it is told; in the other splits only a label without any is told."""


def warnings(table: Table, targets: Targets) -> list[str]:
    """Labels with few or no rows, with a face, to train on, to choose by and to judge by: a line for each kind of lack.

    Args:
        table: the rows.
        targets: of the table.
    """
    counts = {name: in_splits(table, targets.shows(name) & table.found) for name in targets.labels}
    lines = []
    for place, split in enumerate(SPLITS):
        found = {name: by_split[place] for name, by_split in counts.items()}
        none = [name for name, rows in found.items() if not rows]
        few = [f"{name} ({rows})" for name, rows in found.items() if 0 < rows < FEW.get(split, 1)]
        if none and len(none) < len(found):
            lines.append(f"no {split} row shows {joined(none, 'or')}: {_NONE[split]}")
        if few:
            lines.append(f"few {split} rows show {joined(few)}: they will be read badly")
    return lines


_NONE = {
    TRAIN: "the model can't learn that; leave it out with --labels, or merge a table that has it",
    "validation": "no figure that chooses the model is about that",
    "test": "nothing will tell how well that is read",
}
