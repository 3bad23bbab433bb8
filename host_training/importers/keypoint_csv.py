"""The keypoint.csv of older tools: a class and the x and y of 478 landmarks in each line; no pictures, no depth.

Programs around MediaPipe's face mesh write such tables. x and y are in px, or relative to the first point and divided
by the largest value. keypoint_classifier_label.csv beside it has a name for each class.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from edge.values import LANDMARKS
from host_training.data.keypoints import TRAIN, UNKNOWN_MESH
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.names import normal
from host_training.data.source import Measured
from host_training.errors import SourceError
from host_training.importers import csv_rows
from host_training.importers.label_names import LEAVE_OUT, LabelNames, reason

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.data.source import Options

SUMMARY = "landmarks from an older tool: keypoint.csv, with keypoint_classifier_label.csv beside it"
OPTIONS = frozenset({"labels", "subject"})

NAMES = "keypoint_classifier_label.csv"
"""File with the names of the classes."""
CELLS = 1 + 2 * LANDMARKS
"""Cells of a line."""
WITHOUT_IRISES = 468
"""Points of the mesh without irises."""
SIDE = 200
"""Longer side of a face's box in px, to which the coordinates are scaled: their unit is unknown."""


def load(path: Path, options: Options, depth_table: Path | None = None) -> Measured:
    """Read the landmarks and estimate their depth.

    Args:
        path: the csv file.
        options: the user's.
        depth_table: the keypoint table to learn depth from; None: the one that comes with the project.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in this layout.
        UsageError: nothing names the classes, or `options.labels` names one that does not exist.
        ConfigError: the table to learn depth from is missing.
    """
    from host_training.data.keypoints import Table
    from host_training.importers import depth

    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the keypoint.csv in it")
    classes = _classes(path.with_name(NAMES), options)
    names = LabelNames(options.labels)
    dropped: Counter[str] = Counter()
    lines, labels, points = [], [], []
    for line, cells in csv_rows.cells(path):
        number, face = _parse(cells, f"{path}, line {line}")
        label, why = _label(number, classes, names)
        if not label:
            dropped[why] += 1
        elif not np.ptp(face, axis=0).all():
            dropped["all landmarks are on one line"] += 1
        else:
            lines.append(line)
            labels.append(LABELS.index(label))
            points.append(face)
    names.ensure_all_met("class")
    if not points:
        raise SourceError(f"{path}: no row is left ({dropped.most_common(1)[0][0]})")
    flat = np.stack(points)
    count = len(flat)
    low = flat.min(axis=1, keepdims=True)
    scaled = ((flat - low) * (SIDE / np.ptp(flat, axis=1).max(axis=1)[:, None, None])).astype(np.float32)
    learned = depth.learned(depth_table or depth.PUBLISHED)
    subject = normal(options.subject or f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}")
    table = Table(
        data_set=np.full(count, "keypoint-csv"),
        source=np.array([f"{subject}/{line}" for line in lines]),
        split=np.full(count, TRAIN),
        subject=np.full(count, subject),
        group=np.array([_fingerprint(face) for face in flat], np.int64),
        label=np.array(labels, np.int8),
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(count, UNKNOWN_MESH),
        presence=np.ones(count, np.float32),
        brightness=np.full(count, np.nan, np.float32),
        sharpness=np.full(count, np.nan, np.float32),
        landmarks=np.concatenate([scaled, learned(scaled)[:, :, None]], axis=2),
    )
    notes = [
        "the depth of the landmarks is estimated from x and y",
        f"all rows are taken for one person, {subject!r}, and are in the {options.split or TRAIN} split"
        + ("" if options.subject else "; --subject names that person"),
    ]
    return Measured(table, dropped, notes)


def _classes(path: Path, options: Options) -> list[str]:
    """Names of the classes 0, 1, 2, ..."""
    if path.is_file():
        return [cells[0] for _, cells in csv_rows.cells(path)]
    if not options.labels:
        raise UsageError(f"{path} is missing; name the classes with --label 0=neutral --label 1=happiness and so on")
    return []


def _parse(cells: list[str], place: str) -> tuple[int, NDArray[np.float32]]:
    """Class and landmarks, float32[478, 2], of a line."""
    if len(cells) == 1 + 2 * WITHOUT_IRISES:
        raise SourceError(
            f"{place}: has {WITHOUT_IRISES} landmarks, but only the mesh with irises and {LANDMARKS} can be used"
        )
    if len(cells) != CELLS:
        raise SourceError(f"{place}: {len(cells)} cells instead of a class and {LANDMARKS} pairs of x and y")
    try:
        number = int(cells[0])
        face = np.array(cells[1:], np.float32).reshape(LANDMARKS, 2)
    except ValueError as error:
        raise SourceError(f"{place}: not all cells are numbers ({error})") from error
    if number < 0 or not np.isfinite(face).all():
        raise SourceError(f"{place}: not all cells are finite numbers")
    return number, face


def _label(number: int, classes: list[str], names: LabelNames) -> tuple[str | None, str]:
    """Label of a class, by its number or its name; or None and the reason."""
    name = classes[number] if number < len(classes) else ""
    label = names.find(str(number)) or (names.find(name) if name else None)
    if label is None or label == LEAVE_OUT:
        return None, reason("class", name or str(number), label)
    return label, ""


def _fingerprint(face: NDArray[np.float32]) -> int:
    """Hash of the coordinates, equal for equal ones."""
    return int.from_bytes(hashlib.sha256(face.astype("<f4").tobytes()).digest()[:8], "big", signed=True)
