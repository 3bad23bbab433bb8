"""Evaluates a bundle on rows that it was not trained on, with the edge's own interpreter."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge.errors import ConfigError, DataError, NoInputError, UsageError
from host_training.data.conditions import frontality_of
from host_training.data.inputs import inputs_of
from host_training.data.keypoints import TEST
from host_training.data.labels import LABELS, checked_labels
from host_training.data.votes import VOTES, targets_of
from host_training.evaluation.engines import compare
from host_training.evaluation.scores import judged_rows, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.classifier.network import Classifier
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.evaluation.scores import Scores

CHUNK = 256
"""Rows between two steps of the progress bar."""


def evaluate(
    bundle: Bundle,
    table: Table,
    split: str = TEST,
    *,
    labels: Sequence[str] | None = None,
    truth: str = VOTES,
    inputs: Inputs | None = None,
    engines: bool = False,
) -> Scores:
    """Evaluate a bundle on a table.

    Args:
        bundle: from `edge.bundle.bundle.load`.
        table: the rows.
        split: the rows that count, one of `keypoints.SPLITS`, or `keypoints.ALL`.
        labels: the labels in question, of those that the bundle reads; None: all of them. The probabilities of the
            others are left out and the rest scaled to a sum of 1; rows of the others do not count.
        truth: one of `votes.TRUTHS`.
        inputs: of the rows that count, and maybe more, from `inputs_of_split`; None: they are built here, for a bundle
            that reads landmarks alone.
        engines: compare the edge's interpreter with others; needs TensorFlow and the bundle's float network.

    Raises:
        ConfigError: the bundle reads a label that the kit does not know.
        UsageError: a label, the split or the truth is unknown, or the bundle reads crops and there are no inputs.
        TableError: no row has a label to compare with.
    """
    known = _labels_of(bundle, labels)
    targets = targets_of(table, known, truth)
    rows = judged_rows(table, targets, split)
    found = table.found[rows]
    landmarks = table.landmarks[rows[found]]
    inputs = inputs_of(bundle.features, table, rows[found]) if inputs is None else inputs.of(rows[found])
    columns = [bundle.labels.index(name) for name in known]
    probabilities = classify(bundle.classifier, landmarks, inputs.crops, len(bundle.labels))[:, columns]
    # A network that is sure of a label left out gives almost nothing to these.
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    frontality = frontality_of(bundle.features, landmarks)
    scores = score(probabilities, table, targets, split, truth=truth, frontality=frontality)
    if not engines:
        return scores
    try:
        compared = compare(bundle, inputs, found, targets.hard[rows], columns)
    except (NoInputError, DataError) as error:
        return dataclasses.replace(scores, engines_missing=str(error))
    return dataclasses.replace(scores, engines=compared)


def classify(
    classifier: Classifier, landmarks: NDArray[np.float32], crops: NDArray[np.uint8] | None, labels: int
) -> NDArray[np.float32]:
    """A device's probabilities, float32[N, labels], for faces, float32[N, 478, 3] px, and crops, uint8[N, S, S]."""
    parts = [np.zeros((0, labels), np.float32)]
    with tqdm(total=len(landmarks), desc="classifying", unit=" faces", leave=False) as bar:
        for start in range(0, len(landmarks), CHUNK):
            part = slice(start, start + CHUNK)
            parts.append(classifier.probabilities(landmarks[part], None if crops is None else crops[part]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def _labels_of(bundle: Bundle, labels: Sequence[str] | None) -> tuple[str, ...]:
    foreign = [name for name in bundle.labels if name not in LABELS]
    if foreign:
        raise ConfigError(f"{bundle.folder}: reads {foreign[0]!r}, and the kit knows only {', '.join(LABELS)}")
    known = checked_labels(bundle.labels if labels is None else labels)
    for name in known:
        if name not in bundle.labels:
            raise UsageError(f"{bundle.folder}: does not read {name!r}, only {', '.join(bundle.labels)}")
    return known
