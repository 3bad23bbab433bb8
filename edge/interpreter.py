"""One interface to the two interpreters of TFLite models: LiteRT if it is installed, else tflite-runtime."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import hints
from edge.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

RUNTIMES = (("ai-edge-litert", "ai_edge_litert.interpreter"), ("tflite-runtime", "tflite_runtime.interpreter"))
"""Distributions and their modules, in order of preference."""


@cache
def _interpreter_class() -> tuple[str, Any]:
    reasons = []
    for distribution, module in RUNTIMES:
        try:
            return distribution, importlib.import_module(module).Interpreter
        except ImportError as error:
            # A wheel built for another NumPy also raises this; its message says so.
            reasons.append(f"{distribution}: {str(error).splitlines()[0]}")
    raise UnavailableError(f"no TFLite interpreter ({'; '.join(reasons)}): {hints.install('litert')}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence stderr, where the C++ library announces its delegate. It has no option for that."""
    sys.stderr.flush()
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)


def runtime_name() -> str:
    """Distribution and version of the interpreter in use, such as `ai-edge-litert 2.3.0`.

    Raises:
        UnavailableError: no interpreter is installed.
    """
    distribution, interpreter = _interpreter_class()
    package = importlib.import_module(interpreter.__module__.partition(".")[0])
    return f"{distribution} {package.__version__}"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantisation: tuple[float, int]
    """Scale and zero point; (0, 0) for a float model."""
    view: Callable[[], NDArray[Any]]
    """Returns the input tensor itself, to be written in place.

    Write to this array and drop it: the interpreter refuses to run while a reference to it exists.
    """


class Model:
    """A TFLite model."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load `path` and allocate its tensors.

        Args:
            path: the model file.
            threads: number of threads that the interpreter uses.

        Raises:
            ConfigError: the file is missing, or this interpreter can't run it.
            UnavailableError: no interpreter is installed.
        """
        distribution, interpreter = _interpreter_class()
        try:
            with _quiet():
                self._interpreter = interpreter(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{path}: {distribution} cannot load this model ({reason})") from error
        self.inputs: tuple[Input, ...] = tuple(
            Input(
                tuple(int(n) for n in each["shape"]),
                np.dtype(each["dtype"]),
                each["quantization"],
                self._interpreter.tensor(each["index"]),
            )
            for each in self._interpreter.get_input_details()
        )
        """The inputs, in the order of the file. That order is arbitrary; identify them by their shapes."""
        self._outputs = self._interpreter.get_output_details()
        self.output_shapes: tuple[tuple[int, ...], ...] = tuple(
            tuple(int(n) for n in output["shape"]) for output in self._outputs
        )
        self.output_quantisation: tuple[float, int] = self._outputs[0]["quantization"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the first input."""
        return self.inputs[0].dtype

    def reads_only(self, *shape: int) -> bool:
        """Whether the model has exactly one input, of this shape."""
        return [each.shape for each in self.inputs] == [shape]

    def invoke(self) -> None:
        """Run the model on the current values of its inputs."""
        self._interpreter.invoke()

    def output(self, index: int) -> NDArray[Any]:
        """A copy of output `index`."""
        value: NDArray[Any] = self._interpreter.get_tensor(self._outputs[index]["index"])
        return value
