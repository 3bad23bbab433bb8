"""The network on landmarks: a small multi-layer perceptron on soft labels, trained with Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from host_training.quiet import quiet
from host_training.training.layers import CLIP_SIGMA, RELU_MAX, Layer, clipped, folded, seed_everything

with quiet():
    import keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.training.recipe import AugmentationKnobs, Recipe


@dataclass(frozen=True, slots=True)
class Examples:
    """Training or validation examples."""

    vectors: NDArray[np.float32]
    """float32[N, F], from `edge.classifier.features`."""
    targets: NDArray[np.float32]
    """float32[N, C], soft labels."""
    weights: NDArray[np.float32]
    """float32[N], weight of each in the loss; 1 on average."""


def train(
    training: Examples, validation: Examples, features: Features, recipe: Recipe, *, label: str = "training"
) -> tuple[list[Layer], dict[str, list[float]]]:
    """Train a network and keep the weights with the lowest validation loss.

    Args:
        training: what it is trained on.
        validation: what stops the training.
        features: the feature contract of the vectors.
        recipe: the knobs.
        label: of the progress bar.

    Returns:
        Its layers, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(recipe.seed)
    optimiser = recipe.optimiser
    model = build(features, training.targets.shape[1], recipe)
    steps = -(-len(training.vectors) // optimiser.batch) * optimiser.epochs
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(optimiser.learning_rate, steps),
            weight_decay=optimiser.weight_decay,
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=optimiser.patience, restore_best_weights=True)
    with tqdm(total=optimiser.epochs, desc=label, unit=" epochs") as bar:

        def show(_: int, logs: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{logs['loss']:.4f}", validation=f"{logs['val_loss']:.4f}")
            bar.update()

        history = model.fit(
            clipped(training.vectors),
            training.targets,
            sample_weight=training.weights,
            validation_data=(clipped(validation.vectors), validation.targets, validation.weights),
            batch_size=optimiser.batch,
            epochs=optimiser.epochs,
            callbacks=[stopping, keras.callbacks.LambdaCallback(on_epoch_end=show)],
            verbose=0,
        )
    losses = {key: [float(value) for value in values] for key, values in history.history.items()}
    return _centred([Layer(kernel, bias) for kernel, bias, _ in folded(model)]), losses


def logits(layers: list[Layer], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the float network, float32[N, C], for vectors, float32[N, F]."""
    values = clipped(vectors)
    for layer in layers[:-1]:
        values = np.clip(values @ layer.kernel + layer.bias, 0, RELU_MAX)
    return values @ layers[-1].kernel + layers[-1].bias


class PoseJitter(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Rotates and stretches the canonical faces behind the vectors a little, in training only.

    The pose is fitted to points that the mesh doesn't measure exactly, and no two skulls are alike.
    """

    def __init__(self, features: Features, knobs: AugmentationKnobs, seed: int) -> None:
        """`features` tells which coordinates a vector holds."""
        super().__init__()
        self._mean, self._scale = features.mean, features.scale
        self._radians, self._stretch = float(np.radians(knobs.pose_degrees)), knobs.stretch
        self._random = keras.random.SeedGenerator(seed)

    def call(self, vectors: Any, *, training: bool = False) -> Any:
        """float[N, F] -> float[N, F]."""
        if not training:
            return vectors
        ops = keras.ops
        count = ops.shape(vectors)[0]
        x, y, z = ops.unstack(keras.random.normal((count, 3), stddev=self._radians, seed=self._random), axis=1)
        # First-order approximation of a rotation: exact enough up to a few degrees.
        rotation = ops.stack([0 * x, -z, y, z, 0 * x, -x, -y, x, 0 * x], axis=1)
        stretch = keras.random.normal((count, 3, 1), stddev=self._stretch, seed=self._random)
        change = ops.reshape(rotation, (count, 3, 3)) + stretch * ops.eye(3)
        faces = ops.reshape(vectors * self._scale + self._mean, (count, -1, 3))
        moved = ops.reshape(ops.matmul(faces, change), (count, self._mean.size)) / self._scale
        return ops.clip(vectors + moved, -CLIP_SIGMA, CLIP_SIGMA)


def jittered(values: Any, features: Features, knobs: AugmentationKnobs, seed: int) -> Any:
    """Vectors, a Keras tensor, with random pose, stretch and noise in training."""
    if knobs.pose_degrees or knobs.stretch:
        values = PoseJitter(features, knobs, seed)(values)
    return keras.layers.GaussianNoise(knobs.noise)(values)


def build(features: Features, labels: int, recipe: Recipe) -> Any:
    """An untrained Keras model: vectors, float[N, F] -> logits, float[N, labels]."""
    inputs = values = keras.Input((features.size,))
    values = jittered(values, features, recipe.augmentation, recipe.seed)
    for units in recipe.network.hidden:
        values = keras.layers.Dense(units, use_bias=False)(values)
        values = keras.layers.BatchNormalization(momentum=0.98)(values)
        values = keras.layers.ReLU(max_value=RELU_MAX)(values)
        values = keras.layers.Dropout(recipe.network.dropout)(values)
    return keras.Model(inputs, keras.layers.Dense(labels)(values))


def _centred(layers: list[Layer]) -> list[Layer]:
    """The same probabilities from logits that sum to 0: a constant shared by all of them carries no information.

    int8 divides the range of the logits into 256 steps; the narrower the range, the finer the steps.
    """
    last = layers[-1]
    return [
        *layers[:-1],
        Layer(last.kernel - last.kernel.mean(axis=1, keepdims=True), last.bias - last.bias.mean()),
    ]
