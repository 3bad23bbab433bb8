from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.counts import NAMED, lost
from host_training.data.keypoints import Table, take

if TYPE_CHECKING:
    from collections.abc import Sequence


def of(table: Table, subjects: Sequence[str]) -> Table:
    return dataclasses.replace(take(table, np.arange(len(subjects))), subject=np.array(subjects))


def test_people_of_whom_rows_were_left_out_are_named(table: Table):
    before = of(table, ["anna", "ben", "ben", "", "cora", "cora", "cora"])

    assert lost(before, take(before, np.array([1, 4]))) == [
        "  of tiny/cora: 2 of 3 rows",
        "  of tiny/anna: all 1 rows",
        "  of tiny/ben: 1 of 2 rows",
    ]
    assert lost(before, before) == []


def test_of_many_people_the_first_are_named(table: Table):
    before = of(table, [f"p{number}" for number in range(NAMED + 3)])

    assert lost(before, take(before, np.array([0])))[NAMED - 1 :] == [
        f"  of tiny/p{NAMED}: all 1 rows",
        "  and of 2 other people",
    ]
