from __future__ import annotations

import numpy as np
import pytest

from host_training.votes import LABELS, majority, soft_targets

#        neu hap sur sad ang dis fea con unk NF
CLEAR = [8, 2, 0, 0, 0, 0, 0, 0, 0, 0]
HALF = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
STRAYS = [4, 0, 1, 1, 1, 1, 1, 1, 0, 0]
UNKNOWN = [0, 2, 0, 0, 0, 0, 0, 0, 8, 0]
NO_FACE = [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]


@pytest.mark.parametrize(
    ("votes", "taken"), [(CLEAR, True), (HALF, False), (STRAYS, True), (UNKNOWN, False), (NO_FACE, False)]
)
def test_a_row_takes_part_if_an_expression_has_more_than_half_of_the_votes_left(votes: list[int], taken: bool):
    _, part = majority(np.array([votes], np.uint8))

    assert part.tolist() == [taken]


def test_the_label_is_the_expression_with_most_votes():
    label, _ = majority(np.array([CLEAR, [0, 2, 0, 0, 8, 0, 0, 0, 0, 0]], np.uint8))

    assert [LABELS[index] for index in label] == ["neutral", "anger"]


def test_targets_are_the_share_of_votes_among_expressions_without_strays():
    targets, voted = soft_targets(np.array([CLEAR, [3, 6, 1, 0, 0, 0, 0, 0, 0, 0], UNKNOWN, NO_FACE], np.uint8))

    np.testing.assert_allclose(targets[0, :2], [0.8, 0.2])
    np.testing.assert_allclose(targets[1, :3], [1 / 3, 2 / 3, 0])
    assert targets[2, LABELS.index("happiness")] == 1
    assert voted.tolist() == [True, True, True, False]
