from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from host_training.training import parity

if TYPE_CHECKING:
    from numpy.typing import NDArray


def flipped(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities of 1000 rows, and the same with the label of `count` of them changed."""
    one = np.tile(np.array([[0.9, 0.1]], np.float32), (1000, 1))
    other = one.copy()
    other[:count] = other[:count, ::-1]
    return one, other


@pytest.mark.parametrize(("count", "holds"), [(0, True), (5, True), (6, False), (20, False)])
def test_parity_allows_a_loss_of_half_a_point_of_accuracy_and_no_more(count: int, holds: bool):
    found = parity.compare(*flipped(count), np.zeros(1000, np.intp))

    assert found.holds is holds


@pytest.mark.parametrize(("count", "holds"), [(10, True), (11, False)])
def test_parity_needs_the_same_labels_even_if_accuracy_rises(count: int, holds: bool):
    found = parity.compare(*flipped(count), np.ones(1000, np.intp))

    assert found.int8_accuracy >= found.float_accuracy
    assert found.holds is holds


def test_parity_has_the_differences_of_the_probabilities():
    found = parity.compare(*flipped(500), np.zeros(1000, np.intp))

    assert found.max_difference == pytest.approx(0.8)
    assert found.mean_difference == pytest.approx(0.4)
