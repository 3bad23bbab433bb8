from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.keypoints import SPLITS
from host_training.data.labels import LABELS
from host_training.data.votes import targets_of
from host_training.training.few_rows import warnings

if TYPE_CHECKING:
    from host_training.data.keypoints import Table


def shaped(table: Table, rows: dict[str, dict[str, int]]) -> Table:
    """A table with so many rows of each label in each split, all with a face."""
    kinds = [
        (split, LABELS.index(name)) for split, names in rows.items() for name, n in names.items() for _ in range(n)
    ]
    face = np.flatnonzero(table.found)[0]
    columns = {
        field.name: np.repeat(getattr(table, field.name)[[face]], len(kinds), 0) for field in dataclasses.fields(table)
    }
    split, label = zip(*kinds, strict=True)
    columns |= {"split": np.array(split), "label": np.array(label, np.int8), "votes": columns["votes"] * 0}
    return type(table)(**columns)


def test_labels_with_few_or_no_rows_are_named(table: Table):
    three = ("neutral", "happiness", "fear")
    mine = shaped(
        table,
        {"train": {"neutral": 100, "happiness": 99}, "validation": {"neutral": 1, "fear": 1}, "test": {"neutral": 2}},
    )

    assert warnings(mine, targets_of(mine, three)) == [
        "no train row shows fear: the model can't learn that; leave it out with --labels, or merge a table that has it",
        "few train rows show happiness (99): they will be read badly",
        "no validation row shows happiness: no figure that chooses the model is about that",
        "no test row shows happiness or fear: nothing will tell how well that is read",
    ]


def test_missed_faces_are_no_rows_to_learn_from(table: Table):
    mine = shaped(table, {split: {"neutral": 200, "happiness": 200} for split in SPLITS})
    lost = (mine.split == "train") & (mine.label == LABELS.index("happiness"))
    mine.landmarks[lost] = np.nan

    (line,) = warnings(mine, targets_of(mine, ("neutral", "happiness")))

    assert line.startswith("no train row shows happiness")


def test_a_full_table_is_passed_over_in_silence(table: Table):
    mine = shaped(table, {split: {"neutral": 100, "happiness": 100} for split in SPLITS})

    assert warnings(mine, targets_of(mine, ("neutral", "happiness"))) == []
