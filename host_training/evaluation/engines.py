"""The network of a bundle in other hands: float, and TensorFlow's reference interpreter, against the edge's own.

Where they agree, a bundle's mistakes are the network's and come neither from int8 nor from an interpreter.
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

FLOAT_SHA256 = "float_sha256"
"""Where a manifest's provenance has the hash of the float network."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How good the network is in one implementation."""

    name: str
    accuracy: float
    """Missed faces are errors."""
    macro_f1: float
    agreement: float
    """Share of the faces found on which it says what the edge's interpreter says."""


def float_path(folder: Path) -> Path:
    """The TFLite file of a bundle's float network: in `float/` beside its folder, because no device needs it."""
    whole = folder.absolute()
    return whole.parent / "float" / f"{whole.name}.tflite"


def float_of(bundle: Bundle) -> Path:
    """The float network that a bundle was quantised from.

    Raises:
        NoInputError: it is not there, or the bundle was packed without one.
        DataError: it belongs to another bundle, or is damaged.
    """
    expected = bundle.manifest["provenance"].get(FLOAT_SHA256)
    path = float_path(bundle.folder)
    if expected is None:
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
    """Judge the float network, TensorFlow's reference interpreter and the edge's, in this order.

    Args:
        bundle: the network in question; its float form lies beside it.
        inputs: those of the M faces that were found.
        found: bool[N], whether a face was found in a row that is judged; M are.
        label: int[N], an index into `columns`.
        columns: which of the bundle's labels can be said.

    Raises:
        NoInputError, DataError: see `float_of`; or there is nothing to compare on.
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
    answers = {name: values[:, columns].argmax(axis=1) for name, values in by_name.items()}
    edges = list(answers.values())[-1]
    engines = []
    for name, answer in answers.items():
        said = np.full(len(label), len(columns))
        said[found] = answer
        counts = confusion(label, said, len(columns)).astype(np.float64)
        f1 = macro_f1(np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0))
        engines.append(Engine(name, float((said == label).mean()), float(f1), float((answer == edges).mean())))
    return tuple(engines)


def by_reference(path: Path, inputs: Inputs) -> NDArray[np.float32]:
    """Logits, float32[N, C], of TensorFlow's reference kernels, plain loops without any tuning."""
    from host_training.quiet import quiet

    with quiet(), warnings.catch_warnings(action="ignore"):  # it recommends the edge's interpreter instead of itself
        import tensorflow as tf

        resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    outside = interpreter.get_output_details()[0]
    given = []
    for inside in interpreter.get_input_details():
        values = inputs.vectors
        if inputs.crops is not None and len(inside["shape"]) != network.VECTOR_AXES:
            values = as_input(inputs.crops)
        given.append((inside["index"], _as_told(values, inside)))
    rows = []
    for index in tqdm(range(len(inputs)), "classifying with TensorFlow's interpreter", unit=" faces", leave=False):
        for tensor, values in given:
            interpreter.set_tensor(tensor, values[index : index + 1])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(outside["index"])[0])
    said = np.array(rows, np.float32).reshape(len(inputs), outside["shape"][1])
    if outside["dtype"] == np.int8:
        scale, zero = outside["quantization"]
        said = (said - zero) * np.float32(scale)
    return said


def _as_told(values: NDArray[np.float32], inside: dict[str, Any]) -> NDArray[Any]:
    """Values for an input tensor: rounded and cut off as the specification of TFLite's quantisation says."""
    if inside["dtype"] != np.int8:
        return values
    scale, zero = inside["quantization"]
    steps = np.rint(values / np.float32(scale)) + zero
    return np.asarray(np.clip(steps, -128, 127), np.int8)
