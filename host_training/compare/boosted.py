"""Gradient-boosted trees on named measures of the face, like classifiers on blendshapes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from tqdm import tqdm

from edge.classifier.features import RIGID_POINTS, Features, canonical
from host_training.compare.baselines import spread
from host_training.compare.contender import Contender, Trained, TrainingData
from host_training.compare.measures import MEASURES, measured
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.landmark_sets import mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

LEARNING_RATE, LEAVES, PENALTY = 0.06, 15, 1.0
"""Hyperparameters of the trees, chosen on the validation split of FER2013 with the votes of FER+."""
ROUNDS, ROUNDS_AT_A_TIME = 300, 10
"""Maximum number of trees for each label, and number between two checks of the validation loss."""
PATIENCE = 3
"""Checks without a better validation loss after which it stops; the best trees are kept."""


def boosted() -> Contender:
    """scikit-learn's histogram gradient boosting on `measures.MEASURES`."""
    about = f"gradient-boosted trees on {len(MEASURES)} named distances, angles and ratios"
    return Contender("measures", about, "labels", _fit, seeded=False)


def _fit(data: TrainingData, seed: int) -> Trained:
    faces, label = data.landmarks(TRAIN), data.labels(TRAIN)
    rigid = np.array(RIGID_POINTS, np.intp)
    # With mirror images the reference is symmetric.
    reference = Features.fit(np.concatenate([faces, mirrored(faces)]), rigid).reference

    def columns(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        return measured(canonical(landmarks, rigid, reference)[0])

    training, validation = columns(faces), columns(data.landmarks(VALIDATION))
    count = len(data.targets.labels)
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
        model.set_params(max_iter=rounds).fit(training, label)
        probability = spread(model.predict_proba(validation), model.classes_, count)
        loss = log_loss(data.labels(VALIDATION), probability, labels=np.arange(count))
        if loss < least:
            best, least, worse = copy.deepcopy(model), loss, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break

    def probabilities(table: Table) -> NDArray[np.float32]:
        return spread(best.predict_proba(columns(table.landmarks)), best.classes_, count)

    # scikit-learn has no public access to its trees.
    trees = [tree for trees in best._predictors for tree in trees]  # noqa: SLF001 - see above
    # A tree with n leaves has n values and n - 1 splits, each with a measure and a threshold.
    return Trained(probabilities, sum(3 * tree.get_n_leaf_nodes() - 2 for tree in trees))
