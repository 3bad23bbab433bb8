"""Faces -> readings: features, the quantised network of the bundle, calibrated probabilities."""

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
"""Centres of the irises, as the viewer sees them."""

FULL_QUALITY_DISTANCE = 24.0
"""px between the irises from which on a face is not too small: that of a 48x48 FER2013 face, which the
classifier was trained on."""

VECTOR_AXES = 2
"""An input with so many axes, [1, F], takes vectors; one with four, [1, S, S, 1], takes crops."""


def network(path: Path, features: Features, labels: int) -> Model:
    """Load a classifier's network.

    Args:
        path: the TFLite file.
        features: what it reads: a vector of length F, a crop of side S, or both.
        labels: how many logits C it gives.

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
        model: from `network`; a quantised one is fed and read through its own scales and zero points.
        vectors: float32[N, F], where it reads them.
        crops: uint8[N, S, S], where it reads them.

    Returns:
        float32[N, C].

    Raises:
        ValueError: what it reads is missing, or there are not as many crops as vectors.
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
    """Face by face, what an input takes in for vectors, float32[N, F], or crops, uint8[N, S, S]."""
    if values is None:
        raise ValueError(f"the network reads {to.shape}, and nothing is given for it")
    if len(to.shape) == VECTOR_AXES:
        return _quantised(values, to.dtype, to.quantisation)
    levels = _levels(to.dtype, to.quantisation)
    return (cv2.LUT(crop, levels)[:, :, None] for crop in values)


def _quantised(values: NDArray[np.float32], dtype: np.dtype[Any], quantisation: tuple[float, int]) -> NDArray[Any]:
    """The values as an input wants them: int8 through its scale and zero point, or as they are."""
    if dtype != np.int8 or not values.size:
        return values
    scale, zero = quantisation
    steps = values * np.float32(1 / scale)
    steps += zero
    np.rint(steps, out=steps)
    # Not np.clip: it takes as long as all the rest.
    cut_off: NDArray[np.int8] = np.minimum(np.maximum(steps, -128), 127).astype(np.int8)
    return cut_off


@functools.cache
def _levels(dtype: np.dtype[Any], quantisation: tuple[float, int]) -> NDArray[Any]:
    """float32[256] or int8[256]: what each value of a crop is to an input of that kind."""
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
    """The bundle's network with everything that goes before and after it."""

    def __init__(
        self, model: Model, features: Features, temperature: float, baseline: NDArray[np.float32] | None = None
    ) -> None:
        """Put the parts together; `edge.bundle.bundle` loads and checks them.

        Args:
            model: from `network`.
            features: what it reads.
            temperature: of its logits.
            baseline: float32[F], subtracted from each vector, see `edge.classifier.baseline`; None: nothing is.
        """
        self._model = model
        self._features = features
        self._temperature = temperature
        self._baseline = baseline

    def with_baseline(self, baseline: NDArray[np.float32] | None) -> Classifier:
        """The same, but for what is taken off each vector, float32[F], or of each of N, float32[N, F]."""
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
            picture: uint8[H, W, 3], where it found them; not looked at where landmarks alone are read.
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
            Reading(face.track_id, row, quality(face.landmarks, *seen), bounding_box(face.landmarks))
            for face, row, seen in zip(faces, probabilities, zip(frontality, sharp, strict=True), strict=True)
        ]

    def _said(self, vectors: NDArray[np.float32], crops: NDArray[np.uint8] | None) -> NDArray[np.float32]:
        """Probabilities, float32[N, C]."""
        if self._baseline is not None:
            vectors = vectors - self._baseline
        return softmax(logits(self._model, vectors, crops), self._temperature)


def quality(landmarks: NDArray[np.float32], frontality: float, sharp: float = 1.0) -> float:
    """How much a face allows to be said, 0..1: how fine its picture is times how squarely it faces the camera.

    Args:
        landmarks: float32[478, 3] px.
        frontality: see `features.Pose`; at 45 degrees 0.7 is left, at 75 degrees 0.26.
        sharp: from `crop.sharpness`, where the picture is looked at. A face that is small is not sharp either, so
            the worse of size and sharpness counts, and not both.
    """
    # In three dimensions, so that a turned face does not count as a small one too.
    distance = math.dist(landmarks[LEFT_IRIS].tolist(), landmarks[RIGHT_IRIS].tolist())
    return min(1.0, distance / FULL_QUALITY_DISTANCE, sharp) * max(0.0, frontality)
