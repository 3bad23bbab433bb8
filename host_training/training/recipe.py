"""The core of training: rows of a table -> feature contract, float network, temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier import softmax
from edge.features import Features
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.landmark_sets import mirrored, points_of
from host_training.errors import TableError
from host_training.training import calibrate, network
from host_training.training.balance import class_weights, sample
from host_training.training.network import Layer, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained float network with everything that goes before and after it."""

    features: Features
    layers: list[Layer]
    temperature: float
    losses: dict[str, list[float]]
    """`loss` and `val_loss`, by epoch."""

    def probabilities(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[N, C], calibrated on the validation rows, of faces, float32[N, 478, 3] px."""
        vectors, _ = self.features(landmarks)
        return softmax(network.logits(self.layers, vectors), self.temperature)


def rows_of(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[M]: the rows of a split that teach something."""
    return np.flatnonzero(targets.usable & table.found & (table.split == split))


def fit(
    table: Table,
    targets: Targets,
    settings: TrainSettings,
    *,
    training: NDArray[np.intp] | None = None,
    validation: NDArray[np.intp] | None = None,
    label: str = "training",
) -> Fitted:
    """Train a network.

    Args:
        table: the rows.
        targets: what they teach.
        settings: the recipe.
        training: int[M], the rows to learn from; None: those of the training split.
        validation: int[V], the rows that stop it and set its temperature; None: those of the validation split.
        label: what the progress bar says.

    Raises:
        TableError: there is nothing to learn from, or nothing to watch it on.
    """
    mine = rows_of(table, targets, TRAIN) if training is None else training
    theirs = rows_of(table, targets, VALIDATION) if validation is None else validation
    judged = theirs[targets.judged[theirs]]
    for rows, split in ((mine, TRAIN), (judged, VALIDATION)):
        if not len(rows):
            raise TableError(f"the table has no usable row in its {split} split: import a whole data set")
    features, learnt = prepare(table, targets, mine, settings)
    vectors, _ = features(table.landmarks[theirs])
    watched = Rows(vectors, targets.soft[theirs], np.ones(len(theirs), np.float32))
    layers, losses = network.train(learnt, watched, features, settings, label=label)
    vectors, _ = features(table.landmarks[judged])
    temperature = calibrate.temperature(network.logits(layers, vectors), targets.hard[judged])
    return Fitted(features, layers, temperature, losses)


def prepare(table: Table, targets: Targets, rows: NDArray[np.intp], settings: TrainSettings) -> tuple[Features, Rows]:
    """The feature contract that some rows, int[M], give, and what is learnt from them: balanced, and mirrored."""
    balance, soft = settings.balance, targets.soft[rows]
    landmarks = table.landmarks[rows]
    # Mirror images make the reference and the statistics even-handed too.
    both = np.concatenate([landmarks, mirrored(landmarks)]) if settings.augmentation.mirror else landmarks
    features = Features.fit(both, points_of(settings.features.regions))
    chosen = sample(soft, up=balance.up_sampling, down=balance.down_sampling, seed=settings.seed)
    weights = class_weights(soft[chosen], balance.class_weight_power)
    sides = len(both) // len(landmarks)
    vectors, _ = features(np.concatenate([side[chosen] for side in np.split(both, sides)]))
    return features, Rows(vectors, np.tile(soft[chosen], (sides, 1)), np.tile(weights, sides))
