"""Parity of an int8 network with the float network that it was quantised from; no TensorFlow needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_AGREEMENT = 0.99
"""Minimum share of the validation rows on which both predict the same label."""
MAX_LOSS = 0.005
"""Maximum accuracy, as a share, that int8 may lose on the validation rows."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How int8 and float compare on the validation rows."""

    float_accuracy: float
    int8_accuracy: float
    agreement: float
    """Share of rows with the same predicted label."""
    mean_difference: float
    """Mean absolute difference of the probabilities."""
    max_difference: float

    @property
    def holds(self) -> bool:
        """Whether the int8 network may replace the float one."""
        return self.agreement >= MIN_AGREEMENT and round(self.float_accuracy - self.int8_accuracy, 9) <= MAX_LOSS


def compare(by_float: NDArray[np.float32], by_int8: NDArray[np.float32], label: NDArray[np.intp]) -> Parity:
    """Compare the probabilities of two networks, float32[N, C], on rows with known labels, int[N]."""
    difference = np.abs(by_float - by_int8)
    first, second = by_float.argmax(axis=1), by_int8.argmax(axis=1)
    return Parity(
        float_accuracy=float((first == label).mean()),
        int8_accuracy=float((second == label).mean()),
        agreement=float((first == second).mean()),
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
    )
