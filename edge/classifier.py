"""Faces -> readings: features, the quantised MLP of the bundle, calibrated probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import ConfigError
from edge.runtime import Model
from edge.values import Reading, bounding_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.features import Features
    from edge.values import Face

LEFT_IRIS, RIGHT_IRIS = 468, 473
"""Centres of the irises, as the viewer sees them."""

FULL_QUALITY_DISTANCE = 24.0
"""px between the irises from which on a face is not too small: that of a 48x48 FER2013 face, which the
classifier was trained on."""


def network(path: Path, features: int, labels: int) -> Model:
    """Load a classifier's network.

    Raises:
        ConfigError: the model cannot be loaded, or its shape is not float32 or int8 [1, features] -> [1, labels].
    """
    model = Model(path)
    if model.input_shape != (1, features) or model.output_shapes != ((1, labels),):
        raise ConfigError(
            f"{path}: takes {model.input_shape} and gives {model.output_shapes}, but the bundle says "
            f"(1, {features}) and (1, {labels}); install the bundle again"
        )
    return model


def logits(model: Model, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the network row by row.

    Args:
        model: from `network`; a quantised one is fed and read through its own scale and zero point.
        vectors: float32[N, F].

    Returns:
        float32[N, C].
    """
    inputs: NDArray[Any] = vectors
    if model.input_dtype == np.int8 and vectors.size:
        scale, zero = model.input_quantisation
        quantised = vectors * np.float32(1 / scale)
        quantised += zero
        np.rint(quantised, out=quantised)
        # Not np.clip: it takes as long as all the rest.
        inputs = np.minimum(np.maximum(quantised, -128), 127).astype(np.int8)
    rows = []
    for row in inputs:
        model.input()[0] = row
        model.invoke()
        rows.append(model.output(0)[0])
    values = np.array(rows, np.float32).reshape(len(vectors), model.output_shapes[0][1])
    if model.input_dtype == np.int8:
        scale, zero = model.output_quantisation
        values -= zero
        values *= scale
    return values


def softmax(values: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities, float32[N, C], of logits, float32[N, C] (Guo et al. 2017 for the temperature)."""
    scaled = values / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


class Classifier:
    """The bundle's network with everything that goes before and after it."""

    def __init__(self, model: Model, features: Features, temperature: float) -> None:
        """Put the parts together; `edge.bundle` loads and checks them."""
        self._model = model
        self._features = features
        self._temperature = temperature

    def probabilities(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[N, C] for faces, float32[N, 478, 3] px."""
        vectors, _ = self._features(landmarks)
        return softmax(logits(self._model, vectors), self._temperature)

    def read(self, faces: Sequence[Face]) -> list[Reading]:
        """One reading for each face, in the same order."""
        if not faces:
            return []
        landmarks = np.array([face.landmarks for face in faces])
        vectors, pose = self._features(landmarks)
        probabilities = softmax(logits(self._model, vectors), self._temperature)
        frontality = pose.frontality.tolist()
        return [
            Reading(face.track_id, row, quality(face.landmarks, facing), bounding_box(face.landmarks))
            for face, row, facing in zip(faces, probabilities, frontality, strict=True)
        ]


def quality(landmarks: NDArray[np.float32], frontality: float) -> float:
    """How much a face allows to be said, 0..1: its size times how squarely it faces the camera.

    Args:
        landmarks: float32[478, 3] px.
        frontality: see `features.Pose`; at 45 degrees 0.7 is left, at 75 degrees 0.26.
    """
    # In three dimensions, so that a turned face does not count as a small one too.
    distance = math.dist(landmarks[LEFT_IRIS].tolist(), landmarks[RIGHT_IRIS].tolist())
    return min(1.0, distance / FULL_QUALITY_DISTANCE) * max(0.0, frontality)
