"""The network on the crop: a small convolutional one on soft targets, trained with Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.classifier.crop import FaceCrop
from edge.classifier.network import softmax
from edge.errors import UsageError
from host_training.data.distortions import augmented
from host_training.data.inputs import NO_CROPS, Inputs, as_input
from host_training.quiet import quiet
from host_training.training.network import RELU_MAX, Layer, folded, jittered, seed_everything, within_reach

with quiet():
    import keras
    import tensorflow as tf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.training.recipe import TrainSettings

WARM_UP = 200
"""Steps over which the learning rate rises, so that the first batches don't throw the weights about."""
CHUNK = 512
"""Crops that are looked at in one go where nothing is learnt."""
CUT_OUT = (0.12, 0.45)
"""Sides of the rectangle that is blotted out, as shares of the crop's."""
DENSE = 2
"""Dimensions of the kernel of a dense layer."""
TAUGHT = 0.5
"""Share of a target that is what teachers say."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a network learns from."""

    rows: NDArray[np.intp]
    """int[N], of the table."""
    targets: NDArray[np.float32]
    """float32[N, C], each row a distribution over the labels."""
    weights: NDArray[np.float32]
    """float32[N], how much a row counts; 1 on average."""
    vectors: NDArray[np.float32] | None = None
    """float32[2, N, F], from `features`, of the rows and of their mirror images; None: they are not seen."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """`values * kernel + bias`, with zeros around the values."""

    kernel: NDArray[np.float32]
    """float32[side, side, in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""
    strides: int


@dataclass(frozen=True, slots=True)
class CropNetwork:
    """A trained network: plain arrays, whatever library they were trained with; computed by TensorFlow."""

    size: int
    """px, the side of its crops."""
    convolutions: list[Convolution]
    """Three for each stage; see `build`."""
    last: Layer
    beside: Layer | None = None
    """On the vector of the landmarks; what it says goes into `last` beside the crop. None: it is not seen."""

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt."""
        layers: list[Convolution | Layer] = [*self.convolutions, self.last, *([self.beside] if self.beside else [])]
        return sum(each.kernel.size + each.bias.size for each in layers)

    def __call__(self, values: Any, vectors: Any = None) -> Any:
        """tf.Tensor float[N, S, S, 1], from `as_input`, and float[N, F], if it sees them -> logits, float[N, C]."""

        def convolved(values: Any, layer: Convolution) -> Any:
            return tf.nn.conv2d(values, layer.kernel, layer.strides, "SAME") + layer.bias

        # min and max would do the same, but this is what TFLite fuses into the convolution.
        for at in range(0, len(self.convolutions), 3):
            first, second, third = self.convolutions[at : at + 3]
            values = tf.nn.relu6(convolved(values, first))
            values = tf.nn.relu6(values + convolved(tf.nn.relu6(convolved(values, second)), third))
        values = tf.reduce_mean(values, axis=(1, 2))
        if self.beside is not None:
            values = tf.concat([values, tf.nn.relu6(vectors @ self.beside.kernel + self.beside.bias)], axis=1)
        return values @ self.last.kernel + self.last.bias


def train(
    lessons: Lessons,
    store: CropStore,
    watched: tuple[Inputs, NDArray[np.float32]],
    settings: TrainSettings,
    features: Features | None = None,
    *,
    label: str = "training",
) -> tuple[CropNetwork, dict[str, list[float]]]:
    """Fit a network; it keeps the weights with which the watched faces were least surprising.

    Args:
        lessons: what it learns from.
        store: the crop store of the table.
        watched: the inputs of V faces, and their targets, float32[V, C].
        settings: the recipe.
        features: where the lessons' vectors come from; None: it does not see them.
        label: what the progress bar says.

    Returns:
        It, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(settings.seed)
    recipe = settings.crop
    batches = _Batches(lessons, store, settings)
    labels = lessons.targets.shape[1]
    model = build(settings, labels, features)
    steps = len(batches) * recipe.epochs
    warm_up = min(WARM_UP, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    best = keras.callbacks.EarlyStopping("val_loss", patience=recipe.epochs, restore_best_weights=True)
    with tqdm(total=steps, desc=label, unit=" batches") as bar:

        def tell(_: int, logs: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{logs['loss']:.4f}", validation=f"{logs['val_loss']:.4f}")

        history = model.fit(
            batches,
            validation_data=(_given(watched[0], both=features is not None), watched[1]),
            epochs=recipe.epochs,
            callbacks=[
                best,
                keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: bar.update(), on_epoch_end=tell),
            ],
            verbose=0,
        )
    return folded_crop_network(model), {
        key: [float(value) for value in values] for key, values in history.history.items()
    }


def folded_crop_network(model: Any) -> CropNetwork:
    """What `build` made, as arrays, each batch normalisation worked into the weights before it."""
    layers = folded(model)
    *beside, last = [Layer(kernel, bias) for kernel, bias, _ in layers if kernel.ndim == DENSE]
    convolutions = [Convolution(*each) for each in layers if each[0].ndim != DENSE]
    return CropNetwork(model.inputs[0].shape[1], convolutions, last, *beside)


def taught(lessons: Lessons, by: list[CropNetwork], inputs: Inputs) -> Lessons:
    """Lessons whose targets are, by `TAUGHT`, what others say of the rows on average (Hinton et al. 2015).

    Args:
        lessons: what they learnt from.
        by: trained networks.
        inputs: those of the lessons' rows, in their order.
    """
    said = np.mean([softmax(logits(each, inputs), 1.0) for each in by], axis=0, dtype=np.float32)
    return replace(lessons, targets=np.float32(1 - TAUGHT) * lessons.targets + np.float32(TAUGHT) * said)


def logits(model: CropNetwork, inputs: Inputs) -> NDArray[np.float32]:
    """What the float network says, float32[N, C], to N faces: the mean of a crop and its mirror image.

    That costs time on the device, but no room.
    """
    said: list[NDArray[np.float32]] = [np.zeros((0, len(model.last.bias)), np.float32)]
    for at in range(0, len(inputs), CHUNK):
        crops, vectors = _given(inputs[slice(at, at + CHUNK)], both=True)
        both = model(crops, vectors) + model(crops[:, :, ::-1], vectors)
        said.append(np.asarray(both / 2, np.float32))
    return np.concatenate(said)


def _given(inputs: Inputs, *, both: bool) -> Any:
    """What Keras is given to see: crops, or crops and vectors."""
    if inputs.crops is None:
        raise UsageError(NO_CROPS)
    crops = as_input(inputs.crops)
    return (crops, within_reach(inputs.vectors)) if both else crops


def build(settings: TrainSettings, labels: int, features: Features | None = None) -> Any:
    """An untrained network: in each stage one convolution that halves the sides, and two that are added to it.

    Args:
        settings: the recipe.
        labels: C.
        features: where the vectors come from that it sees as well, through one hidden layer; None: the crop alone.
    """
    recipe, layers = settings.crop, keras.layers

    def convolved(values: Any, channels: int, *, side: int = 3, strides: int = 1) -> Any:
        values = layers.Conv2D(channels, side, strides, padding="same", use_bias=False)(values)
        return layers.BatchNormalization(momentum=0.98)(values)

    def cut_off(values: Any) -> Any:
        return layers.ReLU(max_value=RELU_MAX)(values)

    inputs = values = keras.Input((recipe.size, recipe.size, 1))
    for stage, channels in enumerate(recipe.channels):
        # The first looks at 5x5 px: with one channel that costs next to nothing.
        values = cut_off(convolved(values, channels, side=3 if stage else 5, strides=2))
        more = convolved(cut_off(convolved(values, channels)), channels)
        values = cut_off(layers.Add()([values, more]))
    values = layers.GlobalAveragePooling2D()(values)
    if features is not None:
        vectors = keras.Input((features.size,))
        beside = jittered(vectors, features, settings.augmentation, settings.seed)
        values = layers.Concatenate()([values, cut_off(layers.Dense(settings.network.hidden[0])(beside))])
        inputs = [inputs, vectors]
    values = layers.Dropout(recipe.dropout)(values)
    return keras.Model(inputs, layers.Dense(labels)(values))


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The rows in a new order each epoch, no crop twice the same."""

    def __init__(self, lessons: Lessons, store: CropStore, settings: TrainSettings) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self._lessons, self._store, self._recipe = lessons, store, settings.crop
        self._mirror = settings.augmentation.mirror
        self._crop = FaceCrop(settings.crop.size)
        self._seed, self._epoch = settings.seed, 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        return max(1, len(self._order) // self._recipe.batch)  # the rest has its turn in another epoch

    def __getitem__(self, index: int) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._recipe.batch : (index + 1) * self._recipe.batch]
        # Of its own, so that it does not matter in which order batches are asked for.
        rng = np.random.default_rng((self._seed, self._epoch, index))
        cut = [self._one(row, rng) for row in self._lessons.rows[chosen].tolist()]
        seen = [as_input(np.array([crop for crop, _ in cut], np.uint8))]
        if self._lessons.vectors is not None:
            seen.append(within_reach(self._lessons.vectors[[int(mirrored) for _, mirrored in cut], chosen]))
        seen, targets, weights = self._mixed(seen, self._lessons.targets[chosen], self._lessons.weights[chosen], rng)
        return seen[0] if len(seen) == 1 else tuple(seen), targets, weights

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.intp]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._lessons.rows))

    def _one(self, row: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], bool]:
        """uint8[S, S]: a crop of the row, jittered; and whether it is a mirror image."""
        recipe, picture, landmarks = self._recipe, self._store.cutout(row), self._store.landmarks(row)
        if rng.random() < recipe.distorted:
            picture = augmented(picture, landmarks, rng)
        crop = self._crop(picture, self._moved(landmarks, rng))
        if rng.random() < recipe.cut_out:
            height, width = (rng.uniform(*CUT_OUT, 2) * len(crop)).astype(int)
            top, left = rng.integers(0, len(crop) - height), rng.integers(0, len(crop) - width)
            crop[top : top + height, left : left + width] = rng.integers(0, 256)
        mirrored = self._mirror and bool(rng.random() < 0.5)  # noqa: PLR2004 - one half
        return crop[:, ::-1] if mirrored else crop, mirrored

    def _moved(self, landmarks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Landmarks that are off by as much as the crop shall be."""
        recipe = self._recipe
        turn, scale = np.radians(rng.normal(0, recipe.turn_degrees)), np.exp(rng.normal(0, recipe.scale))
        cos, sin = scale * np.cos(turn), scale * np.sin(turn)
        matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, scale]], np.float32)
        centre = landmarks.mean(axis=0)
        moved = np.asarray((landmarks - centre) @ matrix + centre, np.float32)
        moved[:, :2] += rng.normal(0, recipe.shift, 2).astype(np.float32) * np.ptp(landmarks[:, 1])
        return moved

    def _mixed(
        self,
        seen: list[NDArray[np.float32]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32], NDArray[np.float32]]:
        """Each face mixed with another of the batch, and so its target (Zhang et al. 2018)."""
        if not self._recipe.mix_up:
            return seen, targets, weights
        share = rng.beta(self._recipe.mix_up, self._recipe.mix_up, len(targets)).astype(np.float32)
        share, other = np.maximum(share, np.float32(1) - share), rng.permutation(len(targets))

        def mixed(values: NDArray[np.float32]) -> NDArray[np.float32]:
            first = share.reshape(-1, *[1] * (values.ndim - 1))
            return np.asarray(values * first + values[other] * (np.float32(1) - first), np.float32)

        return [mixed(each) for each in seen], mixed(targets), mixed(weights)
