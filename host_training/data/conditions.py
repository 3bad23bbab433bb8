"""What makes a face hard to read: pose, size, light. Its measures, and the borders between easy and hard.

The borders are fixed, so that `frontal` or `small` means the same in every evaluation and in every collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.classifier.features import canonical
from edge.classifier.network import FULL_QUALITY_DISTANCE, LEFT_IRIS, RIGHT_IRIS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features

POSES = (15.0, 30.0, 45.0)
"""Degrees between the line of sight and the face. 15 is the step between the cameras of Multi-PIE (Gross et al. 2010),
the usual measure of pose; `edge.classifier.network.quality` takes off 3, 13 and 29 % there."""
SIZES = tuple(FULL_QUALITY_DISTANCE * factor for factor in (0.5, 0.75, 1, 2, 4))
"""px between the irises, as multiples of the distance at which the daemon gives full quality."""
BRIGHTNESSES = (0.2, 0.4, 0.6, 0.8)
"""Fifths of the scale of brightness, 0..1."""
SHARPNESSES = (0.001, 0.003, 0.01)
"""Half decades of the variance of the Laplacian, see `light`. A sharp photograph has 0.01 or more; a Gaussian
blur of one of the 64 pixels takes it down by about one decade, so the lowest slice holds what is blurred by more."""
SHARPNESS_SIDE = 64
"""Longer side of a face, in px, when its sharpness is measured: the size of the face in the picture does not matter."""


def frontality_of(features: Features, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Frontality of faces, float64[N], from landmarks, float32[N, 478, 3] px; see `features.Pose`."""
    _, pose = canonical(landmarks, features.rigid, features.reference, np.array([], np.intp))
    return pose.frontality


def eye_distance(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance between the irises in px, float64[N], from landmarks, float32[N, 478, 3] px.

    It is measured in three dimensions, as the daemon does, so that a turned face does not count as a small one.
    """
    between = landmarks[:, LEFT_IRIS].astype(np.float64) - landmarks[:, RIGHT_IRIS]
    distance: NDArray[np.float64] = np.linalg.norm(between, axis=1)
    return distance


def light(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """Brightness and sharpness of a face, as in `keypoints.Table`; NaN if it lies outside of the picture.

    Args:
        rgb: uint8[H, W, 3].
        landmarks: float32[478, 3] px.
    """
    left, top = np.floor(landmarks[:, :2].min(axis=0)).clip(0).astype(int)
    right, bottom = np.ceil(landmarks[:, :2].max(axis=0)).clip(0).astype(int)
    part = rgb[top:bottom, left:right]
    if not part.size:
        return np.float32(np.nan), np.float32(np.nan)
    luminance = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    height, width = luminance.shape
    scale = SHARPNESS_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = cv2.resize(luminance, size, interpolation=cv2.INTER_AREA)
    return np.float32(luminance.mean()), np.float32(cv2.Laplacian(scaled, cv2.CV_32F).var())
