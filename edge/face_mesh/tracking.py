"""Where a face is: the rotated square that the landmark model looks at, and its overlap with others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.values import bounding_box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263
"""Outer eye corners as the viewer sees them; their line is the face's horizontal (face_landmarks_detector_graph.cc)."""

MARGIN = 1.5
"""The region is so many times the box of the face (both graphs, RectTransformation scale)."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square, turned about its centre."""

    x: float
    """Centre, px."""
    y: float
    """Centre, px."""
    size: float
    """Length of a side, px."""
    angle: float
    """rad, clockwise as the viewer sees it."""

    @classmethod
    def of_landmarks(cls, points: NDArray[np.float32]) -> Region:
        """The region in which to look for this face in the next frame. points: float32[478, 3] px."""
        left, top, width, height = bounding_box(points)
        dx, dy = (points[RIGHT_EYE_CORNER, :2] - points[LEFT_EYE_CORNER, :2]).tolist()
        return cls(
            x=left + width / 2,
            y=top + height / 2,
            size=MARGIN * max(width, height),
            angle=math.atan2(dy, dx),
        )

    def overlap(self, other: Region) -> float:
        """Intersection over union of the two squares, their rotation left aside; 0..1."""
        half, other_half = self.size / 2, other.size / 2
        width = min(self.x + half, other.x + other_half) - max(self.x - half, other.x - other_half)
        height = min(self.y + half, other.y + other_half) - max(self.y - half, other.y - other_half)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / (self.size**2 + other.size**2 - both)


class TrackIds:
    """Gives a face its old number back when it is found again shortly after, and near where it was lost."""

    MEMORY_S = 1.0
    """Long enough for a blink of the detector or a hand before the face, short enough not to join strangers."""
    MIN_OVERLAP = 0.25

    def __init__(self) -> None:
        self._next = 1
        self._known: dict[int, tuple[Region, float]] = {}

    def claim(self, region: Region, now: float, taken: set[int]) -> int:
        """The number for a face found at `region` at time `now` (s); never one of `taken`."""
        self._known = {i: seen for i, seen in self._known.items() if now - seen[1] <= self.MEMORY_S}
        near = [(seen.overlap(region), number) for number, (seen, _) in self._known.items() if number not in taken]
        best = max(near, default=(0.0, 0))
        if best[0] >= self.MIN_OVERLAP:
            return best[1]
        self._next += 1
        return self._next - 1

    def seen(self, number: int, region: Region, now: float) -> None:
        """Remember where face `number` was at time `now` (s)."""
        self._known[number] = (region, now)
