"""What both networks share: dense layers as plain arrays, folded batch normalisation, clipped inputs, seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from host_training.quiet import quiet

with quiet():
    import keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP_SIGMA = 3.0
"""Standard deviations from the mean at which coordinates are clipped. Few lie beyond; they would stretch the range that
int8 divides into 256 steps."""
RELU_MAX = 6.0
"""Upper limit of a hidden unit, for the same reason; TFLite can fuse this one (ReLU6)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense layer: `values @ kernel + bias`, clipped to 0 and `RELU_MAX` after all but the last."""

    kernel: NDArray[np.float32]
    """float32[in, out]."""
    bias: NDArray[np.float32]
    """float32[out]."""

    def scaled(self, factor: float) -> Layer:
        """The layer with its outputs multiplied by a factor."""
        return Layer(self.kernel * np.float32(factor), self.bias * np.float32(factor))

    def shifted(self, change: NDArray[np.float32]) -> Layer:
        """The layer with float32[out] added to its outputs."""
        return Layer(self.kernel, self.bias + change)


def clipped(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors, float32[N, F], clipped at `CLIP_SIGMA`, as the range of an int8 network's input does."""
    return np.clip(vectors, -CLIP_SIGMA, CLIP_SIGMA)


def seed_everything(seed: int) -> None:
    """Make training reproducible: the same weights, and the same layer names, which end up in files."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def folded(model: Any) -> list[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """Kernel, bias and strides of each dense or convolutional layer of a Keras model, in their order.

    Batch normalisation is folded into the layer before it.
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
