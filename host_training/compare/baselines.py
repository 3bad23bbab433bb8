"""Baselines that everything else has to beat: the most frequent label, and a linear model on our own features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from edge.classifier.features import Features
from host_training.compare.contender import Contender, Trained, TrainingData
from host_training.data.keypoints import TRAIN
from host_training.data.landmark_sets import mirrored, points_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

ITERATIONS = 5000
"""Maximum iterations of L-BFGS; 24,000 faces with 900 coordinates take about a thousand."""


def majority() -> Contender:
    """Always the most frequent label of the training rows; the labels' shares are the probabilities."""

    def fit(data: TrainingData, seed: int) -> Trained:
        del seed
        count = len(data.targets.labels)
        shares = (np.bincount(data.labels(TRAIN), minlength=count) / len(data.rows(TRAIN))).astype(np.float32)
        return Trained(lambda table: np.tile(shares, (len(table), 1)), count)

    return Contender("majority", "always the most frequent label", "labels", fit, seeded=False)


def logistic(regions: Sequence[str]) -> Contender:
    """Multinomial logistic regression with scikit-learn's default penalty, on some regions' canonical coordinates."""

    def fit(data: TrainingData, seed: int) -> Trained:
        del seed
        faces, label = data.landmarks(TRAIN), data.labels(TRAIN)
        features = Features.fit(np.concatenate([faces, mirrored(faces)]), points_of(regions))
        model = LogisticRegression(max_iter=ITERATIONS).fit(features(faces)[0], label)

        def probabilities(table: Table) -> NDArray[np.float32]:
            return spread(model.predict_proba(features(table.landmarks)[0]), model.classes_, len(data.targets.labels))

        return Trained(probabilities, model.coef_.size + model.intercept_.size)

    return Contender(
        "logistic",
        "logistic regression on the canonical coordinates that our network reads",
        "labels",
        fit,
        seeded=False,
    )


def spread(probabilities: NDArray[np.float64], known: NDArray[np.intp], labels: int) -> NDArray[np.float32]:
    """Probabilities, float[N, K], of those labels that occur in training, int[K], as float32[N, labels], else 0."""
    everything = np.zeros((len(probabilities), labels), np.float32)
    everything[:, known] = probabilities
    return everything
