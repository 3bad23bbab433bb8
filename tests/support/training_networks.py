"""Untrained networks, and inputs for them, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.crop import FaceCrop, even
from edge.classifier.features import Features
from host_training.data.inputs import Inputs
from host_training.training.float_network import FloatNetwork
from host_training.training.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE, LABELS = 12, 8


def layers_for(rng: np.random.Generator) -> list[Layer]:
    """Vectors of `SIZE` -> `LABELS`."""
    return [
        Layer(rng.normal(size=(SIZE, 16)).astype(np.float32), rng.normal(size=16).astype(np.float32)),
        Layer(rng.normal(size=(16, LABELS)).astype(np.float32), rng.normal(size=LABELS).astype(np.float32)),
    ]


def features() -> Features:
    """A contract that gives vectors of `SIZE`."""
    return _contract(SIZE // 3, None)


def crop_features(side: int) -> Features:
    """A contract that gives crops with such a side, and no vector."""
    return _contract(0, FaceCrop(side))


def _contract(points: int, crop: FaceCrop | None) -> Features:
    mean, scale = np.zeros(3 * points, np.float32), np.ones(3 * points, np.float32)
    return Features(np.arange(points), np.arange(4), np.eye(4, 3, dtype=np.float32), mean, scale, crop)


def mosaics(rng: np.random.Generator, count: int, side: int) -> NDArray[np.uint8]:
    """uint8[count, side, side]: crops of four by four squares."""
    squares = rng.integers(0, 256, (count, 4, 4), np.uint8)
    return np.array([even(each) for each in squares.repeat(side // 4, axis=1).repeat(side // 4, axis=2)])


def on_vectors(layers: list[Layer]) -> FloatNetwork:
    return FloatNetwork(layers, None)


def vectors_alone(vectors: NDArray[np.float32]) -> Inputs:
    return Inputs(np.arange(len(vectors)), vectors, None)


def crops_alone(crops: NDArray[np.uint8]) -> Inputs:
    return Inputs(np.arange(len(crops)), np.zeros((len(crops), 0), np.float32), crops)
