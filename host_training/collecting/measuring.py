"""Measurement of the one face in a picture, as `emotion-train import` does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.features import Features, canonical
from edge.values import bounding_box
from host_training.collecting.samples import Measured
from host_training.data.conditions import BRIGHTNESSES, POSES, light
from host_training.data.source import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.face_mesh import FaceMesh

NO_FACE = "no face was found"
SEVERAL_FACES = "there are several faces"

MAX_FACES = 2
"""Faces to look for: enough to know that a face is not the only one."""
MARGIN = 0.6
"""Margin around a face, in longer sides of its box: more than a cutout of `data.crops` needs."""

FRONTAL, SIDEWAYS, UP_OR_DOWN = "frontal", "sideways", "up or down"
POSE_NAMES = (FRONTAL, SIDEWAYS, UP_OR_DOWN)
DIM, BRIGHT = "dim", "bright"
LIGHT_NAMES = (DIM, BRIGHT)

_FRONTAL_DEGREES = POSES[0]
_BRIGHT_FROM = BRIGHTNESSES[1]


def measure(mesh: FaceMesh, rgb: NDArray[np.uint8]) -> Measured | str:
    """Measure a still picture, uint8[H, W, 3], with exactly one face; otherwise return the reason for refusing it.

    Only the part around the face is kept, so that nothing tells where in the picture, or beside whom, the face was.
    """
    faces = mesh.still(rgb)
    if len(faces) != 1:
        return SEVERAL_FACES if faces else NO_FACE
    face = faces[0]
    brightness, sharpness = light(rgb, face.landmarks)
    if not math.isfinite(brightness):
        return NO_FACE  # it is outside of the picture
    x, y, width, height = bounding_box(face.landmarks)
    margin = MARGIN * max(width, height)
    left, top = max(0, math.floor(x - margin)), max(0, math.floor(y - margin))
    right, bottom = math.ceil(x + width + margin), math.ceil(y + height + margin)
    picture = np.ascontiguousarray(rgb[top:bottom, left:right])
    return Measured(
        picture=picture,
        landmarks=face.landmarks - np.array([left, top, 0], np.float32),
        presence=face.presence,
        brightness=float(brightness),
        sharpness=float(sharpness),
        group=int(fingerprint(picture)),
    )


class Conditions:
    """Classifies faces by the conditions under which they were seen."""

    def __init__(self, features: Path) -> None:
        """Load the reference shape.

        Args:
            features: the feature contract of a bundle.

        Raises:
            ConfigError: it is missing or damaged.
        """
        contract = Features.load(features)
        self._rigid, self._reference = contract.rigid, contract.reference

    def poses(self, landmarks: NDArray[np.float32]) -> NDArray[np.intp]:
        """Poses of faces, float32[N, 478, 3] px: int[N], indices into `POSE_NAMES`."""
        _, pose = canonical(landmarks, self._rigid, self._reference, np.array([], np.intp))
        across, down = np.abs(pose.rotation[:, 0, 2]), np.abs(pose.rotation[:, 1, 2])
        turned = np.where(across >= down, POSE_NAMES.index(SIDEWAYS), POSE_NAMES.index(UP_OR_DOWN))
        frontal = pose.frontality >= math.cos(math.radians(_FRONTAL_DEGREES))
        return np.where(frontal, POSE_NAMES.index(FRONTAL), turned).astype(np.intp)

    @staticmethod
    def lights(brightness: NDArray[np.float32]) -> NDArray[np.intp]:
        """Light of faces with a brightness, float32[N] as in `Table`: int[N], indices into `LIGHT_NAMES`."""
        return np.where(brightness >= _BRIGHT_FROM, LIGHT_NAMES.index(BRIGHT), LIGHT_NAMES.index(DIM)).astype(np.intp)
