"""Gradient-boosted trees on named measures of the face, in the manner of classifiers on blendshapes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from tqdm import tqdm

from edge.classifier.features import RIGID_POINTS, Features, canonical
from host_training.compare.baselines import spread
from host_training.compare.contender import Contender, Lesson, Trained
from host_training.compare.measures import MEASURES, measured
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.landmark_sets import mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

LEARNING_RATE, LEAVES, PENALTY = 0.06, 15, 1.0
"""Of the trees; chosen on the validation split of FER2013 with the votes of FER+."""
ROUNDS, ROUNDS_AT_A_TIME = 300, 10
"""Trees a label, at most, and between two looks at the validation rows."""
PATIENCE = 3
"""Looks without a better validation loss after which it stops; the best trees are kept."""


def boosted() -> Contender:
    """scikit-learn's histogram gradient boosting on `measures.MEASURES`."""
    about = f"gradient-boosted trees on {len(MEASURES)} named distances, angles and ratios"
    return Contender("measures", about, "labels", _fit, seeded=False)


def _fit(lesson: Lesson, seed: int) -> Trained:
    faces, label = lesson.faces(TRAIN), lesson.labels(TRAIN)
    rigid = np.array(RIGID_POINTS, np.intp)
    # The mirror images make the canonical pose the same for both sides of the face.
    reference = Features.fit(np.concatenate([faces, mirrored(faces)]), rigid).reference

    def columns(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        return measured(canonical(landmarks, rigid, reference)[0])

    learnt, watched = columns(faces), columns(lesson.faces(VALIDATION))
    count = len(lesson.targets.labels)
    model = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=LEAVES,
        l2_regularization=PENALTY,
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )
    best, least, worse = model, np.inf, 0
    for rounds in tqdm(range(ROUNDS_AT_A_TIME, ROUNDS + 1, ROUNDS_AT_A_TIME), desc="measures", leave=False):
        model.set_params(max_iter=rounds).fit(learnt, label)
        said = spread(model.predict_proba(watched), model.classes_, count)
        loss = log_loss(lesson.labels(VALIDATION), said, labels=np.arange(count))
        if loss < least:
            best, least, worse = copy.deepcopy(model), loss, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break

    def probabilities(table: Table) -> NDArray[np.float32]:
        return spread(best.predict_proba(columns(table.landmarks)), best.classes_, count)

    # scikit-learn has no public way to its trees.
    trees = [tree for trees in best._predictors for tree in trees]  # noqa: SLF001 - see above
    # A tree of n leaves has n values, and n - 1 questions of a measure and a threshold each.
    return Trained(probabilities, sum(3 * tree.get_n_leaf_nodes() - 2 for tree in trees))
