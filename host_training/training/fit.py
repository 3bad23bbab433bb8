"""The core of training: rows of a table, and their pictures -> feature contract, float network, temperature."""

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
from host_training.training import crop_network, network
from host_training.training.balance import class_weights, sample
from host_training.training.crop_network import Lessons
from host_training.training.fused import Network, fuse
from host_training.training.network import Rows
from host_training.training.recipe import EARLY
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import TrainSettings


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained float network with everything that goes before and after it."""

    features: Features
    network: Network
    temperature: float
    losses: dict[str, dict[str, list[float]]]
    """`loss` and `val_loss` by epoch, of the network on each input."""
    crop_share: float | None = None
    """How much of the sum the crop's network is; None: there is no sum."""

    def probabilities(self, inputs: Inputs) -> NDArray[np.float32]:
        """float32[N, C], calibrated on the validation rows."""
        return softmax(self.network.logits(inputs), self.temperature)


def rows_of(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[M]: the rows of a split that teach something."""
    return np.flatnonzero(targets.usable & table.found & (table.split == split))


def prepare(
    table: Table,
    targets: Targets,
    settings: TrainSettings,
    store: CropStore | None = None,
    splits: Sequence[str] = (TRAIN, VALIDATION),
) -> tuple[Features, dict[str, Inputs]]:
    """The feature contract of the training rows, and the inputs of each split under it.

    Args:
        table: the rows.
        targets: what they teach.
        settings: the recipe.
        store: the crop store of the table, if the network reads crops.
        splits: those whose inputs are wanted.

    Raises:
        TableError: there is nothing to learn from.
        UsageError: the network reads crops, and there is no store.
    """
    features = features_of(table, targets, rows_of(table, targets, TRAIN), settings)
    return features, {split: inputs_of_split(features, table, split, store) for split in splits}


def fit(
    table: Table,
    targets: Targets,
    settings: TrainSettings,
    features: Features,
    inputs: Mapping[str, Inputs],
    *,
    store: CropStore | None = None,
    label: str = "training",
) -> Fitted:
    """Train a network.

    Args:
        table: the rows.
        targets: what they teach.
        settings: the recipe.
        features: the feature contract, from `features_of`.
        inputs: under it, of the rows to learn from, `TRAIN`, and of those that stop the training and set the
            temperature, `VALIDATION`; rows that teach nothing are left out.
        store: the crop store of the table, if the network reads crops.
        label: what the progress bar says.

    Raises:
        TableError: there is nothing to learn from, or nothing to watch it on.
    """
    training, watched = (inputs[split][targets.usable[inputs[split].rows]] for split in (TRAIN, VALIDATION))
    clear = watched[targets.judged[watched.rows]]
    for chosen, split in ((training, TRAIN), (clear, VALIDATION)):
        _ensure_rows(len(chosen), split)
    mine, theirs, judged = training.rows, watched.rows, clear.rows
    layers = crop = share = None
    losses: dict[str, dict[str, list[float]]] = {}
    early = settings.inputs == (LANDMARKS_INPUT, CROP_INPUT) and settings.fusion == EARLY
    if LANDMARKS_INPUT in settings.inputs and not early:
        watch = Rows(watched.vectors, targets.soft[theirs], np.ones(len(theirs), np.float32))
        learnt = learnt_of(table, targets, mine, features, settings)
        layers, losses[LANDMARKS_INPUT] = network.train(learnt, watch, features, settings, label=label)
    if store is not None and watched.crops is not None:
        beside = features if early else None
        learn = partial(crop_network.train, store=store, watched=(watched, targets.soft[theirs]), features=beside)
        lessons = lessons_of(table, targets, mine, beside, settings)
        teachers = [
            learn(lessons, settings=replace(settings, seed=settings.seed + each), label=f"{label}, teacher {each}")[0]
            for each in range(1, settings.crop.teachers + 1)
        ]
        if teachers:
            lessons = crop_network.taught(lessons, teachers, training.of(lessons.rows))
        crop, losses[CROP_INPUT] = learn(lessons, settings=settings, label=f"{label}, crops")
    if layers and crop:
        whole, share = fuse(layers, crop, clear, targets.hard[judged])
    else:
        whole = Network(layers, crop)
    temperature = fit_temperature(whole.logits(clear), targets.hard[judged])
    if settings.balance.logit_adjustment:
        whole = whole.adjusted(targets.soft[mine].mean(axis=0), settings.balance.logit_adjustment, temperature)
        temperature = fit_temperature(whole.logits(clear), targets.hard[judged])
    return Fitted(features, whole, temperature, losses, share)


def _ensure_rows(count: int, split: str) -> None:
    if not count:
        raise TableError(f"the table has no usable row in its {split} split: import a whole data set")


def lessons_of(
    table: Table, targets: Targets, rows: NDArray[np.intp], features: Features | None, settings: TrainSettings
) -> Lessons:
    """What a network on the crop learns from some rows, int[M]; with vectors where `features` are given."""
    chosen = rows[sample(targets.soft[rows], up=settings.crop.up_sampling, down=0, seed=settings.seed)]
    weights = class_weights(targets.soft[chosen], settings.balance.class_weight_power)
    vectors = None
    if features is not None:
        landmarks = table.landmarks[chosen]
        vectors = np.stack([features(each)[0] for each in (landmarks, mirrored(landmarks))])
    return Lessons(chosen, targets.soft[chosen], weights, vectors)


def features_of(table: Table, targets: Targets, rows: NDArray[np.intp], settings: TrainSettings) -> Features:
    """The feature contract that some rows, int[M], give.

    Raises:
        TableError: there are none.
    """
    _ensure_rows(len(rows), TRAIN)
    landmarks = table.landmarks[rows]
    points = points_of(settings.features.regions if LANDMARKS_INPUT in settings.inputs else ())
    crop = FaceCrop(settings.crop.size) if CROP_INPUT in settings.inputs else None
    # Mirror images make the reference and the statistics even-handed too.
    features = Features.fit(np.concatenate(_sides(landmarks, settings)), points, crop)
    return _with_neutral(features, landmarks[targets.shows(NEUTRAL)[rows]])


def learnt_of(
    table: Table, targets: Targets, rows: NDArray[np.intp], features: Features, settings: TrainSettings
) -> Rows:
    """What a network on the landmarks learns from some rows, int[M]: balanced, and mirrored."""
    balance, soft = settings.balance, targets.soft[rows]
    chosen = sample(soft, up=balance.up_sampling, down=balance.down_sampling, seed=settings.seed)
    weights = class_weights(soft[chosen], balance.class_weight_power)
    sides = [side[chosen] for side in _sides(table.landmarks[rows], settings)]
    vectors, _ = features(np.concatenate(sides))
    return Rows(vectors, np.tile(soft[chosen], (len(sides), 1)), np.tile(weights, len(sides)))


def _sides(landmarks: NDArray[np.float32], settings: TrainSettings) -> list[NDArray[np.float32]]:
    """Faces, float32[M, 478, 3] px, and their mirror images, if the recipe wants them."""
    return [landmarks, mirrored(landmarks)] if settings.augmentation.mirror else [landmarks]


def _with_neutral(features: Features, landmarks: NDArray[np.float32]) -> Features:
    """With the average of neutral faces, float32[K, 478, 3] px, and their mirror images; without any, as it is."""
    if not len(landmarks) or not features.size:
        return features
    vectors, _ = features(np.concatenate([landmarks, mirrored(landmarks)]))
    return replace(features, neutral=vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
