"""What everything else has to beat: the most frequent label, and a linear model of our own features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from edge.classifier.features import Features
from host_training.compare.contender import Contender, Lesson, Trained
from host_training.data.keypoints import TRAIN
from host_training.data.landmark_sets import mirrored, points_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

ITERATIONS = 5000
"""Of L-BFGS, at most; 24,000 faces and 900 coordinates take about a thousand."""


def majority() -> Contender:
    """Always the most frequent label of the training rows, with the labels' shares as probabilities."""

    def fit(lesson: Lesson, seed: int) -> Trained:
        del seed
        count = len(lesson.targets.labels)
        shares = (np.bincount(lesson.labels(TRAIN), minlength=count) / len(lesson.rows(TRAIN))).astype(np.float32)
        return Trained(lambda table: np.tile(shares, (len(table), 1)), count)

    return Contender("majority", "always the most frequent label", "labels", fit, seeded=False)


def logistic(regions: Sequence[str]) -> Contender:
    """Multinomial logistic regression with scikit-learn's own penalty on the canonical coordinates of some regions."""

    def fit(lesson: Lesson, seed: int) -> Trained:
        del seed
        faces, label = lesson.faces(TRAIN), lesson.labels(TRAIN)
        features = Features.fit(np.concatenate([faces, mirrored(faces)]), points_of(regions))
        model = LogisticRegression(max_iter=ITERATIONS).fit(features(faces)[0], label)

        def probabilities(table: Table) -> NDArray[np.float32]:
            return spread(model.predict_proba(features(table.landmarks)[0]), model.classes_, len(lesson.targets.labels))

        return Trained(probabilities, model.coef_.size + model.intercept_.size)

    return Contender(
        "logistic",
        "logistic regression on the canonical coordinates that our network reads",
        "labels",
        fit,
        seeded=False,
    )


def spread(probabilities: NDArray[np.float64], known: NDArray[np.intp], labels: int) -> NDArray[np.float32]:
    """Probabilities, float[N, K], of the labels that training rows had, int[K], as those of all: float32[N, labels]."""
    everything = np.zeros((len(probabilities), labels), np.float32)
    everything[:, known] = probabilities
    return everything
