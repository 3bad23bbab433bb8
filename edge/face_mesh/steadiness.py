"""A face's landmarks stay where they are when the model is shown a little more or less of it; others' don't.

The landmark model draws a face into whatever it is shown, and now and then is sure of it: a cat's eye, a spoon in a
cup. Then the face that it draws depends on the region.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.face_mesh.tracking import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh.landmarker import Landmarker

SMALLER, LARGER, TURNED, MOVED = 0.8, 1.25, math.radians(20), 0.1
"""Other regions: smaller and larger, as multiples; rotated, rad; moved to the side, as a share of the size."""

MAX_DRIFT = 0.05
"""Drift up to which landmarks are those of a face: between what faces reach and what anything else has at least
(`python -m tests.benchmarks.steadiness`)."""


def drift(landmarker: Landmarker, rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> float:
    """How far landmarks move from region to region. Costs four looks.

    Args:
        landmarker: measured them.
        rgb: the picture, uint8[H, W, 3].
        landmarks: float32[478, 3] px, of what may be a face.

    Returns:
        The mean distance, as a share of the face's height.
    """
    region = Region.of_landmarks(landmarks)
    others = (
        replace(region, size=SMALLER * region.size),
        replace(region, size=LARGER * region.size),
        replace(region, angle=region.angle + TURNED),
        replace(region, x=region.x + MOVED * region.size),
    )
    distances = [np.linalg.norm(landmarker(rgb, other)[0][:, :2] - landmarks[:, :2], axis=1) for other in others]
    return float(np.mean(distances) / np.ptp(landmarks[:, 1]))


def is_steady(landmarker: Landmarker, rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> bool:
    """Whether landmarks are those of a face, see `drift`."""
    return drift(landmarker, rgb, landmarks) < MAX_DRIFT
