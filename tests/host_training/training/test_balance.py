from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_training.training.balance import class_weights, sample

TARGETS = np.eye(3, dtype=np.float32)[[0] * 90 + [1] * 10]


def counts(rows: np.ndarray):
    return np.bincount(TARGETS[rows].argmax(axis=1), minlength=3).tolist()


def test_rare_labels_weigh_more_and_the_average_row_weighs_one():
    weights = class_weights(TARGETS, 0.5)

    assert weights.mean() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(3)


def test_power_0_leaves_all_rows_alike():
    np.testing.assert_allclose(class_weights(TARGETS, 0), 1, rtol=1e-6)


def test_a_row_of_two_minds_weighs_as_much_as_its_labels_on_average():
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0.5, 0.5]], np.float32)

    weights = class_weights(targets, 1)

    assert weights[4] == pytest.approx((weights[0] + weights[3]) / 2)


def test_nothing_asked_for_leaves_every_row_once():
    np.testing.assert_array_equal(sample(TARGETS, up=0, down=0, seed=1), np.arange(100))


@pytest.mark.parametrize(
    ("up", "down", "expected"), [(1, 0, [90, 90, 0]), (0, 1, [10, 10, 0]), (0.5, 0, [90, 30, 0]), (0, 0.5, [30, 10, 0])]
)
def test_rare_labels_are_repeated_and_frequent_ones_left_out(up: float, down: float, expected: list[int]):
    assert counts(sample(TARGETS, up=up, down=down, seed=1)) == expected


def test_up_sampling_repeats_every_row_before_it_repeats_one_again():
    copies = np.bincount(sample(TARGETS, up=0.8, down=0, seed=1))[90:]

    assert copies.sum() == round(10 * 9**0.8)
    assert set(copies.tolist()) == {min(copies), min(copies) + 1}


@given(up=st.floats(0, 1), down=st.floats(0, 1), seed=st.integers(0, 9))
def test_the_same_seed_draws_the_same_rows_and_order_of_frequency_stays(up: float, down: float, seed: int):
    rows = sample(TARGETS, up=up, down=down, seed=seed)

    np.testing.assert_array_equal(rows, sample(TARGETS, up=up, down=down, seed=seed))
    assert (np.diff(rows) >= 0).all()
    most, least, none = counts(rows)
    assert most >= least > none == 0
