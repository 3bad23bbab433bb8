"""Temperature scaling of logits (Guo et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.network import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOW, HIGH = 0.05, 20.0
"""Range of temperatures that is searched."""
STEPS = 60
"""Steps of the golden-section search: they narrow the interval to less than a float32 can resolve."""


def negative_log_likelihood(logits: NDArray[np.float32], label: NDArray[np.intp], temperature: float) -> float:
    """Mean, in nats, over labels, int[N], and logits, float32[N, C], at a temperature."""
    probability = softmax(logits, temperature)[np.arange(len(label)), label]
    return float(-np.log(np.maximum(probability, np.finfo(np.float32).tiny)).mean())


def fit_temperature(logits: NDArray[np.float32], label: NDArray[np.intp]) -> float:
    """The temperature with the lowest negative log-likelihood.

    The likelihood has a single optimum, which a golden-section search on the logarithm of the temperature finds.

    Args:
        logits: float32[N, C], of rows that were not trained on.
        label: int[N].
    """
    ratio = (np.sqrt(5) - 1) / 2
    low, high = float(np.log(LOW)), float(np.log(HIGH))
    for _ in range(STEPS):
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if negative_log_likelihood(logits, label, float(np.exp(first))) <= negative_log_likelihood(
            logits, label, float(np.exp(second))
        ):
            high = second
        else:
            low = first
    return round(float(np.exp((low + high) / 2)), 4)
