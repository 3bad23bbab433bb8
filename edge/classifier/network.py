"""Faces -> readings: features, the quantised network of the bundle, temperature-scaled probabilities."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.classifier.crop import MEAN, STD, even, sharpness
from edge.errors import ConfigError
from edge.interpreter import Model
from edge.values import Reading, bounding_box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from edge.interpreter import Input
    from edge.values import Face

LEFT_IRIS, RIGHT_IRIS = 468, 473
"""Landmarks at the centres of the irises; left and right as the viewer sees them."""

FULL_QUALITY_DISTANCE = 24.0
"""Distance between the irises, px, from which a face has full resolution: that of a 48x48 FER2013 face, on which the
classifier was trained."""

VECTOR_AXES = 2
"""Number of axes of an input that takes vectors, [1, F]; one that takes crops has four, [1, S, S, 1]."""


def network(path: Path, features: Features, labels: int) -> Model:
    """Load a classifier's network.

    Args:
        path: the TFLite file.
        features: its inputs: a vector of length F, a crop of side S, or both.
        labels: number C of its logits.

    Raises:
        ConfigError: the model cannot be loaded, or its shape is not [1, F] and [1, S, S, 1] -> [1, C].
    """
    model = Model(path)
    expected: list[tuple[int, ...]] = [(1, features.size)] if features.size else []
    if features.crop is not None:
        expected.append((1, features.crop.size, features.crop.size, 1))
    given = sorted((each.shape for each in model.inputs), key=len)
    if given != expected or model.output_shapes != ((1, labels),):
        raise ConfigError(
            f"{path}: takes {_listed(given)} and gives {_listed(model.output_shapes)}, but the bundle says "
            f"{_listed(expected)} and {_listed([(1, labels)])}; install the bundle again"
        )
    return model


def _listed(shapes: Iterable[tuple[int, ...]]) -> str:
    return " with ".join(map(str, shapes))


def logits(
    model: Model, vectors: NDArray[np.float32] | None, crops: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """Run the network row by row.

    Args:
        model: from `network`; a quantised model is read and written through its own scales and zero points.
        vectors: float32[N, F], if it reads them.
        crops: uint8[N, S, S], if it reads them.

    Returns:
        float32[N, C].

    Raises:
        ValueError: an input is missing, or the numbers of crops and vectors differ.
    """
    feeds = [_feed(each, vectors if len(each.shape) == VECTOR_AXES else crops) for each in model.inputs]
    rows = []
    for face in zip(*feeds, strict=True):
        for each, values in zip(model.inputs, face, strict=True):
            each.view()[0] = values
        model.invoke()
        rows.append(model.output(0)[0])
    said = np.array(rows, np.float32).reshape(len(rows), model.output_shapes[0][1])
    scale, zero = model.output_quantisation
    if scale:
        said -= zero
        said *= scale
    return said


def _feed(to: Input, values: NDArray[Any] | None) -> Iterable[NDArray[Any]]:
    """The values of an input, face by face, for vectors, float32[N, F], or crops, uint8[N, S, S]."""
    if values is None:
        raise ValueError(f"the network reads {to.shape}, and nothing is given for it")
    if len(to.shape) == VECTOR_AXES:
        return _quantised(values, to.dtype, to.quantisation)
    levels = _levels(to.dtype, to.quantisation)
    return (cv2.LUT(crop, levels)[:, :, None] for crop in values)


def _quantised(values: NDArray[np.float32], dtype: np.dtype[Any], quantisation: tuple[float, int]) -> NDArray[Any]:
    """The values in the type of an input: int8 through its scale and zero point, or unchanged."""
    if dtype != np.int8 or not values.size:
        return values
    scale, zero = quantisation
    steps = values * np.float32(1 / scale)
    steps += zero
    np.rint(steps, out=steps)
    # Not np.clip, which takes as long as all the rest.
    cut_off: NDArray[np.int8] = np.minimum(np.maximum(steps, -128), 127).astype(np.int8)
    return cut_off


@functools.cache
def _levels(dtype: np.dtype[Any], quantisation: tuple[float, int]) -> NDArray[Any]:
    """float32[256] or int8[256]: lookup table from the values of a crop to those of an input."""
    values = (np.arange(256, dtype=np.float32) - np.float32(MEAN)) / np.float32(STD)
    return _quantised(values, dtype, quantisation)


def softmax(values: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities, float32[N, C], of logits, float32[N, C] (Guo et al. 2017 for the temperature)."""
    scaled = values / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


