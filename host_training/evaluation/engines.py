"""A bundle's network in three engines: float, TensorFlow's reference interpreter, and the edge's own interpreter.

If they agree, a bundle's mistakes are the network's, and come neither from int8 nor from an interpreter.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.bundle.bundle import NETWORK
from edge.classifier import network
from edge.errors import DataError, NoInputError
from edge.interpreter import runtime_name
from host_training.data.inputs import as_input
from host_training.evaluation.metrics import confusion, macro_f1

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from host_training.data.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Engine:
    """Scores of the network in one engine."""

    name: str
    accuracy: float
    """Missed faces are errors."""
    macro_f1: float
    agreement: float
    """Share of the faces found for which it predicts the same label as the edge's interpreter."""


def float_path(folder: Path) -> Path:
    """The TFLite file of a bundle's float network: in `float/` beside the bundle, because no device needs it."""
    bundle = folder.absolute()
    return bundle.parent / "float" / f"{bundle.name}.tflite"


def float_of(bundle: Bundle) -> Path:
    """The float network that a bundle was quantised from.

    Raises:
        NoInputError: it cannot be read, or the bundle was packed without one.
        DataError: it belongs to another bundle, or is damaged.
    """
    expected = bundle.manifest.provenance.float_sha256
    path = float_path(bundle.folder)
    if not expected:
        raise NoInputError(f"{bundle.id} was packed without its float network")
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror})") from error
    if actual != expected:
        raise DataError(f"{path}: is not the float network of {bundle.id}")
    return path


def compare(
    bundle: Bundle, inputs: Inputs, found: NDArray[np.bool_], label: NDArray[np.intp], columns: list[int]
) -> tuple[Engine, ...]:
    """Score the float network, TensorFlow's reference interpreter and the edge's, in this order.

    Args:
        bundle: with the network.
        inputs: of the M rows in which a face was found.
        found: bool[N], whether a face was found in a row; true for M of them.
        label: int[N], an index into `columns`.
        columns: places of the labels in question among the bundle's.

    Raises:
        NoInputError, DataError: see `float_of`; or no face was found.
    """
    if not found.any():
        raise DataError("no face was found")
    path = bundle.folder / NETWORK
    labels = len(bundle.labels)
    model, whole = (network.network(file, bundle.features, labels) for file in (path, float_of(bundle)))
    kind = model.inputs[0].dtype.name
    by_name = {
        "float": network.logits(whole, inputs.vectors, inputs.crops),
        f"{kind}, TensorFlow's interpreter": by_reference(path, inputs),
        f"{kind}, the edge's interpreter ({runtime_name()})": network.logits(model, inputs.vectors, inputs.crops),
    }
    predictions = {name: values[:, columns].argmax(axis=1) for name, values in by_name.items()}
    edges = list(predictions.values())[-1]
    engines = []
    for name, prediction in predictions.items():
        predicted = np.full(len(label), len(columns))
        predicted[found] = prediction
        counts = confusion(label, predicted, len(columns)).astype(np.float64)
        f1 = macro_f1(np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0))
        accuracy, agreement = (predicted == label).mean(), (prediction == edges).mean()
        engines.append(Engine(name, float(accuracy), float(f1), float(agreement)))
    return tuple(engines)


def by_reference(path: Path, inputs: Inputs) -> NDArray[np.float32]:
    """Logits, float32[N, C], of TensorFlow's reference kernels, which are plain, unoptimised loops."""
    from host_training.quiet import quiet

    with quiet(), warnings.catch_warnings(action="ignore"):  # of its deprecation in favour of the edge's
        import tensorflow as tf

        resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]
    given = []
    for tensor in interpreter.get_input_details():
        values = inputs.vectors
        if inputs.crops is not None and len(tensor["shape"]) != network.VECTOR_AXES:
            values = as_input(inputs.crops)
        given.append((tensor["index"], _quantised(values, tensor)))
    rows = []
    for index in tqdm(range(len(inputs)), "classifying with TensorFlow's interpreter", unit=" faces", leave=False):
        for place, values in given:
            interpreter.set_tensor(place, values[index : index + 1])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output["index"])[0])
    logits = np.array(rows, np.float32).reshape(len(inputs), output["shape"][1])
    if output["dtype"] == np.int8:
        scale, zero = output["quantization"]
        logits = (logits - zero) * np.float32(scale)
    return logits


def _quantised(values: NDArray[np.float32], tensor: dict[str, Any]) -> NDArray[Any]:
    """Values for an input tensor, rounded and clipped as in TFLite's quantisation specification."""
    if tensor["dtype"] != np.int8:
        return values
    scale, zero = tensor["quantization"]
    steps = np.rint(values / np.float32(scale)) + zero
    return np.asarray(np.clip(steps, -128, 127), np.int8)
