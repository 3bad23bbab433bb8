"""Float network -> TFLite file, int8 from end to end or float32."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT
from host_training.data.inputs import as_input
from host_training.quiet import quiet
from host_training.training.layers import CLIP_SIGMA, clipped

with quiet():
    import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from host_training.data.inputs import Inputs
    from host_training.training.float_network import FloatNetwork

REPRESENTATIVES = 8000
"""Maximum number of training rows in the representative dataset, which gives the ranges of the activations."""
TRIMS = (1.0, 4.0, 10.0, 15.0)
"""Percentages of the representative rows to leave out at either end of the logits; the one that agrees best with float
is used. The logits of the rows left out saturate, but nothing is in doubt there, and all others get finer steps."""


def representatives(network: FloatNetwork, inputs: Inputs, seed: int, trim: float = TRIMS[0]) -> Inputs:
    """The representative dataset, drawn from the inputs of the training rows; see `TRIMS`."""
    chosen = np.random.default_rng(seed).choice(len(inputs), min(REPRESENTATIVES, len(inputs)), replace=False)
    sample = inputs[np.sort(chosen)]
    logits = network.logits(sample)
    low, high = logits.min(axis=1), logits.max(axis=1)
    return sample[np.flatnonzero((low >= np.percentile(low, trim)) & (high <= np.percentile(high, 100 - trim)))]


def to_tflite(network: FloatNetwork, sample: Inputs | None) -> bytes:
    """The network as a TFLite file: [1, F], [1, S, S, 1] or both -> [1, C].

    Args:
        network: the float one.
        sample: from `representatives`, for int8 inputs, outputs and weights; None: float32.
    """
    # The converter warns that it has no ranges, and then measures them.
    with quiet(), warnings.catch_warnings(action="ignore"):
        holder = tf.Module()
        holder.run = _graph(network, clip=sample is None)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.run.get_concrete_function()], holder)
        if sample is not None:
            rows = sample

            def each() -> Iterator[list[NDArray[np.float32]]]:
                for index in range(len(rows)):
                    yield _inputs(rows[slice(index, index + 1)])

            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = each
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        converted: bytes = converter.convert()
    return converted


def _graph(network: FloatNetwork, *, clip: bool) -> Any:
    """The network as a TensorFlow function; `clip` unless the range of an int8 input clips."""
    layers, crop = network.layers, network.crop
    signature = []
    first = layers[0] if layers is not None else crop and crop.landmarks
    if first:
        signature.append(tf.TensorSpec([1, first.kernel.shape[0]], tf.float32, name=LANDMARKS_INPUT))
    if crop is not None:
        signature.append(tf.TensorSpec([1, crop.size, crop.size, 1], tf.float32, name=CROP_INPUT))

    def run(*given: Any) -> Any:
        parts = []
        vectors = tf.clip_by_value(given[0], -CLIP_SIGMA, CLIP_SIGMA) if first and clip else given[0]
        if layers is not None:
            values = vectors
            for layer in layers[:-1]:
                values = tf.nn.relu6(tf.matmul(values, layer.kernel) + layer.bias)
            parts.append(tf.matmul(values, layers[-1].kernel) + layers[-1].bias)
        if crop is not None:
            # gather instead of tf.reverse: older interpreters support it for int8.
            mirrored = tf.gather(given[-1], list(range(crop.size))[::-1], axis=2)
            twice = tf.concat([vectors, vectors], axis=0) if crop.landmarks else None
            both = crop(tf.concat([given[-1], mirrored], axis=0), twice)
            parts.append(tf.reduce_mean(both, axis=0, keepdims=True))
        return sum(parts[1:], parts[0])

    return tf.function(run, input_signature=signature)


def _inputs(inputs: Inputs) -> list[NDArray[np.float32]]:
    given = []
    if inputs.vectors.size:
        given.append(clipped(inputs.vectors))
    if inputs.crops is not None:
        given.append(as_input(inputs.crops))
    return given
