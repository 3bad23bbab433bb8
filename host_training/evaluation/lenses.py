"""Lenses of the Raspberry Pi's cameras: how far away a face is that has so many px."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.camera import optics

FACE_HEIGHT_M = 0.16
"""Height of a face from the hairline to the chin, that of the box of its landmarks, in m. In the landmarks of FER+ it
is 0.156 m in the median, measured by the iris, whose 11.7 mm hardly differ between people (Rüfer et al. 2005). The
canonical face of MediaPipe's mesh has 0.177 m, so a large head is a tenth farther away than these figures say."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera with its lens, as the maker's data sheet describes it."""

    name: str
    degrees: float
    """Horizontal field of view of the whole sensor."""
    aspect: float
    """Width of the sensor by its height."""

    def metres(self, height: float, picture: tuple[int, int]) -> float:
        """Distance in m of a face near the middle of the picture.

        A picture that is narrower than the sensor is cut out of its middle, and sees less to the left and right. A mode
        of the sensor that leaves out more sees even less, and the face is farther away.

        Args:
            height: of the box of its landmarks, px.
            picture: width and height, px.
        """
        width, whole = picture[0], math.tan(math.radians(self.degrees / 2))
        half = whole * min(1.0, picture[0] / picture[1] / self.aspect)
        return width / 2 / half * FACE_HEIGHT_M / height


LENSES = (
    Lens("Camera Module 2", optics.LENSES["imx219"], 4 / 3),
    Lens("Camera Module 3", optics.LENSES["imx708"], 16 / 9),
    Lens("Camera Module 3 Wide", optics.LENSES["imx708_wide"], 16 / 9),
)
"""Cameras for which distances are told."""
