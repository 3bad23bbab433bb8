"""Which rows are alike in what makes a face hard to read: pose, size, brightness, sharpness, data set.

The borders are those of `data.conditions`, which are fixed: two evaluations can be compared slice by slice. Quantiles
would move with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.conditions import BRIGHTNESSES, POSES, SHARPNESSES, SIZES, eye_distance
from host_training.evaluation import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

POSE_NAMES = ("frontal, up to 15°", "15° to 30°", "30° to 45°", "over 45°")


@dataclass(frozen=True, slots=True)
class Slice:
    """How well rows of one kind are read."""

    name: str
    rows: int
    found: int
    """Rows in which the mesh saw a face; what is measured on a face is known of these alone."""
    accuracy: float
    """Of all its rows."""
    interval: metrics.Interval
    """95 %, see `metrics.intervals`."""


def judge(
    table: Table,
    right: NDArray[np.bool_],
    unit: NDArray[np.intp],
    frontality: NDArray[np.float64] | None,
) -> dict[str, tuple[Slice, ...]]:
    """How well the rows of every slice are read.

    Args:
        table: the N rows in question.
        right: bool[N], whether they were read rightly; false where no face was found.
        unit: int[N], equal for rows that belong together, as from `splits.units`.
        frontality: float64[M] of the M rows with a face, in their order, see `features.Pose`; None: not known.

    Returns:
        The slices by dimension. One without rows is left out, and so is a dimension without slices.
    """
    rows = rows_of(table, frontality)
    masks = np.array([mask for parts in rows.values() for mask in parts.values()]).T

    def accuracies(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        hits, whole = np.split(sums, 2, axis=1)
        return metrics.share(hits, whole, of_nothing=np.nan)

    columns = np.concatenate([masks & right[:, None], masks], axis=1).astype(np.float64)
    intervals = iter(metrics.intervals(unit, columns, accuracies))

    def judged(name: str, mask: NDArray[np.bool_]) -> Slice:
        interval = next(intervals)
        if len(np.unique(unit[mask])) < metrics.LEAST_UNITS:
            interval = (0.0, 1.0)
        return Slice(name, int(mask.sum()), int((mask & table.found).sum()), float(right[mask].mean()), interval)

    return {kind: tuple(judged(name, mask) for name, mask in parts.items()) for kind, parts in rows.items()}


def rows_of(table: Table, frontality: NDArray[np.float64] | None) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """The rows of every slice that has any, bool[N], by dimension and name; arguments as for `judge`."""
    angle = np.full(len(table), np.nan)
    if frontality is not None:
        angle[table.found] = np.degrees(np.arccos(np.clip(frontality, -1, 1)))
    cut = {
        "pose": _cut(angle, POSES, POSE_NAMES),
        "size": _cut(eye_distance(table.landmarks), SIZES, _names(SIZES, " px")),
        "brightness": _cut(table.brightness, BRIGHTNESSES, _names(BRIGHTNESSES)),
        "sharpness": _cut(table.sharpness, SHARPNESSES, _names(SHARPNESSES)),
        "data_set": {name: table.data_set == name for name in np.unique(table.data_set).tolist()},
    }
    filled = {kind: {name: rows for name, rows in parts.items() if rows.any()} for kind, parts in cut.items()}
    return {kind: parts for kind, parts in filled.items() if parts}


def _cut(values: NDArray[np.floating], borders: Sequence[float], names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """The rows below, between and above some borders; what lies on a border stands above it."""
    # A NaN is sorted behind everything else, so it has to be told from the largest.
    place = np.where(np.isnan(values), -1, np.searchsorted(borders, values.astype(np.float64), side="right"))
    return {name: place == index for index, name in enumerate(names)}


def _names(borders: Sequence[float], unit: str = "") -> list[str]:
    texts = [f"{border:g}" for border in borders]
    return [
        f"below {texts[0]}{unit}",
        *(f"{low} to {high}{unit}" for low, high in pairwise(texts)),
        f"{texts[-1]}{unit} and more",
    ]
