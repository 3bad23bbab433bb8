"""Balance between frequent and rare labels: class weights, up-sampling and down-sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_weights(targets: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Weight of each row, float32[N], 1 on average: its labels' frequency to the power of -`power`.

    Args:
        targets: float32[N, C], soft labels.
        power: 0 weighs all rows alike, 1 gives all labels the same total weight.
    """
    frequency = targets.mean(axis=0)
    # A label without votes gets weight 0, not infinity.
    by_label = np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -power, 0)
    weights = targets @ by_label
    return (weights / weights.mean()).astype(np.float32)


def sample(targets: NDArray[np.float32], *, up: float, down: float, seed: int) -> NDArray[np.intp]:
    """Rows to train on, int[M], in rising order: some several times (`up`), some not at all (`down`).

    A label with n rows gets n * (n_max / n) ** up of them; of these, n' * (n'_min / n') ** down are kept. Every row is
    first taken as often as all rows can be; the remainder is drawn at random.

    Args:
        targets: float32[N, C], soft labels; a row counts for its most likely label.
        up: 0 repeats no row; 1 makes every label as frequent as the most frequent one.
        down: 0 leaves no row out; 1 makes every label as rare as the rarest one.
        seed: of the random draw.
    """
    label = targets.argmax(axis=1)
    count = np.bincount(label, minlength=targets.shape[1]).astype(np.float64)
    occurs = count > 0
    wanted = count.copy()
    wanted[occurs] *= (np.max(wanted[occurs]) / wanted[occurs]) ** up
    wanted[occurs] *= (np.min(wanted[occurs]) / wanted[occurs]) ** down
    rng = np.random.default_rng(seed)
    chosen = []
    for index in np.flatnonzero(occurs).tolist():
        rows = np.flatnonzero(label == index)
        copies, rest = divmod(round(wanted[index]), len(rows))
        chosen += [np.tile(rows, copies), rng.choice(rows, rest, replace=False)]
    return np.sort(np.concatenate(chosen))
