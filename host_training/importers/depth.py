"""Depth of landmarks that were stored without it: z from x and y by linear regression.

The face mesh has only one picture to go by: its z is what it has learned about faces, a smooth function of x and y.
A ridge regression (Hoerl and Kennard 1970) on the published table explains more than 99 % of the variance of z within
a face; `tests/host_training/importers/test_depth.py` holds it to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import edge
from edge.errors import ConfigError
from host_training.data import keypoints, parquet
from host_training.data.keypoints import TRAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

PUBLISHED = Path(edge.__file__).parent.parent / "model" / "keypoints" / "ferplus.parquet"
"""Table that comes with a checkout of the project."""
FACES = 4000
"""Maximum number of faces to learn from: eight times as many as a face has points."""
RIDGE = 1e-3
"""Penalty, as a share of the mean variance of a coordinate. Less is slightly better for exact coordinates and much
worse for whole pixels, which many old tables have."""
ROUNDS = 5
"""Rounds of alignment and averaging; two or three would do."""
CHUNK = 4096
"""Faces computed at a time, to bound the memory."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Regression from x and y to z."""

    reference: NDArray[np.complex128]
    """complex128[478]: x + iy of the mean face, about its centroid, of length 1."""
    mean: NDArray[np.float64]
    """float64[956]: mean x, then mean y, of the aligned training faces."""
    mean_depth: NDArray[np.float64]
    """float64[478]: mean z of the aligned training faces."""
    weights: NDArray[np.float64]
    """float64[956, 478]: from x and y to z, both less their means."""

    @classmethod
    def fit(cls, landmarks: NDArray[np.float32]) -> Depth:
        """Fit the regression to faces with depth, float32[N, 478, 3]."""
        faces = _centred(landmarks)
        reference = faces[0] / np.linalg.norm(faces[0])
        for _ in range(ROUNDS):
            mean = (faces * _similarity(faces, reference)[:, None]).mean(axis=0)
            reference = mean / np.linalg.norm(mean)
        similarity = _similarity(faces, reference)
        inputs = _coordinates(faces * similarity[:, None])
        depths = landmarks[:, :, 2].astype(np.float64)
        depths = (depths - depths.mean(axis=1, keepdims=True)) * np.abs(similarity)[:, None]
        centre, middle = inputs.mean(axis=0), depths.mean(axis=0)
        inputs -= centre
        covariance = inputs.T @ inputs
        covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance)
        weights = np.linalg.solve(covariance, inputs.T @ (depths - middle))
        return cls(reference, centre, middle, weights)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Depths, float32[N, 478], of faces, float32[N, 478, 2], in the same unit; each face's mean is 0."""
        depths = np.empty(points.shape[:2], np.float32)
        for start in range(0, len(points), CHUNK):
            faces = _centred(points[start : start + CHUNK])
            similarity = _similarity(faces, self.reference)
            aligned = _coordinates(faces * similarity[:, None])
            depth = (aligned - self.mean) @ self.weights + self.mean_depth
            depths[start : start + CHUNK] = depth / np.abs(similarity)[:, None]
        return depths


def learned(path: Path) -> Depth:
    """Learn depth from the training faces of a keypoint table.

    Raises:
        ConfigError: there is no such table, or it has no training face.
        TableError: it is damaged.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path}: the table that depth is learned from is missing; take it from a checkout of emotion-edge"
        )
    table = parquet.read(path)
    rows = np.flatnonzero(table.found & (table.split == TRAIN) & (table.mesh == keypoints.MESH))
    if not len(rows):
        raise ConfigError(f"{path}: has no training face to learn depth from")
    # Spread evenly over the table, whose rows may be sorted.
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), FACES)).astype(np.intp)]
    return Depth.fit(table.landmarks[sample])


def _centred(landmarks: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Faces as x + iy, complex128[N, 478], relative to their centroids; a product then rotates and scales them."""
    plane = landmarks[:, :, :2].astype(np.float64)
    faces = plane[:, :, 0] + 1j * plane[:, :, 1]
    return np.asarray(faces - faces.mean(axis=1, keepdims=True))


def _similarity(faces: NDArray[np.complex128], reference: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """complex128[N]: factors that align the faces with the reference, by least squares."""
    return np.asarray((faces.conj() @ reference) / np.square(np.abs(faces)).sum(axis=1))


def _coordinates(faces: NDArray[np.complex128]) -> NDArray[np.float64]:
    """float64[N, 956]: x, then y."""
    return np.concatenate([faces.real, faces.imag], axis=1)
