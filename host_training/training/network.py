"""The network: a small multi-layer perceptron on soft targets, trained with Keras, folded for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from host_training.quiet import quiet

with quiet():
    import keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.training.recipe import AugmentationSettings, NetworkSettings, TrainSettings


CLIP_SIGMA = 3.0
"""Coordinates further than so many standard deviations from the mean count as that far. Few are;
without the limit they would stretch the range that int8 divides into 256 steps."""


RELU_MAX = 6.0
"""Hidden units give no more than this, for the same reason; it is the ceiling that TFLite can fuse (ReLU6)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a network learns from or is watched on."""

    vectors: NDArray[np.float32]
    """float32[N, F], from `edge.classifier.features`."""
    targets: NDArray[np.float32]
    """float32[N, C], each row a distribution over the labels."""
    weights: NDArray[np.float32]
    """float32[N], how much a row counts; 1 on average."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense layer: `values @ kernel + bias`, cut off at 0 and at `RELU_MAX` after all but the last."""

    kernel: NDArray[np.float32]
    """float32[in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""

    def scaled(self, factor: float) -> Layer:
        """The same, times a number."""
        return Layer(self.kernel * np.float32(factor), self.bias * np.float32(factor))

    def shifted(self, change: NDArray[np.float32]) -> Layer:
        """The same, plus float32[out]."""
        return Layer(self.kernel, self.bias + change)


def within_reach(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors, float32[N, F], as the network sees them; an int8 one does this by the range of its input."""
    return np.clip(vectors, -CLIP_SIGMA, CLIP_SIGMA)


def seed_everything(seed: int) -> None:
    """Make what follows give the same weights every time, and the same names, which stand in the files made of them."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def train(
    training: Rows, validation: Rows, features: Features, settings: TrainSettings, *, label: str = "training"
) -> tuple[list[Layer], dict[str, list[float]]]:
    """Fit a network; it keeps the weights with which the validation rows were least surprising.

    Args:
        training: what it learns from.
        validation: what it is watched on.
        features: where the vectors come from.
        settings: the recipe.
        label: what the progress bar says.

    Returns:
        Its layers, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(settings.seed)
    optimiser = settings.optimiser
    model = _build(features, training.targets.shape[1], settings.network, settings.augmentation, settings.seed)
    steps = -(-len(training.vectors) // optimiser.batch) * optimiser.epochs
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(optimiser.learning_rate, steps),
            weight_decay=optimiser.weight_decay,
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    early = keras.callbacks.EarlyStopping("val_loss", patience=optimiser.patience, restore_best_weights=True)
    with tqdm(total=optimiser.epochs, desc=label, unit=" epochs") as bar:

        def tell(_: int, logs: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{logs['loss']:.4f}", validation=f"{logs['val_loss']:.4f}")
            bar.update()

        history = model.fit(
            within_reach(training.vectors),
            training.targets,
            sample_weight=training.weights,
            validation_data=(within_reach(validation.vectors), validation.targets, validation.weights),
            batch_size=optimiser.batch,
            epochs=optimiser.epochs,
            callbacks=[early, keras.callbacks.LambdaCallback(on_epoch_end=tell)],
            verbose=0,
        )
    losses = {key: [float(value) for value in values] for key, values in history.history.items()}
    return _centred([Layer(kernel, bias) for kernel, bias, _ in folded(model)]), losses


def logits(layers: list[Layer], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the float network says, float32[N, C], to float32[N, F]."""
    values = within_reach(vectors)
    for layer in layers[:-1]:
        values = np.clip(values @ layer.kernel + layer.bias, 0, RELU_MAX)
    return values @ layers[-1].kernel + layers[-1].bias


class Misaligned(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Turns and stretches the canonical faces behind the vectors a little, while training.

    The pose was fitted to points that the mesh did not measure exactly, and no two skulls are alike.
    """

    def __init__(self, features: Features, settings: AugmentationSettings, seed: int) -> None:
        """Features tell where the landmarks behind a vector lie."""
        super().__init__()
        self._mean, self._scale = features.mean, features.scale
        self._radians, self._stretch = float(np.radians(settings.pose_degrees)), settings.stretch
        self._random = keras.random.SeedGenerator(seed)

    def call(self, vectors: Any, *, training: bool = False) -> Any:
        """float[N, F] -> float[N, F]."""
        if not training:
            return vectors
        ops = keras.ops
        count = ops.shape(vectors)[0]
        x, y, z = ops.unstack(keras.random.normal((count, 3), stddev=self._radians, seed=self._random), axis=1)
        # A small rotation is its own first-order term; to a few degrees that is exact enough.
        turn = ops.stack([0 * x, -z, y, z, 0 * x, -x, -y, x, 0 * x], axis=1)
        stretch = keras.random.normal((count, 3, 1), stddev=self._stretch, seed=self._random)
        change = ops.reshape(turn, (count, 3, 3)) + stretch * ops.eye(3)
        faces = ops.reshape(vectors * self._scale + self._mean, (count, -1, 3))
        moved = ops.reshape(ops.matmul(faces, change), (count, self._mean.size)) / self._scale
        return ops.clip(vectors + moved, -CLIP_SIGMA, CLIP_SIGMA)


def jittered(values: Any, features: Features, augmentation: AugmentationSettings, seed: int) -> Any:
    """Vectors, a Keras tensor, as no face shows them twice."""
    if augmentation.pose_degrees or augmentation.stretch:
        values = Misaligned(features, augmentation, seed)(values)
    return keras.layers.GaussianNoise(augmentation.noise)(values)


def _build(
    features: Features, labels: int, settings: NetworkSettings, augmentation: AugmentationSettings, seed: int
) -> Any:
    inputs = values = keras.Input((features.size,))
    values = jittered(values, features, augmentation, seed)
    for units in settings.hidden:
        values = keras.layers.Dense(units, use_bias=False)(values)
        values = keras.layers.BatchNormalization(momentum=0.98)(values)
        values = keras.layers.ReLU(max_value=RELU_MAX)(values)
        values = keras.layers.Dropout(settings.dropout)(values)
    return keras.Model(inputs, keras.layers.Dense(labels)(values))


def _centred(layers: list[Layer]) -> list[Layer]:
    """The same probabilities from logits whose sum is always 0: what all of them share says nothing, and takes room.

    int8 divides the range of the logits into 256 steps, so a narrower one is a finer one.
    """
    last = layers[-1]
    return [
        *layers[:-1],
        Layer(last.kernel - last.kernel.mean(axis=1, keepdims=True), last.bias - last.bias.mean()),
    ]


def folded(model: Any) -> list[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """Kernel, bias and strides of each dense or convolutional layer of a Keras model, in their order.

    The batch normalisation that comes after one is worked into its weights.
    """
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32], int]] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
            kernel, *bias = layer.get_weights()
            strides = layer.strides[0] if isinstance(layer, keras.layers.Conv2D) else 1
            layers.append((kernel, bias[0] if bias else np.zeros(kernel.shape[-1], np.float32), strides))
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            kernel, bias, strides = layers.pop()
            layers.append((kernel * scale, beta + (bias - mean) * scale, strides))
    return layers
