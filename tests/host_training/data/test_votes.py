from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.errors import UsageError
from host_training.data.keypoints import take
from host_training.data.labels import LABELS
from host_training.data.votes import majority, soft_targets, targets_of

if TYPE_CHECKING:
    from host_training.data.keypoints import Table

#        neu hap sur sad ang dis fea con unk NF
CLEAR = [8, 2, 0, 0, 0, 0, 0, 0, 0, 0]
HALF = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
OUTLIERS = [4, 0, 1, 1, 1, 1, 1, 1, 0, 0]
UNKNOWN = [0, 2, 0, 0, 0, 0, 0, 0, 8, 0]
NO_FACE = [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]


@pytest.mark.parametrize(
    ("votes", "taken"), [(CLEAR, True), (HALF, False), (OUTLIERS, True), (UNKNOWN, False), (NO_FACE, False)]
)
def test_a_row_takes_part_if_an_expression_has_more_than_half_of_the_votes_left(votes: list[int], taken: bool):
    _, part = majority(np.array([votes], np.uint8))

    assert part.tolist() == [taken]


def test_the_label_is_the_expression_with_most_votes():
    label, _ = majority(np.array([CLEAR, [0, 2, 0, 0, 8, 0, 0, 0, 0, 0]], np.uint8))

    assert [LABELS[index] for index in label] == ["neutral", "anger"]


def test_targets_are_the_share_of_votes_among_expressions_without_outliers():
    targets, voted = soft_targets(np.array([CLEAR, [3, 6, 1, 0, 0, 0, 0, 0, 0, 0], UNKNOWN, NO_FACE], np.uint8))

    np.testing.assert_allclose(targets[0, :2], [0.8, 0.2])
    np.testing.assert_allclose(targets[1, :3], [1 / 3, 2 / 3, 0])
    assert targets[2, LABELS.index("happiness")] == 1
    assert voted.tolist() == [True, True, True, False]


def rows_of(table: Table, votes: list[list[int]], labels: list[str]):
    """A table of as many rows as there are votes."""
    count = len(votes)
    index = [LABELS.index(name) if name else -1 for name in labels]
    few = take(table, np.arange(count))
    return dataclasses.replace(few, votes=np.array(votes, np.uint8), label=np.array(index, np.int8))


NOBODY = [0] * 10


def test_prefers_votes_to_the_label(table: Table):
    rows = rows_of(table, [[8, 2, 0, 0, 0, 0, 0, 0, 0, 0], NOBODY, NOBODY], ["fear", "fear", ""])

    targets = targets_of(rows)

    assert [targets.labels[index] for index in targets.hard[:2]] == ["neutral", "fear"]
    np.testing.assert_allclose(targets.soft[:, [0, 1, 6]], np.array([[0.8, 0.2, 0], [0, 0, 1], [0, 0, 0]]), atol=1e-6)
    assert targets.judged.tolist() == targets.usable.tolist() == [True, True, False]


def test_uses_the_label_alone_if_asked_to(table: Table):
    rows = rows_of(table, [[8, 2, 0, 0, 0, 0, 0, 0, 0, 0], NOBODY], ["fear", ""])

    targets = targets_of(rows, truth="label")

    assert targets.labels[targets.hard[0]] == "fear"
    assert targets.judged.tolist() == targets.usable.tolist() == [True, False]


def test_of_some_labels_only_rows_mostly_about_them_take_part_and_their_shares_add_up(table: Table):
    rows = rows_of(table, [[0, 6, 0, 0, 0, 0, 4, 0, 0, 0], [0, 3, 0, 0, 0, 0, 7, 0, 0, 0], NOBODY], ["", "", "fear"])

    targets = targets_of(rows, ["anger", "happiness"])

    assert targets.labels == ("happiness", "anger")  # in the order of all labels
    np.testing.assert_allclose(targets.soft, [[1, 0], [0, 0], [0, 0]])
    assert targets.judged.tolist() == [True, False, False]
    assert targets.hard.tolist() == [0, 0, 0]


def test_a_row_without_a_clear_majority_teaches_but_does_not_judge(table: Table):
    rows = rows_of(table, [[5, 5, 0, 0, 0, 0, 0, 0, 0, 0]], ["anger"])

    targets = targets_of(rows)

    assert targets.usable.tolist() == [True]
    assert targets.judged.tolist() == [False]


@pytest.mark.parametrize("labels", [["anger"], ["anger", "anger"], ["anger", "glee"]])
def test_refuses_an_invalid_choice_of_labels(table: Table, labels: list[str]):
    with pytest.raises(UsageError):
        targets_of(table, labels)


def test_an_unknown_truth_is_refused(table: Table):
    with pytest.raises(UsageError, match=r"unknown truth 'gut feeling'; choose votes or label"):
        targets_of(table, truth="gut feeling")
