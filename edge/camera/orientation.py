"""Rotates and mirrors the pictures of a camera that is mounted sideways, upside down or behind a mirror."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera import optics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.settings import CameraSettings
    from edge.values import Frame

QUARTER_TURNS = (90, 270)
"""Rotations after which the picture is as wide as it was high."""

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}
"""OpenCV's flip codes: around the vertical axis, the horizontal axis, both."""


def oriented(picture: NDArray[np.uint8], settings: CameraSettings) -> NDArray[np.uint8]:
    """A picture rotated clockwise by `settings.rotation`, then mirrored by `settings.flip`.

    Args:
        picture: uint8[H, W, 3].
        settings: how the camera is mounted.

    Returns:
        uint8[H, W, 3], or uint8[W, H, 3] after a quarter turn; the same array if nothing changes.
    """
    if settings.rotation:
        picture = np.asarray(cv2.rotate(picture, _ROTATIONS[settings.rotation]), np.uint8)
    if settings.flip != "none":
        picture = np.asarray(cv2.flip(picture, _FLIPS[settings.flip]), np.uint8)
    return picture


def upright(frame: Frame, settings: CameraSettings) -> Frame:
    """A frame with its picture `oriented`, and the field of view of its new width; the same one if nothing changes."""
    rgb = oriented(frame.rgb, settings)
    if rgb is frame.rgb:
        return frame
    width, height = frame.size
    view = frame.field_of_view
    if view is not None and settings.rotation in QUARTER_TURNS:
        view = optics.part(view, height / width)
    return replace(frame, rgb=rgb, field_of_view=view)
