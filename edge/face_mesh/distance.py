"""Where a face is: its centre in the picture, and its distance from the camera. Pure.

The distance follows from the angle between the pupils, whose distance varies little among adults. The size of the
iris varies less, but the face mesh draws it in proportion to the eye instead of measuring it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.face_mesh.tracking import LEFT_EYE_CORNER, RIGHT_EYE_CORNER
from edge.values import Place, bounding_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge.values import Face

PUPILS_M = 0.0634
"""Distance between the pupils, m: mean of 3,976 adults, standard deviation 0.0038 (Dodgson 2004, "Variation and extrema
of human interpupillary distance")."""

PUPILS = 468, 473
"""Centres of the irises."""

EYE_CORNERS = LEFT_EYE_CORNER, RIGHT_EYE_CORNER
"""Outer corners of the eyes. Their depth says how far the face is turned; that of the irises is less reliable."""

COSINE_MIN = 0.4
"""Cosine of the largest turn of a face, 66 degrees, at which the distance is measured: the far eye disappears."""

SMOOTHING_S = 0.25
"""Time constant of the exponential smoothing of a distance, s."""

FORGET_S = 2.0
"""Time without the face after which its distance is measured anew, s."""


def place_of(landmarks: NDArray[np.float32], size: tuple[int, int], field_of_view: float | None) -> Place | None:
    """The place of a face.

    Args:
        landmarks: float32[478, 3] px.
        size: width and height of the picture, px.
        field_of_view: of the picture's width, degrees; None: unknown, and so is the distance.

    Returns:
        None: the size of the picture is unknown, or a coordinate is not finite.
    """
    left, top, width, height = bounding_box(landmarks)
    x, y = left + width / 2, top + height / 2
    if min(size) <= 0 or not math.isfinite(x + y):
        return None
    return Place(
        x=min(1.0, max(0.0, x / size[0])),
        y=min(1.0, max(0.0, y / size[1])),
        distance_m=None if field_of_view is None else distance_m(landmarks, size, field_of_view),
    )


def distance_m(landmarks: NDArray[np.float32], size: tuple[int, int], field_of_view: float) -> float | None:
    """Distance from the camera to the middle between the pupils, m.

    Args:
        landmarks: float32[478, 3] px.
        size: width and height of the picture, px. Its middle is on the optical axis.
        field_of_view: of the picture's width, degrees.

    Returns:
        None: the face is turned away too far, or a depth is not finite.
    """
    cosine = _cosine(landmarks)
    if not cosine >= COSINE_MIN:  # also where it is NaN
        return None
    # By the angle between the rays, because the edges of a wide picture stretch a face.
    right, left = (_ray(landmarks[pupil].tolist(), size, field_of_view) for pupil in PUPILS)
    apart = math.dist(right, left)
    together = math.hypot(*(a + b for a, b in zip(right, left, strict=True)))
    # The quotient is the tangent of half the angle.
    return PUPILS_M * cosine / 2 * together / apart if apart > 0 else None


def _ray(point: Sequence[float], size: tuple[int, int], field_of_view: float) -> tuple[float, float, float]:
    """Unit vector, to the right, down, ahead, from the camera to a point of the picture: x and y, px."""
    width, height = size
    focal_px = width / 2 / math.tan(math.radians(field_of_view) / 2)
    across, down = point[0] - width / 2, point[1] - height / 2
    length = math.hypot(across, down, focal_px)
    return across / length, down / length, focal_px / length


def _cosine(landmarks: NDArray[np.float32]) -> float:
    """Cosine of the angle by which the line through the eyes is turned out of the picture; 0 if it has no length."""
    a, b = (landmarks[corner].tolist() for corner in EYE_CORNERS)
    length = math.dist(a, b)
    return math.dist(a[:2], b[:2]) / length if length > 0 else 0.0


class Places:
    """The place of each face of a stream, with smoothed distances."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}
        """Smoothed distance, m, and time, s, of its last measurement, by track id."""

    def __call__(
        self, faces: Sequence[Face], size: tuple[int, int], field_of_view: float | None, now: float
    ) -> list[Place | None]:
        """The places of the faces of the next frame, in the same order.

        Args:
            faces: each with a track id of its own.
            size: width and height of the frame, px.
            field_of_view: of the frame's width, degrees; None: unknown.
            now: s, monotonic, when the frame was captured.
        """
        self._known = {track: known for track, known in self._known.items() if now - known[1] <= FORGET_S}
        return [self._smoothed(face, place_of(face.landmarks, size, field_of_view), now) for face in faces]

    def _smoothed(self, face: Face, place: Place | None, now: float) -> Place | None:
        before = self._known.get(face.track_id)
        if place is None:
            return None
        measured = place.distance_m
        if measured is None:
            # A face that turns away keeps its distance for a while.
            return place if before is None else Place(place.x, place.y, before[0])
        if before is not None:
            measured += (before[0] - measured) * math.exp(min(0.0, before[1] - now) / SMOOTHING_S)
        self._known[face.track_id] = measured, now
        return Place(place.x, place.y, measured)
