"""Float network -> the file that the device runs: int8 from end to end if it says the same, else float."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT
from host_training.data.inputs import as_input
from host_training.quiet import quiet
from host_training.training.network import CLIP_SIGMA, within_reach

with quiet():
    import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from host_training.data.inputs import Inputs
    from host_training.training.fused import Network

MIN_AGREEMENT = 0.99
"""Share of the validation rows on which int8 and float must name the same label."""
MAX_LOSS = 0.005
"""So much accuracy on the validation rows may be lost, as a share."""
REPRESENTATIVES = 8000
"""Training rows that the ranges of the activations are taken from, at most."""
TRIMS = (1.0, 4.0, 10.0, 15.0)
"""Per cent of them at either end of the logits that are left out again; the one that agrees best with float is kept.
Their logits will be cut off, but they are the rows where nothing is in doubt; all others get finer steps."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How int8 and float compare on the validation rows."""

    float_accuracy: float
    int8_accuracy: float
    agreement: float
    """Share of rows with the same most likely label."""
    mean_difference: float
    """Of the probabilities, absolute."""
    max_difference: float

    @property
    def holds(self) -> bool:
        """Whether the int8 network may take the float one's place."""
        return self.agreement >= MIN_AGREEMENT and round(self.float_accuracy - self.int8_accuracy, 9) <= MAX_LOSS


def compare(by_float: NDArray[np.float32], by_int8: NDArray[np.float32], label: NDArray[np.intp]) -> Parity:
    """Compare two networks' probabilities, float32[N, C], on rows whose labels, int[N], are known."""
    difference = np.abs(by_float - by_int8)
    first, second = by_float.argmax(axis=1), by_int8.argmax(axis=1)
    return Parity(
        float_accuracy=float((first == label).mean()),
        int8_accuracy=float((second == label).mean()),
        agreement=float((first == second).mean()),
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
    )


def representatives(network: Network, inputs: Inputs, seed: int, trim: float = TRIMS[0]) -> Inputs:
    """Faces that stand for the training rows when a network's ranges are measured; see `TRIMS`."""
    chosen = np.random.default_rng(seed).choice(len(inputs), min(REPRESENTATIVES, len(inputs)), replace=False)
    sample = inputs[np.sort(chosen)]
    said = network.logits(sample)
    low, high = said.min(axis=1), said.max(axis=1)
    return sample[np.flatnonzero((low >= np.percentile(low, trim)) & (high <= np.percentile(high, 100 - trim)))]


def to_tflite(network: Network, sample: Inputs | None) -> bytes:
    """The network as a TFLite file: [1, F], [1, S, S, 1] or both -> [1, C].

    Args:
        network: the float one.
        sample: from `representatives`: int8 in, out and within. None: float32.
    """
    # The converter warns of ranges that it was not given, though it measures them itself.
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


def _graph(network: Network, *, clip: bool) -> Any:
    """What the network computes, as TensorFlow sees it; `clip` where no range of an input does it."""
    layers, crop = network.layers, network.crop
    signature = []
    first = layers[0] if layers is not None else crop and crop.beside
    if first:
        signature.append(tf.TensorSpec([1, first.kernel.shape[0]], tf.float32, name=LANDMARKS_INPUT))
    if crop is not None:
        signature.append(tf.TensorSpec([1, crop.size, crop.size, 1], tf.float32, name=CROP_INPUT))

    def run(*given: Any) -> Any:
        said = []
        vectors = tf.clip_by_value(given[0], -CLIP_SIGMA, CLIP_SIGMA) if first and clip else given[0]
        if layers is not None:
            values = vectors
            for layer in layers[:-1]:
                values = tf.nn.relu6(tf.matmul(values, layer.kernel) + layer.bias)
            said.append(tf.matmul(values, layers[-1].kernel) + layers[-1].bias)
        if crop is not None:
            # Not tf.reverse: interpreters of several years can gather int8.
            mirrored = tf.gather(given[-1], list(range(crop.size))[::-1], axis=2)
            twice = tf.concat([vectors, vectors], axis=0) if crop.beside else None
            both = crop(tf.concat([given[-1], mirrored], axis=0), twice)
            said.append(tf.reduce_mean(both, axis=0, keepdims=True))
        return sum(said[1:], said[0])

    return tf.function(run, input_signature=signature)


def _inputs(inputs: Inputs) -> list[NDArray[np.float32]]:
    given = []
    if inputs.vectors.size:
        given.append(within_reach(inputs.vectors))
    if inputs.crops is not None:
        given.append(as_input(inputs.crops))
    return given
