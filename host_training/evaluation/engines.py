"""The network of a bundle in other hands: float, and TensorFlow's reference interpreter, against the edge's own.

Where they agree, a bundle's mistakes are the network's and come neither from int8 nor from an interpreter.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import classifier
from edge.bundle import NETWORK
from edge.errors import DataError, NoInputError
from edge.runtime import runtime_name
from host_training.evaluation.metrics import confusion, macro_f1

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle import Bundle
    from host_training.training.network import Layer

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
    """Where a bundle's float network lies: beside its folder, because no device needs it."""
    whole = folder.absolute()
    return whole.with_name(f"{whole.name}.float.npz")


def save_float(layers: list[Layer], path: Path) -> None:
    """Write a float network as `kernel_0`, `bias_0` and so on; the same layers always give the same bytes."""
    arrays: dict[str, Any] = {}
    for index, layer in enumerate(layers):
        arrays[f"kernel_{index}"] = np.asarray(layer.kernel, "<f4")
        arrays[f"bias_{index}"] = np.asarray(layer.bias, "<f4")
    with path.open("wb") as file:  # np.savez would add its own suffix to a name that has another
        np.savez(file, **arrays)


def load_float(path: Path) -> list[Layer]:
    """Read what `save_float` wrote.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it holds no network.
    """
    from host_training.training.network import Layer

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            count = len(data.files) // 2
            layers = [
                Layer(data[f"kernel_{index}"].astype(np.float32), data[f"bias_{index}"].astype(np.float32))
                for index in range(count)
            ]
        fit = all(before.kernel.shape[1] == after.kernel.shape[0] for before, after in pairwise(layers))
        if not layers or not fit or any(layer.bias.shape != layer.kernel.shape[1:] for layer in layers):
            raise ValueError("its arrays do not fit each other")  # noqa: TRY301 - one message for all damage
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged zip raises from deep inside zipfile, zlib or NumPy.
        raise DataError(f"{path}: not a float network ({error}); train again") from error
    return layers


def float_of(bundle: Bundle) -> list[Layer]:
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
        raise NoInputError(f"{path.name} is not beside the bundle ({error.strerror})") from error
    if actual != expected:
        raise DataError(f"{path.name} is not the float network of {bundle.id}")
    return load_float(path)


def compare(
    bundle: Bundle,
    layers: list[Layer],
    landmarks: NDArray[np.float32],
    label: NDArray[np.intp],
    columns: list[int],
) -> tuple[Engine, ...]:
    """Judge the float network, TensorFlow's reference interpreter and the edge's, in this order.

    Args:
        bundle: the network in question.
        layers: its float form, from `float_of`.
        landmarks: float32[N, 478, 3] px of the rows that are judged; NaN where no face was found.
        label: int[N], an index into `columns`.
        columns: which of the bundle's labels can be said.

    Raises:
        DataError: there is nothing to compare on.
    """
    from host_training.training.network import logits

    found = np.isfinite(landmarks[:, 0, 0])
    if not found.any():
        raise DataError("no face was found")
    vectors, _ = bundle.features(landmarks[found])
    path = bundle.folder / NETWORK
    model = classifier.network(path, bundle.features.size, len(bundle.labels))
    kind = model.input_dtype.name
    by_name = {
        "float": logits(layers, vectors),
        f"{kind}, TensorFlow's interpreter": by_reference(path, vectors),
        f"{kind}, the edge's interpreter ({runtime_name()})": classifier.logits(model, vectors),
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


def by_reference(path: Path, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits, float32[N, C], of TensorFlow's reference kernels, plain loops without any tuning, to float32[N, F]."""
    from host_training.quiet import quiet

    with quiet(), warnings.catch_warnings(action="ignore"):  # it recommends the edge's interpreter instead of itself
        import tensorflow as tf

        resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    inside, outside = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in _quantised(vectors, *inside["quantization"]) if inside["dtype"] == np.int8 else vectors:
        interpreter.set_tensor(inside["index"], row[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(outside["index"])[0])
    values = np.array(rows, np.float32).reshape(len(vectors), outside["shape"][1])
    if outside["dtype"] == np.int8:
        scale, zero = outside["quantization"]
        values = (values - zero) * np.float32(scale)
    return values


def _quantised(vectors: NDArray[np.float32], scale: float, zero: int) -> NDArray[np.int8]:
    """int8[N, F]: rounded and cut off as the specification of TFLite's quantisation says."""
    steps = np.rint(vectors / np.float32(scale)) + zero
    return np.asarray(np.clip(steps, -128, 127), np.int8)
