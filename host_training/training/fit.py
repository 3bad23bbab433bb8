"""The core of training: rows and crops -> feature contract, float network, temperature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.crop import FaceCrop
from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT, Features
from edge.classifier.network import softmax
from host_training.data.inputs import inputs_of_split
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.labels import NEUTRAL
from host_training.data.landmark_sets import mirrored, points_of
from host_training.errors import TableError
from host_training.progress import step
from host_training.training import crop_network, landmark_network
from host_training.training.balance import class_weights, sample
from host_training.training.crop_batches import CropExamples
from host_training.training.float_network import FloatNetwork, fuse
from host_training.training.landmark_network import Examples
from host_training.training.recipe import EARLY
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained float network with the feature contract before it and the temperature after it."""

    features: Features
    network: FloatNetwork
    temperature: float
    losses: dict[str, dict[str, list[float]]]
    """`loss` and `val_loss` by epoch, by the input of the network."""
    crop_share: float | None = None
    """Share of the crop network in the sum; None: there is no sum."""

    def probabilities(self, inputs: Inputs) -> NDArray[np.float32]:
        """float32[N, C], with the temperature of the validation rows."""
        return softmax(self.network.logits(inputs), self.temperature)


def rows_of(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[M]: the rows of a split that have soft labels and a face."""
    return np.flatnonzero(targets.usable & table.found & (table.split == split))


def prepare(
    table: Table,
    targets: Targets,
    recipe: Recipe,
    store: CropStore | None = None,
    splits: Sequence[str] = (TRAIN, VALIDATION),
) -> tuple[Features, dict[str, Inputs]]:
    """The feature contract of the training rows, and the inputs of each split under it.

    Args:
        table: the rows.
        targets: of the rows.
        recipe: the knobs.
        store: the crop store of the table, if the network reads crops.
        splits: those whose inputs are needed.

    Raises:
        TableError: there is no row to train on.
        UsageError: the network reads crops, and there is no store.
    """
    with step("preparing inputs"):
        features = features_of(table, targets, rows_of(table, targets, TRAIN), recipe)
        return features, {split: inputs_of_split(features, table, split, store) for split in splits}


def fit(
    table: Table,
    targets: Targets,
    recipe: Recipe,
    features: Features,
    inputs: Mapping[str, Inputs],
    *,
    store: CropStore | None = None,
    label: str = "training",
) -> Fitted:
    """Train a network.

    Args:
        table: the rows.
        targets: of the rows.
        recipe: the knobs.
        features: the feature contract, from `features_of`.
        inputs: under it, of the rows to train on, `TRAIN`, and of those that stop the training and give the
            temperature, `VALIDATION`; rows without soft labels are left out.
        store: the crop store of the table, if the network reads crops.
        label: of the progress bar.

    Raises:
        TableError: there is no row to train on, or none to validate on.
    """
    training, validation = (inputs[split][targets.usable[inputs[split].rows]] for split in (TRAIN, VALIDATION))
    clear = validation[targets.judged[validation.rows]]
    for part, split in ((training, TRAIN), (clear, VALIDATION)):
        _ensure_rows(len(part), split)
    hard, soft = targets.hard[clear.rows], targets.soft[validation.rows]
    early = recipe.inputs == (LANDMARKS_INPUT, CROP_INPUT) and recipe.fusion == EARLY
    layers = crop = share = None
    losses: dict[str, dict[str, list[float]]] = {}
    if LANDMARKS_INPUT in recipe.inputs and not early:
        examples = landmark_examples(table, targets, training.rows, features, recipe)
        stopping = Examples(validation.vectors, soft, np.ones(len(soft), np.float32))
        layers, losses[LANDMARKS_INPUT] = landmark_network.train(examples, stopping, features, recipe, label=label)
    if store is not None and validation.crops is not None:
        train = partial(
            crop_network.train, store=store, validation=(validation, soft), features=features if early else None
        )
        crops = crop_examples(table, targets, training.rows, features if early else None, recipe)
        teachers = [
            train(crops, recipe=replace(recipe, seed=recipe.seed + each), label=f"{label}, teacher {each}")[0]
            for each in range(1, recipe.crop.teachers + 1)
        ]
        if teachers:
            crops = crop_network.with_soft_labels(crops, teachers, training.of(crops.rows))
        crop, losses[CROP_INPUT] = train(crops, recipe=recipe, label=f"{label}, crops")
    if layers and crop:
        network, share = fuse(layers, crop, clear, hard)
    else:
        network = FloatNetwork(layers, crop)
    temperature = fit_temperature(network.logits(clear), hard)
    if recipe.balance.logit_adjustment:
        frequency = targets.soft[training.rows].mean(axis=0)
        network = network.adjusted(frequency, recipe.balance.logit_adjustment, temperature)
        temperature = fit_temperature(network.logits(clear), hard)
    return Fitted(features, network, temperature, losses, share)


def _ensure_rows(count: int, split: str) -> None:
    if not count:
        raise TableError(f"the table has no usable row in its {split} split; import a whole data set")


def crop_examples(
    table: Table, targets: Targets, rows: NDArray[np.intp], features: Features | None, recipe: Recipe
) -> CropExamples:
    """Training examples of the crop network from some rows, int[M]; with vectors if there are `features`."""
    chosen = rows[sample(targets.soft[rows], up=recipe.crop.up_sampling, down=0, seed=recipe.seed)]
    weights = class_weights(targets.soft[chosen], recipe.balance.class_weight_power)
    vectors = None
    if features is not None:
        landmarks = table.landmarks[chosen]
        vectors = np.stack([features(each)[0] for each in (landmarks, mirrored(landmarks))])
    return CropExamples(chosen, targets.soft[chosen], weights, vectors)


def features_of(table: Table, targets: Targets, rows: NDArray[np.intp], recipe: Recipe) -> Features:
    """The feature contract that fits some rows, int[M].

    Raises:
        TableError: there are none.
    """
    _ensure_rows(len(rows), TRAIN)
    landmarks = table.landmarks[rows]
    points = points_of(recipe.features.regions if LANDMARKS_INPUT in recipe.inputs else ())
    crop = FaceCrop(recipe.crop.size) if CROP_INPUT in recipe.inputs else None
    # With mirror images reference and statistics are symmetric.
    features = Features.fit(np.concatenate(_sides(landmarks, recipe)), points, crop)
    return _with_neutral(features, landmarks[targets.shows(NEUTRAL)[rows]])


def landmark_examples(
    table: Table, targets: Targets, rows: NDArray[np.intp], features: Features, recipe: Recipe
) -> Examples:
    """Training examples of the landmark network from some rows, int[M]: balanced, and with mirror images."""
    balance, soft = recipe.balance, targets.soft[rows]
    chosen = sample(soft, up=balance.up_sampling, down=balance.down_sampling, seed=recipe.seed)
    weights = class_weights(soft[chosen], balance.class_weight_power)
    sides = [side[chosen] for side in _sides(table.landmarks[rows], recipe)]
    vectors, _ = features(np.concatenate(sides))
    return Examples(vectors, np.tile(soft[chosen], (len(sides), 1)), np.tile(weights, len(sides)))


def _sides(landmarks: NDArray[np.float32], recipe: Recipe) -> list[NDArray[np.float32]]:
    """Faces, float32[M, 478, 3] px, and their mirror images if the recipe has them."""
    return [landmarks, mirrored(landmarks)] if recipe.augmentation.mirror else [landmarks]


def _with_neutral(features: Features, landmarks: NDArray[np.float32]) -> Features:
    """Features with the mean of neutral faces, float32[K, 478, 3] px, and their mirror images, if there are any."""
    if not len(landmarks) or not features.size:
        return features
    vectors, _ = features(np.concatenate([landmarks, mirrored(landmarks)]))
    return replace(features, neutral=vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
