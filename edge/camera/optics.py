"""What a camera sees: the fields of view of the Raspberry Pi's cameras, and of parts of their pictures. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LENSES = {
    "ov5647": 53.5,
    "imx219": 62.2,
    "imx708": 66.0,
    "imx708_wide": 102.0,
    "imx500": 66.0,
}
"""Horizontal field of view, degrees, of the whole sensor of Camera Module 1, 2, 3, 3 Wide and the AI Camera, by
libcamera's name of the sensor ("Hardware Specification" in Raspberry Pi's documentation of its cameras). The HQ Camera
(imx477) and the Global Shutter Camera (imx296) have exchangeable lenses."""

FULL_VIEW = 0.98
"""Share of the widest view from which a sensor mode counts as showing all of it."""


def lens(model: str) -> float | None:
    """Horizontal field of view, degrees, of a sensor by its name in libcamera; None: unknown."""
    return LENSES.get(model.removesuffix("_noir"))


def part(field_of_view: float, ratio: float) -> float:
    """Field of view, degrees, of a length that is `ratio` times the one of which `field_of_view` is known."""
    return math.degrees(2 * math.atan(math.tan(math.radians(field_of_view) / 2) * ratio))


def full_view(modes: Sequence[Mapping[str, Any]], size: tuple[int, int], fps: float) -> Mapping[str, Any] | None:
    """The sensor mode for pictures that show all that the sensor sees.

    Without a choice, libcamera takes the mode that is closest in size: for 640x480 of Camera Module 2 one that shows
    the middle of the sensor only.

    Args:
        modes: as `Picamera2.sensor_modes` lists them.
        size: width and height of the pictures, px.
        fps: frames per second that the mode should reach.

    Returns:
        The mode that shows everything, then is fast enough, then has enough pixels, and no more than needed; None: the
        camera is not a raw sensor and has no such modes.
    """
    raw = [mode for mode in modes if "crop_limits" in mode]
    widest = max((_area(mode["crop_limits"][2:]) for mode in raw), default=0)

    def rank(mode: Mapping[str, Any]) -> tuple[float, ...]:
        enough = mode["size"][0] >= size[0] and mode["size"][1] >= size[1]
        return min(mode["fps"], fps), enough, -_area(mode["size"]), mode["bit_depth"]

    return max((mode for mode in raw if _area(mode["crop_limits"][2:]) >= FULL_VIEW * widest), key=rank, default=None)


def _area(size: Sequence[int]) -> int:
    return size[0] * size[1]
