"""The content of a keypoint table, counted, as Markdown: the body of a data card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from host_training.data import counts
from host_training.data.conditions import eye_distance
from host_training.data.keypoints import SPLITS
from host_training.data.labels import LABELS
from host_training.data.shape_code import UNITS
from host_training.data.votes import targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table


def text(table: Table) -> str:
    """Counts by data set, split and label, the share of faces found, and their size."""
    parts = [_rows(table)]
    for name in np.unique(table.data_set).tolist():
        mine = table.data_set == name
        for words, truth in (("majority of the votes, else the label", "votes"), ("the data set's own label", "label")):
            targets = targets_of(table, truth=truth)
            if (targets.judged & mine).any():
                parts.append(f"Labels of `{name}`, {words}:\n\n{_labels(table, targets.judged & mine, targets.hard)}")
    size = eye_distance(table.landmarks[table.found])
    low, median, high = np.percentile(size, [5, 50, 95]) if len(size) else (0, 0, 0)
    known = np.unique(table.mesh).tolist()
    models = [f"sha256 `{mesh}`" if len(mesh) > len("unknown") else mesh for mesh in known]
    parts.append(
        f"Distance between the irises: median {median:.0f} px, 5th to 95th percentile {low:.0f} to {high:.0f} px. "
        f"Landmarks are stored in steps of 1/{UNITS} of the face's longer side. Landmark model: {', '.join(models)}."
    )
    return "\n\n".join(parts) + "\n"


def _rows(table: Table) -> str:
    lines = []
    for name in np.unique(table.data_set).tolist():
        for split in SPLITS:
            rows = (table.data_set == name) & (table.split == split)
            if rows.any():
                found = int(table.found[rows].sum())
                share = found / rows.sum()
                known = counts.people(table, rows)
                people = f"{known:,}" if known else "unknown"
                lines.append((name, split, f"{rows.sum():,}", f"{found:,}", f"{share:.1%}", people))
    return _table(("data set", "split", "rows", "faces found", "share", "people"), lines)


def _labels(table: Table, judged: NDArray[np.bool_], hard: NDArray[np.intp]) -> str:
    kinds = [*((label, judged & (hard == index)) for index, label in enumerate(LABELS)), ("all", judged)]
    lines = [(name, *(f"{count:,}" for count in counts.in_splits(table, rows))) for name, rows in kinds]
    return _table(("label", *SPLITS), lines)


def _table(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    head = list(header)
    rows = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows])
