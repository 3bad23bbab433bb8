"""The network: a small multi-layer perceptron on soft targets, trained with Keras, folded for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from host_training.quiet import quiet

with quiet():
    import keras
    import tensorflow as tf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.settings import TrainSettings


REACH = 3.0
"""Coordinates further than so many standard deviations from the mean count as that far. Few are;
without the limit they would stretch the range that int8 divides into 256 steps."""


CEILING = 6.0
"""Hidden units give no more than this, for the same reason; it is the ceiling that TFLite can fuse (ReLU6)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a network learns from or is watched on."""

    vectors: NDArray[np.float32]
    """float32[N, F], from `edge.features`."""
    targets: NDArray[np.float32]
    """float32[N, C], each row a distribution over the labels."""
    weights: NDArray[np.float32]
    """float32[N], how much a row counts; 1 on average."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense layer: `values @ kernel + bias`, cut off at 0 and at `CEILING` after all but the last."""

    kernel: NDArray[np.float32]
    """float32[in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""


def within_reach(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors, float32[N, F], as the network sees them; an int8 one does this by the range of its input."""
    return np.clip(vectors, -REACH, REACH)


def class_weights(targets: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """How much each row counts, float32[N], 1 on average: its labels' frequency to the power of -`power`.

    Args:
        targets: float32[N, C], distributions.
        power: 0 leaves all rows alike, 1 makes all labels weigh the same.
    """
    frequency = targets.mean(axis=0)
    # A label that nobody voted for weighs nothing instead of everything.
    by_label = np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -power, 0)
    weights = targets @ by_label
    return (weights / weights.mean()).astype(np.float32)


def seed_everything(seed: int) -> None:
    """Make what follows give the same weights every time."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def train(training: Rows, validation: Rows, settings: TrainSettings) -> tuple[list[Layer], dict[str, list[float]]]:
    """Fit a network; it keeps the weights with which the validation rows were least surprising.

    Returns:
        Its layers, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(settings.seed)
    size, labels = training.vectors.shape[1], training.targets.shape[1]
    model = _build(size, labels, settings)
    steps = -(-len(training.vectors) // settings.batch) * settings.epochs
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps),
            weight_decay=settings.weight_decay,
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    early = keras.callbacks.EarlyStopping("val_loss", patience=settings.patience, restore_best_weights=True)
    with tqdm(total=settings.epochs, desc="training", unit=" epochs") as bar:

        def tell(_: int, logs: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{logs['loss']:.4f}", validation=f"{logs['val_loss']:.4f}")
            bar.update()

        history = model.fit(
            within_reach(training.vectors),
            training.targets,
            sample_weight=training.weights,
            validation_data=(within_reach(validation.vectors), validation.targets, validation.weights),
            batch_size=settings.batch,
            epochs=settings.epochs,
            callbacks=[early, keras.callbacks.LambdaCallback(on_epoch_end=tell)],
            verbose=0,
        )
    losses = {key: [float(value) for value in values] for key, values in history.history.items()}
    return _centred(_folded(model)), losses


def logits(layers: list[Layer], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the float network says, float32[N, C], to float32[N, F]."""
    values = within_reach(vectors)
    for layer in layers[:-1]:
        values = np.clip(values @ layer.kernel + layer.bias, 0, CEILING)
    return values @ layers[-1].kernel + layers[-1].bias


def _build(size: int, labels: int, settings: TrainSettings) -> Any:
    inputs = keras.Input((size,))
    values = keras.layers.GaussianNoise(settings.noise)(inputs)
    for units in settings.hidden:
        values = keras.layers.Dense(units, use_bias=False)(values)
        values = keras.layers.BatchNormalization(momentum=0.98)(values)
        values = keras.layers.ReLU(max_value=CEILING)(values)
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


def _folded(model: Any) -> list[Layer]:
    """The dense layers, each with the batch normalisation after it worked into its weights."""
    folded: list[Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, *bias = layer.get_weights()
            folded.append(Layer(kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32)))
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            before = folded.pop()
            folded.append(Layer(before.kernel * scale, beta + (before.bias - mean) * scale))
    return folded
