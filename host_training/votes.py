"""What people said about a picture, and what follows from it (FER+, Barsoum et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The expressions that the classifier knows, in the order of its outputs."""

COLUMNS = (*LABELS, "unknown", "NF")
"""What could be voted for: an expression, `unknown`, or `NF`, no face."""


def without_strays(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Votes, int64[N, 10], with every single vote set to 0: FER+ takes a lone vote for an outlier."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def majority(votes: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The FER+ majority protocol.

    Args:
        votes: uint8[N, 10] in the order of `COLUMNS`.

    Returns:
        The label with most votes, int[N], an index into `COLUMNS`; and whether the row takes part, bool[N]:
        its label is an expression and has more than half of the votes that are left without strays.
    """
    left = without_strays(votes)
    label = left.argmax(axis=1)
    taken = (left.max(axis=1) * 2 > left.sum(axis=1)) & (label < len(LABELS))
    return label, taken


def soft_targets(votes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The distribution of the votes over the expressions, float32[N, 8], and whether a row has any, bool[N].

    Rows without a vote for an expression are all zero.
    """
    left = without_strays(votes)[:, : len(LABELS)]
    total = left.sum(axis=1)
    return (left / np.maximum(total, 1)[:, None]).astype(np.float32), total > 0
