from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.network import softmax
from host_training.evaluation.metrics import reliability
from host_training.training.temperature import fit_temperature, negative_log_likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray


def calibration_error(probabilities: NDArray[np.float32], right: NDArray[np.bool_]):
    bins = [each for each in reliability(probabilities.max(axis=1).astype(np.float64), right) if each.rows]
    return sum(each.rows * abs(each.confidence - each.accuracy) for each in bins) / len(right)


@pytest.fixture
def honest():
    """Logits, float32[20000, 4], and labels drawn from the very probabilities that they stand for."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 4)).astype(np.float32)
    chance = softmax(logits, 1).cumsum(axis=1)
    return logits, (rng.random((20000, 1)) > chance).sum(axis=1).clip(0, 3)


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(honest: tuple[NDArray[np.float32], NDArray[np.intp]], factor: float):
    logits, label = honest

    assert fit_temperature(logits * np.float32(factor), label) == pytest.approx(factor, rel=0.05)


def test_the_temperature_lowers_loss_and_calibration_error(honest: tuple[NDArray[np.float32], NDArray[np.intp]]):
    logits, label = honest[0] * np.float32(3), honest[1]
    right = logits.argmax(axis=1) == label

    fitted = fit_temperature(logits, label)

    assert negative_log_likelihood(logits, label, fitted) < negative_log_likelihood(logits, label, 1.0) - 0.1
    assert calibration_error(softmax(logits, fitted), right) < 0.03 < calibration_error(softmax(logits, 1), right)
