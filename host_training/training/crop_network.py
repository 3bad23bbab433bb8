"""The network on the patch: a small convolutional one on soft targets, trained with Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.patch import MIDDLE, SPREAD, Patch
from host_training.data.distortions import augmented
from host_training.quiet import quiet
from host_training.training.network import CEILING, Layer, folded, seed_everything

with quiet():
    import keras
    import tensorflow as tf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.faces import Faces
    from host_training.training.settings import CropSettings, TrainSettings

WARM_UP = 200
"""Steps over which the learning rate rises, so that the first batches don't throw the weights about."""
CHUNK = 512
"""Patches that are looked at in one go where nothing is learnt."""
CUT_OUT = (0.12, 0.45)
"""Sides of the rectangle that is blotted out, as shares of the patch's."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a network learns from."""

    rows: NDArray[np.intp]
    """int[N], of `Faces`."""
    targets: NDArray[np.float32]
    """float32[N, C], each row a distribution over the labels."""
    weights: NDArray[np.float32]
    """float32[N], how much a row counts; 1 on average."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """`values * kernel + bias`, with zeros around the values."""

    kernel: NDArray[np.float32]
    """float32[side, side, in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""
    strides: int


@dataclass(frozen=True, slots=True)
class PatchNetwork:
    """A trained network: plain arrays, whatever library they were trained with; computed by TensorFlow."""

    size: int
    """px, the side of its patches."""
    convolutions: list[Convolution]
    """Three for each stage; see `build`."""
    last: Layer

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt."""
        layers: list[Convolution | Layer] = [*self.convolutions, self.last]
        return sum(each.kernel.size + each.bias.size for each in layers)

    def __call__(self, values: Any) -> Any:
        """tf.Tensor float[N, S, S, 1], from `as_input` -> logits, float[N, C]."""

        def convolved(values: Any, layer: Convolution) -> Any:
            return tf.nn.conv2d(values, layer.kernel, layer.strides, "SAME") + layer.bias

        # min and max would do the same, but this is what TFLite fuses into the convolution.
        for at in range(0, len(self.convolutions), 3):
            first, second, third = self.convolutions[at : at + 3]
            values = tf.nn.relu6(convolved(values, first))
            values = tf.nn.relu6(values + convolved(tf.nn.relu6(convolved(values, second)), third))
        return tf.reduce_mean(values, axis=(1, 2)) @ self.last.kernel + self.last.bias


def as_input(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32[N, S, S, 1], what the network sees of patches, uint8[N, S, S]."""
    values = (patches.astype(np.float32) - np.float32(MIDDLE)) / np.float32(SPREAD)
    return values[..., None]


def train(
    lessons: Lessons,
    faces: Faces,
    watched: tuple[NDArray[np.uint8], NDArray[np.float32]],
    settings: TrainSettings,
    *,
    label: str = "training",
) -> tuple[PatchNetwork, dict[str, list[float]]]:
    """Fit a network; it keeps the weights with which the watched patches were least surprising.

    Args:
        lessons: what it learns from.
        faces: the pictures.
        watched: patches, uint8[V, S, S], and their targets, float32[V, C].
        settings: the recipe.
        label: what the progress bar says.

    Returns:
        It, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(settings.seed)
    recipe = settings.crop
    batches = _Batches(lessons, faces, settings)
    labels = lessons.targets.shape[1]
    model = build(recipe, labels)
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
            validation_data=(as_input(watched[0]), watched[1]),
            epochs=recipe.epochs,
            callbacks=[
                best,
                keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: bar.update(), on_epoch_end=tell),
            ],
            verbose=0,
        )
    return folded_patch(model), {key: [float(value) for value in values] for key, values in history.history.items()}


def folded_patch(model: Any) -> PatchNetwork:
    """What `build` made, as arrays, each batch normalisation worked into the weights before it."""
    *convolutions, (kernel, bias, _) = folded(model)
    return PatchNetwork(model.input_shape[1], [Convolution(*each) for each in convolutions], Layer(kernel, bias))


def logits(model: PatchNetwork, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the float network says, float32[N, C], to patches, uint8[N, S, S]: the mean of a face and its mirror image.

    That costs time on the device, but no room.
    """
    said: list[NDArray[np.float32]] = [np.zeros((0, len(model.last.bias)), np.float32)]
    for at in range(0, len(patches), CHUNK):
        inputs = as_input(patches[at : at + CHUNK])
        both = model(inputs) + model(inputs[:, :, ::-1])
        said.append(np.asarray(both / 2, np.float32))
    return np.concatenate(said)


def build(recipe: CropSettings, labels: int) -> Any:
    """An untrained network: in each stage one convolution that halves the sides, and two that are added to it."""
    layers = keras.layers

    def convolved(values: Any, channels: int, *, side: int = 3, strides: int = 1) -> Any:
        values = layers.Conv2D(channels, side, strides, padding="same", use_bias=False)(values)
        return layers.BatchNormalization(momentum=0.98)(values)

    def cut_off(values: Any) -> Any:
        return layers.ReLU(max_value=CEILING)(values)

    inputs = values = keras.Input((recipe.size, recipe.size, 1))
    for stage, channels in enumerate(recipe.channels):
        # The first looks at 5x5 px: with one channel that costs next to nothing.
        values = cut_off(convolved(values, channels, side=3 if stage else 5, strides=2))
        more = convolved(cut_off(convolved(values, channels)), channels)
        values = cut_off(layers.Add()([values, more]))
    values = layers.GlobalAveragePooling2D()(values)
    values = layers.Dropout(recipe.dropout)(values)
    return keras.Model(inputs, layers.Dense(labels)(values))


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The rows in a new order each epoch, no patch twice the same."""

    def __init__(self, lessons: Lessons, faces: Faces, settings: TrainSettings) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self._lessons, self._faces, self._recipe = lessons, faces, settings.crop
        self._mirror = settings.augmentation.mirror
        self._patch = Patch(settings.crop.size)
        self._seed, self._epoch = settings.seed, 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        return max(1, len(self._order) // self._recipe.batch)  # the rest has its turn in another epoch

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._recipe.batch : (index + 1) * self._recipe.batch]
        # Of its own, so that it does not matter in which order batches are asked for.
        rng = np.random.default_rng((self._seed, self._epoch, index))
        patches = as_input(np.array([self._one(row, rng) for row in self._lessons.rows[chosen].tolist()], np.uint8))
        return self._mixed(patches, self._lessons.targets[chosen], self._lessons.weights[chosen], rng)

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.intp]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._lessons.rows))

    def _one(self, row: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """uint8[S, S]: a patch of the row, jittered."""
        recipe, picture, landmarks = self._recipe, self._faces.picture(row), self._faces.landmarks(row)
        if rng.random() < recipe.distorted:
            picture = augmented(picture, landmarks, rng)
        patch = self._patch(picture, self._moved(landmarks, rng))
        if rng.random() < recipe.cut_out:
            height, width = (rng.uniform(*CUT_OUT, 2) * len(patch)).astype(int)
            top, left = rng.integers(0, len(patch) - height), rng.integers(0, len(patch) - width)
            patch[top : top + height, left : left + width] = rng.integers(0, 256)
        return patch[:, ::-1] if self._mirror and rng.random() < 0.5 else patch  # noqa: PLR2004 - one half

    def _moved(self, landmarks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Landmarks that are off by as much as the patch shall be."""
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
        patches: NDArray[np.float32],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Each patch mixed with another of the batch, and so its target (Zhang et al. 2018)."""
        if not self._recipe.mix_up:
            return patches, targets, weights
        share = rng.beta(self._recipe.mix_up, self._recipe.mix_up, len(patches)).astype(np.float32)
        share, other = np.maximum(share, np.float32(1) - share), rng.permutation(len(patches))
        rest = np.float32(1) - share
        return (
            patches * share[:, None, None, None] + patches[other] * rest[:, None, None, None],
            targets * share[:, None] + targets[other] * rest[:, None],
            weights * share + weights[other] * rest,
        )
