"""Ways to keep a network from saying the dominant expression only: class weights, up- and down-sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_weights(targets: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """How much each row counts, float32[N], 1 on average: its labels' frequency to the power of -`power`.

    Args:
        targets: float32[N, C], distributions.
        power: 0 leaves all rows alike, 1 makes all labels weigh the same.
    """
    frequency = targets.mean(axis=0)
    # A label that nobody voted for weighs nothing instead of everything.
    by_label = np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -power, 0)
    weights = targets @ by_label
    return (weights / weights.mean()).astype(np.float32)


def sample(targets: NDArray[np.float32], *, up: float, down: float, seed: int) -> NDArray[np.intp]:
    """Which rows to train on, int[M], in rising order: some several times (`up`), some not at all (`down`).

    A label with n of the rows gets n * (most / n) ** up of them, and then, of what that made, down * likewise
    towards the rarest. Whole copies come first; which rows make up the rest is drawn.

    Args:
        targets: float32[N, C], distributions; a row belongs to its most likely label.
        up: 0 repeats none, 1 until all labels number as many as the most frequent.
        down: 0 leaves none out, 1 until all labels number as few as the rarest.
        seed: draws.
    """
    label = targets.argmax(axis=1)
    count = np.bincount(label, minlength=targets.shape[1]).astype(np.float64)
    there = count > 0
    wanted = count.copy()
    wanted[there] *= (np.max(wanted[there]) / wanted[there]) ** up
    wanted[there] *= (np.min(wanted[there]) / wanted[there]) ** down
    rng = np.random.default_rng(seed)
    chosen = []
    for index in np.flatnonzero(there).tolist():
        rows = np.flatnonzero(label == index)
        copies, rest = divmod(round(wanted[index]), len(rows))
        chosen += [np.tile(rows, copies), rng.choice(rows, rest, replace=False)]
    return np.sort(np.concatenate(chosen))