class Classifier:
    """The bundle's network with its pre- and postprocessing."""

    def __init__(
        self, model: Model, features: Features, temperature: float, baseline: NDArray[np.float32] | None = None
    ) -> None:
        """Put the parts together; `edge.bundle.bundle` loads and checks them.

        Args:
            model: from `network`.
            features: its feature contract.
            temperature: divides its logits.
            baseline: float32[F], subtracted from each vector, see `edge.classifier.baseline`; None: no baseline.
        """
        self._model = model
        self._features = features
        self._temperature = temperature
        self._baseline = baseline

    def with_baseline(self, baseline: NDArray[np.float32] | None) -> Classifier:
        """The same classifier with another baseline, float32[F], or one for each of N faces, float32[N, F]."""
        return Classifier(self._model, self._features, self._temperature, baseline)

    def probabilities(
        self, landmarks: NDArray[np.float32], crops: NDArray[np.uint8] | None = None
    ) -> NDArray[np.float32]:
        """float32[N, C] for faces, float32[N, 478, 3] px, and their crops, uint8[N, S, S], where it reads them.

        Raises:
            ValueError: see `logits`.
        """
        return self._said(self._features(landmarks)[0], crops)

    def read(self, faces: Sequence[Face], picture: NDArray[np.uint8]) -> list[Reading]:
        """One reading for each face, in the same order.

        Args:
            faces: as the mesh found them.
            picture: uint8[H, W, 3] in which it found them; unused if only landmarks are read.
        """
        if not faces:
            return []
        landmarks = np.array([face.landmarks for face in faces])
        vectors, pose = self._features(landmarks)
        crops, sharp = None, [1.0] * len(faces)
        if self._features.crop is not None:
            cuts = [self._features.crop.cut(picture, face.landmarks) for face in faces]
            crops = np.array([even(cut) for cut in cuts])
            sharp = [sharpness(cut) for cut in cuts]
        probabilities = self._said(vectors, crops)
        frontality = pose.frontality.tolist()
        return [
            Reading(face.track_id, row, quality(face.landmarks, *seen), bounding_box(face.landmarks), face.place)
            for face, row, seen in zip(faces, probabilities, zip(frontality, sharp, strict=True), strict=True)
        ]

    def _said(self, vectors: NDArray[np.float32], crops: NDArray[np.uint8] | None) -> NDArray[np.float32]:
        """Probabilities, float32[N, C]."""
        if self._baseline is not None:
            vectors = vectors - self._baseline
        return softmax(logits(self._model, vectors, crops), self._temperature)


def quality(landmarks: NDArray[np.float32], frontality: float, sharp: float = 1.0) -> float:
    """Quality of a face, 0..1: resolution times frontality.

    Args:
        landmarks: float32[478, 3] px.
        frontality: see `features.Pose`; at 45 degrees 0.7 is left, at 75 degrees 0.26.
        sharp: from `crop.sharpness`, if the picture is read. A small face is not sharp either, so the lower of size
            and sharpness counts, not both.
    """
    # In three dimensions, so that a turned face does not also count as small.
    distance = math.dist(landmarks[LEFT_IRIS].tolist(), landmarks[RIGHT_IRIS].tolist())
    return min(1.0, distance / FULL_QUALITY_DISTANCE, sharp) * max(0.0, frontality)
