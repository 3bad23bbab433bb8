"""The core of training: rows of a table, and their pictures -> feature contract, float network, temperature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.crop import FaceCrop
from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT, Features
from edge.classifier.network import softmax
from edge.errors import UsageError
from host_training.data.inputs import NO_FACES, see
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
    from numpy.typing import NDArray

    from host_training.data.crops import Faces
    from host_training.data.inputs import Seen
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

    def seen(self, table: Table, rows: NDArray[np.intp], faces: Faces | None = None) -> Seen:
        """What the network sees of some rows, int[N], in which a face was found."""
        return see(self.features, table, rows, faces)

    def probabilities(self, seen: Seen) -> NDArray[np.float32]:
        """float32[N, C], calibrated on the validation rows."""
        return softmax(self.network.logits(seen), self.temperature)


def rows_of(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[M]: the rows of a split that teach something."""
    return np.flatnonzero(targets.usable & table.found & (table.split == split))


def fit(
    table: Table,
    targets: Targets,
    settings: TrainSettings,
    faces: Faces | None = None,
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
        faces: the pictures of the table's rows, where the network sees a crop.
        training: int[M], the rows to learn from; None: those of the training split.
        validation: int[V], the rows that stop it and set its temperature; None: those of the validation split.
        label: what the progress bar says.

    Raises:
        TableError: there is nothing to learn from, or nothing to watch it on.
        UsageError: the network sees a crop, and there are no pictures.
    """
    if CROP_INPUT in settings.inputs and faces is None:
        raise UsageError(NO_FACES)
    mine = rows_of(table, targets, TRAIN) if training is None else training
    theirs = rows_of(table, targets, VALIDATION) if validation is None else validation
    judged = theirs[targets.judged[theirs]]
    for rows, split in ((mine, TRAIN), (judged, VALIDATION)):
        if not len(rows):
            raise TableError(f"the table has no usable row in its {split} split: import a whole data set")
    features, learnt = prepare(table, targets, mine, settings)
    watched = see(features, table, theirs, faces)
    layers = crop = share = None
    losses: dict[str, dict[str, list[float]]] = {}
    early = settings.inputs == (LANDMARKS_INPUT, CROP_INPUT) and settings.fusion == EARLY
    if LANDMARKS_INPUT in settings.inputs and not early:
        watch = Rows(watched.vectors, targets.soft[theirs], np.ones(len(theirs), np.float32))
        layers, losses[LANDMARKS_INPUT] = network.train(learnt, watch, features, settings, label=label)
    if faces is not None and watched.crops is not None:
        beside = features if early else None
        learn = partial(crop_network.train, faces=faces, watched=(watched, targets.soft[theirs]), features=beside)
        lessons = lessons_of(table, targets, mine, beside, settings)
        teachers = [
            learn(lessons, settings=replace(settings, seed=settings.seed + each), label=f"{label}, teacher {each}")[0]
            for each in range(1, settings.crop.teachers + 1)
        ]
        if teachers:
            lessons = crop_network.taught(lessons, teachers, see(features, table, lessons.rows, faces))
        crop, losses[CROP_INPUT] = learn(lessons, settings=settings, label=f"{label}, crops")
    clear = watched[targets.judged[theirs]]
    if layers and crop:
        whole, share = fuse(layers, crop, clear, targets.hard[judged])
    else:
        whole = Network(layers, crop)
    temperature = fit_temperature(whole.logits(clear), targets.hard[judged])
    if settings.balance.logit_adjustment:
        whole = whole.adjusted(targets.soft[mine].mean(axis=0), settings.balance.logit_adjustment, temperature)
        temperature = fit_temperature(whole.logits(clear), targets.hard[judged])
    return Fitted(features, whole, temperature, losses, share)


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


def prepare(table: Table, targets: Targets, rows: NDArray[np.intp], settings: TrainSettings) -> tuple[Features, Rows]:
    """The feature contract that some rows, int[M], give, and what is learnt from them: balanced, and mirrored."""
    balance, soft = settings.balance, targets.soft[rows]
    landmarks = table.landmarks[rows]
    # Mirror images make the reference and the statistics even-handed too.
    both = np.concatenate([landmarks, mirrored(landmarks)]) if settings.augmentation.mirror else landmarks
    points = points_of(settings.features.regions if LANDMARKS_INPUT in settings.inputs else ())
    features = Features.fit(both, points, FaceCrop(settings.crop.size) if CROP_INPUT in settings.inputs else None)
    features = _with_neutral(features, landmarks[targets.shows(NEUTRAL)[rows]])
    chosen = sample(soft, up=balance.up_sampling, down=balance.down_sampling, seed=settings.seed)
    weights = class_weights(soft[chosen], balance.class_weight_power)
    sides = len(both) // len(landmarks)
    vectors, _ = features(np.concatenate([side[chosen] for side in np.split(both, sides)]))
    return features, Rows(vectors, np.tile(soft[chosen], (sides, 1)), np.tile(weights, sides))


def _with_neutral(features: Features, landmarks: NDArray[np.float32]) -> Features:
    """With the average of neutral faces, float32[K, 478, 3] px, and their mirror images; without any, as it is."""
    if not len(landmarks) or not features.size:
        return features
    vectors, _ = features(np.concatenate([landmarks, mirrored(landmarks)]))
    return replace(features, neutral=vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
