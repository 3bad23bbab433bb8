"""Slices of rows by what makes a face hard to read: pose, size, brightness, sharpness, data set.

The borders, in `data.conditions`, are fixed, so that two evaluations can be compared slice by slice; quantiles would
move with the rows.
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
    """Accuracy on the rows of one slice."""

    name: str
    rows: int
    found: int
    """Rows in which the mesh found a face."""
    accuracy: float
    """Over all its rows; missed faces are errors."""
    interval: metrics.Interval
    """95 %, see `metrics.intervals`."""


def by_slice(
    table: Table,
    correct: NDArray[np.bool_],
    unit: NDArray[np.intp],
    frontality: NDArray[np.float64] | None,
) -> dict[str, tuple[Slice, ...]]:
    """Accuracy on every slice.

    Args:
        table: the N rows.
        correct: bool[N], whether the predicted label is the true one; false where no face was found.
        unit: int[N], equal for rows of one person or picture, as from `splits.units`.
        frontality: float64[M] of the M rows with a face, in their order, see `features.Pose`; None: unknown.

    Returns:
        The slices by dimension, without empty slices and dimensions.
    """
    rows = rows_of(table, frontality)
    masks = np.array([mask for parts in rows.values() for mask in parts.values()]).T

    def accuracies(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        hits, whole = np.split(sums, 2, axis=1)
        return metrics.share(hits, whole, of_nothing=np.nan)

    columns = np.concatenate([masks & correct[:, None], masks], axis=1).astype(np.float64)
    intervals = iter(metrics.intervals(unit, columns, accuracies))

    def scored(name: str, mask: NDArray[np.bool_]) -> Slice:
        interval = next(intervals)
        if len(np.unique(unit[mask])) < metrics.LEAST_UNITS:
            interval = (0.0, 1.0)
        return Slice(name, int(mask.sum()), int((mask & table.found).sum()), float(correct[mask].mean()), interval)

    return {kind: tuple(scored(name, mask) for name, mask in parts.items()) for kind, parts in rows.items()}


def rows_of(table: Table, frontality: NDArray[np.float64] | None) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Rows of every slice that has any, bool[N], by dimension and name; arguments as for `by_slice`."""
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
    """Rows below, between and above the borders; a value on a border belongs to the slice above it."""
    # searchsorted puts a NaN with the largest values.
    place = np.where(np.isnan(values), -1, np.searchsorted(borders, values.astype(np.float64), side="right"))
    return {name: place == index for index, name in enumerate(names)}


def _names(borders: Sequence[float], unit: str = "") -> list[str]:
    texts = [f"{border:g}" for border in borders]
    return [
        f"below {texts[0]}{unit}",
        *(f"{low} to {high}{unit}" for low, high in pairwise(texts)),
        f"{texts[-1]}{unit} and more",
    ]
