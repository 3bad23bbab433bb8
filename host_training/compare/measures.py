"""Named measures of a face: the geometry behind blendshapes and action units.

Each is a distance, height, depth, angle or ratio of a few landmarks of a face in its canonical pose (see
`features.canonical`), in units of the inter-ocular distance, so position, size and rotation of the face don't change
it. Action units are those of the Facial Action Coding System (Ekman, Friesen & Hager 2002). Left and right are the
person's own, as there; a pair lists the landmarks on the viewer's left, and `MIRROR` gives the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.landmark_sets import MIRROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EYE_CORNERS = (33, 263)
"""Landmarks of the outer corners; their distance is the inter-ocular distance (Sagonas et al. 2013)."""

Point = tuple[int, ...]
"""One landmark, or the mean of several."""


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a - b, axis=1))


def _height(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of a above b; y grows downwards."""
    return b[:, 1] - a[:, 1]


def _depth(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth of a in front of b; z grows away from the viewer."""
    return b[:, 2] - a[:, 2]


def _sideways(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of a to the person's left of b."""
    return a[:, 0] - b[:, 0]


def _slope(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in radians by which the line from a to b rises, towards either side."""
    return np.arctan2(a[:, 1] - b[:, 1], np.abs(b[:, 0] - a[:, 0]))


def _angle(a: NDArray[np.float64], vertex: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in radians between the lines from the vertex to a and b."""
    one, other = a - vertex, b - vertex
    return np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), (one * other).sum(axis=1))


def _ratio(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of a and b, divided by that of c and d."""
    return _distance(a, b) / np.maximum(_distance(c, d), np.finfo(np.float32).tiny)


KINDS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "distance": _distance,
    "height": _height,
    "depth": _depth,
    "sideways": _sideways,
    "slope": _slope,
    "angle": _angle,
    "ratio": _ratio,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One number about a face."""

    name: str
    action_units: str
    """Action units that change it most, as in `AU12, AU15`."""
    kind: str
    """One of `KINDS`."""
    points: tuple[Point, ...]
    """Arguments of its kind."""

    def of(self, faces: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[N], of faces, float64[N, 478, 3], in canonical pose, in inter-ocular distances."""
        return KINDS[self.kind](*(faces[:, list(point)].mean(axis=1) for point in self.points))


def _pair(name: str, action_units: str, kind: str, *points: Point) -> tuple[Measure, Measure]:
    """The measure on the person's right side, and on the left one."""
    other = tuple(tuple(int(MIRROR[each]) for each in point) for point in points)
    return Measure(f"{name}_right", action_units, kind, points), Measure(f"{name}_left", action_units, kind, other)


MOUTH, EYE = (13, 14), (33, 133)
"""Centres of the mouth, between the lips, and of the right eye, between its corners."""

MEASURES: tuple[Measure, ...] = (
    # Brows
    *_pair("brow_inner_height", "AU1, AU4", "height", (55, 107), (133,)),
    *_pair("brow_middle_height", "AU1, AU2, AU4", "height", (52, 105), EYE),
    *_pair("brow_outer_height", "AU2", "height", (46, 70), (33,)),
    *_pair("brow_slope", "AU1, AU4", "slope", (46, 70), (55, 107)),
    *_pair("brow_arch", "AU2", "angle", (70,), (105,), (107,)),
    Measure("brows_gap", "AU4", "distance", ((55, 107), (285, 336))),
    # Eyes
    *_pair("eye_opening", "AU5, AU7, AU43", "ratio", (160, 159, 158), (144, 145, 153), (33,), (133,)),
    *_pair("upper_lid_height", "AU5, AU43", "height", (159,), EYE),
    *_pair("lower_lid_height", "AU6, AU7", "height", (145,), EYE),
    *_pair("brow_to_lid", "AU1, AU2, AU4, AU5", "distance", (52,), (159,)),
    *_pair("cheek_to_lid", "AU6", "distance", (50, 101), (145,)),
    # Nose
    *_pair("nose_wing_height", "AU9, AU10", "height", (129,), (133,)),
    Measure("nose_width", "AU9, AU38, AU39", "distance", ((129,), (358,))),
    Measure("nose_length", "AU9", "distance", ((168,), (2,))),
    Measure("nose_to_lip", "AU9, AU10", "distance", ((2,), (0,))),
    # Corners of the mouth
    *_pair("lip_corner_height", "AU12, AU15", "height", (61,), MOUTH),
    *_pair("lip_corner_to_eye", "AU12, AU15", "distance", (61,), (33,)),
    *_pair("lip_corner_depth", "AU12, AU14, AU20", "depth", (61,), MOUTH),
    *_pair("lip_corner_angle", "AU12, AU23, AU27", "angle", (37,), (61,), (84,)),
    # Lips
    *_pair("upper_lip_to_nose", "AU10", "distance", (39, 40), (129,)),
    *_pair("lower_lip_to_chin", "AU16, AU17", "distance", (91, 181), (152,)),
    Measure("mouth_width", "AU12, AU18, AU20", "distance", ((61,), (291,))),
    Measure("mouth_opening", "AU25, AU26, AU27", "distance", ((13,), (14,))),
    Measure("mouth_roundness", "AU18, AU22, AU27", "ratio", ((0,), (17,), (61,), (291,))),
    Measure("upper_lip_thickness", "AU10, AU23, AU24, AU28", "distance", ((0,), (13,))),
    Measure("lower_lip_thickness", "AU16, AU23, AU24, AU28", "distance", ((14,), (17,))),
    Measure("upper_lip_depth", "AU18, AU22, AU28", "depth", ((0,), (2,))),
    Measure("lower_lip_depth", "AU18, AU22, AU28", "depth", ((17,), (2,))),
    # Jaw
    Measure("jaw_drop", "AU26, AU27", "distance", ((2,), (152,))),
    Measure("chin_to_lip", "AU17", "distance", ((17,), (152,))),
    Measure("jaw_depth", "AU29", "depth", ((152,), (2,))),
    Measure("jaw_sideways", "AU30", "sideways", ((152,), (2,))),
    Measure("mouth_sideways", "AU12 or AU14 of one side", "sideways", (MOUTH, (2,))),
)


def measured(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[N, K], a column for each of `MEASURES`, of faces, float32[N, 478, 3], in canonical pose."""
    wide = faces.astype(np.float64)
    one, other = EYE_CORNERS
    wide /= np.linalg.norm(wide[:, one] - wide[:, other], axis=1)[:, None, None]
    return np.stack([measure.of(wide) for measure in MEASURES], axis=1).astype(np.float32)
