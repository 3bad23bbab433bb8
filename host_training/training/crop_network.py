"""The network on crops, or on crops and landmarks: a small convolutional one on soft labels, trained with Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.classifier.network import softmax
from edge.errors import UsageError
from host_training.data.inputs import NO_CROPS, as_input
from host_training.quiet import quiet
from host_training.training.crop_batches import CropBatches
from host_training.training.landmark_network import jittered
from host_training.training.layers import RELU_MAX, Layer, clipped, folded, seed_everything

with quiet():
    import keras
    import tensorflow as tf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.training.crop_batches import CropExamples
    from host_training.training.recipe import Recipe

WARM_UP = 200
"""Steps over which the learning rate rises, so that the first batches don't throw the weights off."""
CHUNK = 512
"""Crops in a forward pass outside of training."""
DENSE = 2
"""Dimensions of a dense layer's kernel."""
SOFT_LABEL_SHARE = 0.5
"""Share of a student's target that comes from its teachers."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """`values * kernel + bias`, with zero padding."""

    kernel: NDArray[np.float32]
    """float32[side, side, in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""
    strides: int


@dataclass(frozen=True, slots=True)
class CropNetwork:
    """A trained network as plain arrays, computed by TensorFlow."""

    size: int
    """Side of its crops in px."""
    convolutions: list[Convolution]
    """Three for each stage, see `build`."""
    last: Layer
    landmarks: Layer | None = None
    """On the vector of the landmarks; its outputs are concatenated with the pooled features. None: crops alone."""

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        layers: list[Convolution | Layer] = [
            *self.convolutions,
            self.last,
            *([self.landmarks] if self.landmarks else []),
        ]
        return sum(each.kernel.size + each.bias.size for each in layers)

    def __call__(self, values: Any, vectors: Any = None) -> Any:
        """tf.Tensor float[N, S, S, 1], from `as_input`, and, if it reads landmarks, float[N, F] -> float[N, C]."""

        def convolved(values: Any, layer: Convolution) -> Any:
            return tf.nn.conv2d(values, layer.kernel, layer.strides, "SAME") + layer.bias

        # relu6, because TFLite fuses it into the convolution; it doesn't fuse minimum and maximum.
        for at in range(0, len(self.convolutions), 3):
            first, second, third = self.convolutions[at : at + 3]
            values = tf.nn.relu6(convolved(values, first))
            values = tf.nn.relu6(values + convolved(tf.nn.relu6(convolved(values, second)), third))
        values = tf.reduce_mean(values, axis=(1, 2))
        if self.landmarks is not None:
            values = tf.concat([values, tf.nn.relu6(vectors @ self.landmarks.kernel + self.landmarks.bias)], axis=1)
        return values @ self.last.kernel + self.last.bias


def train(
    examples: CropExamples,
    store: CropStore,
    validation: tuple[Inputs, NDArray[np.float32]],
    recipe: Recipe,
    features: Features | None = None,
    *,
    label: str = "training",
) -> tuple[CropNetwork, dict[str, list[float]]]:
    """Train a network and keep the weights with the lowest validation loss.

    Args:
        examples: what it is trained on.
        store: the crop store of the table.
        validation: the inputs of V faces, and their soft labels, float32[V, C].
        recipe: the knobs.
        features: the feature contract of the examples' vectors; None: it reads crops alone.
        label: of the progress bar.

    Returns:
        It, batch normalisation folded in, and the losses by epoch.
    """
    seed_everything(recipe.seed)
    knobs = recipe.crop
    batches = CropBatches(examples, store, recipe)
    model = build(recipe, examples.targets.shape[1], features)
    steps = len(batches) * knobs.epochs
    warm_up = min(WARM_UP, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=knobs.learning_rate, warmup_steps=warm_up
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=knobs.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    best = keras.callbacks.EarlyStopping("val_loss", patience=knobs.epochs, restore_best_weights=True)
    with tqdm(total=steps, desc=label, unit=" batches") as bar:

        def show(_: int, logs: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{logs['loss']:.4f}", validation=f"{logs['val_loss']:.4f}")

        history = model.fit(
            batches,
            validation_data=(_for_keras(validation[0], both=features is not None), validation[1]),
            epochs=knobs.epochs,
            callbacks=[
                best,
                keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: bar.update(), on_epoch_end=show),
            ],
            verbose=0,
        )
    losses = {key: [float(value) for value in values] for key, values in history.history.items()}
    return folded_crop_network(model), losses


def build(recipe: Recipe, labels: int, features: Features | None = None) -> Any:
    """An untrained Keras model; each stage has a convolution with stride 2 and a residual block of two more.

    Args:
        recipe: the knobs.
        labels: C.
        features: the feature contract of the vectors that it reads too, through one hidden layer; None: crops alone.
    """
    knobs, layers = recipe.crop, keras.layers

    def convolved(values: Any, channels: int, *, side: int = 3, strides: int = 1) -> Any:
        values = layers.Conv2D(channels, side, strides, padding="same", use_bias=False)(values)
        return layers.BatchNormalization(momentum=0.98)(values)

    def relu(values: Any) -> Any:
        return layers.ReLU(max_value=RELU_MAX)(values)

    inputs = values = keras.Input((knobs.size, knobs.size, 1))
    for stage, channels in enumerate(knobs.channels):
        # The first kernel has 5x5 px: with a single input channel that costs next to nothing.
        values = relu(convolved(values, channels, side=3 if stage else 5, strides=2))
        residual = convolved(relu(convolved(values, channels)), channels)
        values = relu(layers.Add()([values, residual]))
    values = layers.GlobalAveragePooling2D()(values)
    if features is not None:
        vectors = keras.Input((features.size,))
        landmarks = jittered(vectors, features, recipe.augmentation, recipe.seed)
        values = layers.Concatenate()([values, relu(layers.Dense(recipe.network.hidden[0])(landmarks))])
        inputs = [inputs, vectors]
    values = layers.Dropout(knobs.dropout)(values)
    return keras.Model(inputs, layers.Dense(labels)(values))


def folded_crop_network(model: Any) -> CropNetwork:
    """The model from `build` as arrays, batch normalisation folded in."""
    layers = folded(model)
    *landmarks, last = [Layer(kernel, bias) for kernel, bias, _ in layers if kernel.ndim == DENSE]
    convolutions = [Convolution(*each) for each in layers if each[0].ndim != DENSE]
    return CropNetwork(model.inputs[0].shape[1], convolutions, last, *landmarks)


def with_soft_labels(examples: CropExamples, teachers: list[CropNetwork], inputs: Inputs) -> CropExamples:
    """Examples for a student: `SOFT_LABEL_SHARE` of a target is the teachers' mean prediction (Hinton et al. 2015).

    Args:
        examples: what the teachers were trained on.
        teachers: trained networks.
        inputs: of the examples' rows, in their order.
    """
    soft = np.mean([softmax(logits(each, inputs), 1.0) for each in teachers], axis=0, dtype=np.float32)
    share = np.float32(SOFT_LABEL_SHARE)
    return replace(examples, targets=(np.float32(1) - share) * examples.targets + share * soft)


def logits(model: CropNetwork, inputs: Inputs) -> NDArray[np.float32]:
    """Logits of the float network, float32[N, C]: the mean over a crop and its mirror image.

    That doubles the time on a device, and takes no memory.
    """
    parts: list[NDArray[np.float32]] = [np.zeros((0, len(model.last.bias)), np.float32)]
    for at in range(0, len(inputs), CHUNK):
        crops, vectors = _for_keras(inputs[slice(at, at + CHUNK)], both=True)
        both = model(crops, vectors) + model(crops[:, :, ::-1], vectors)
        parts.append(np.asarray(both / 2, np.float32))
    return np.concatenate(parts)


def _for_keras(inputs: Inputs, *, both: bool) -> Any:
    """Inputs as Keras takes them: crops, or crops and vectors."""
    if inputs.crops is None:
        raise UsageError(NO_CROPS)
    crops = as_input(inputs.crops)
    return (crops, clipped(inputs.vectors)) if both else crops
