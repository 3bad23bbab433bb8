"""Draws the demo's person in front of a backdrop, for a pose and an expression.

A photograph without its background is rotated with a depth map (an ellipsoid with a nose), then moved, tilted and
scaled into the frame. `assets/CREDITS.md` names the source of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.demo.face import SCALE, Expression, MovingFace
from edge.camera.opencv import sampled
from edge.errors import UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Array = NDArray[np.float32]

ASSETS = Path(__file__).with_name("assets")

_FACE = (209.0, 120.0)
"""Centre of the face in portrait pixels: the pivot of poses."""
_HEAD_RADIUS = (72.0, 92.0, 62.0)
"""Half width, half height and half depth of the head, in portrait pixels."""
_NOSE = (209.0, 127.0, 9.0, 15.0, 16.0)
"""Position of the nose, its extent in x and y, and its height, in portrait pixels."""
_CHIN, _COLLAR = 172.0, 200.0
"""Rows of the portrait between which the rotation of the head fades out."""

_CELL = 8
"""Grid step of the map from frame to portrait, in pixels; it is smooth."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Position and rotation of the head."""

    x: float = 0.5
    """Centre of the face, as a share of the frame's width."""
    y: float = 0.45
    """Centre of the face, as a share of the frame's height."""
    size: float = 1.5
    """Scale: pixels per portrait pixel in a frame 480 pixels high."""
    roll: float = 0.0
    """Tilt in rad, clockwise."""
    yaw: float = 0.0
    """Rotation to the right of the picture, rad."""
    pitch: float = 0.0
    """Nod, rad."""


class Portrait:
    """Draws frames of one size."""

    def __init__(self, width: int, height: int) -> None:
        """Load the pictures and prepare the maps.

        Args:
            width: px of the frames.
            height: px of the frames.

        Raises:
            UnavailableError: a picture is missing from the installation.
        """
        photograph = _load("demo-portrait.jpg", cv2.IMREAD_COLOR)
        matte = _load("demo-matte.png", cv2.IMREAD_GRAYSCALE)
        backdrop = _load("demo-backdrop.png", cv2.IMREAD_COLOR)
        self._size = (width, height)
        self._backdrop = _backdrop(backdrop, width, height)
        self._portrait = _premultiplied(photograph, matte)
        self._canvas = self._portrait.copy()
        self._face = MovingFace(self._portrait)
        self._drawn: Expression | None = None
        rows, columns = matte.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._depth = _depth(x, y)
        across, down = -(-width // _CELL) + 2, -(-height // _CELL) + 2
        # Frame coordinates of the coarse grid, one cell beyond the frame on each side.
        self._cells = np.stack(
            np.meshgrid((np.arange(across) - 0.5) * _CELL - 0.5, (np.arange(down) - 0.5) * _CELL - 0.5),
            axis=-1,
        ).astype(np.float32)

    def draw(self, pose: Pose, expression: Expression) -> Image:
        """Draw one frame.

        Returns:
            uint8[height, width, 3], RGB.
        """
        if expression != self._drawn:
            self._face.draw(expression, self._canvas)
            self._drawn = expression
        person = sampled(self._canvas, self._map(pose), border=cv2.BORDER_CONSTANT)
        uncovered = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(person, 3)), cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(self._backdrop, uncovered, scale=1 / 255)
        return np.asarray(cv2.add(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), behind), np.uint8)

    def _map(self, pose: Pose) -> Array:
        """The texture coordinates of each pixel of the frame, float32[height, width, 2]."""
        width, height = self._size
        size = pose.size * height / 480
        offset = (self._cells - np.array([pose.x * width, pose.y * height], np.float32)) / np.float32(size)
        cos, sin = np.float32(np.cos(pose.roll)), np.float32(np.sin(pose.roll))
        turned = offset @ np.array([[cos, -sin], [sin, cos]], np.float32)
        # The shoulders stay upright: the tilt fades out below the chin.
        upright = np.clip((offset[..., 1:] - 45) / 60, 0, 1)
        at = (turned + (offset - turned) * upright + np.array(_FACE)).astype(np.float32)
        depth = sampled(self._depth, np.ascontiguousarray(at), border=cv2.BORDER_REPLICATE)
        at[..., 0] -= np.float32(np.sin(pose.yaw)) * depth
        at[..., 1] += np.float32(np.sin(pose.pitch)) * depth
        texture = (at + 0.5) * SCALE - 0.5
        to_cells = np.array([[1 / _CELL, 0, (0.5 / _CELL) + 0.5], [0, 1 / _CELL, (0.5 / _CELL) + 0.5]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(texture, to_cells, self._size, flags=flags), np.float32)


def _depth(x: Array, y: Array) -> Array:
    """Depth map: height of each point above the head's outline, float32[H, W], px."""
    dx, dy = (x - _FACE[0]) / _HEAD_RADIUS[0], (y - _FACE[1]) / _HEAD_RADIUS[1]
    inside = np.clip(1 - dx**2 - dy**2, 0, None)
    # (1 - r^2) instead of its root, so that the outline doesn't move and its slope is finite.
    head = _HEAD_RADIUS[2] * inside
    nx, ny, wide, tall, out = _NOSE
    nose = out * np.exp(-(((x - nx) / wide) ** 2) - ((y - ny) / tall) ** 2)
    neck = np.clip((_COLLAR - y) / (_COLLAR - _CHIN), 0, 1)
    return np.asarray(cv2.GaussianBlur((head + nose) * neck, (0, 0), 3), np.float32)


def _premultiplied(photograph: Image, matte: Image) -> Image:
    """The texture: the enlarged photograph, premultiplied with its matte, which is the alpha."""
    size = (matte.shape[1] * SCALE, matte.shape[0] * SCALE)
    rgb = cv2.resize(photograph, size, interpolation=cv2.INTER_LANCZOS4)
    alpha = cv2.resize(matte, size, interpolation=cv2.INTER_LINEAR)
    covered = cv2.multiply(rgb, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return np.dstack([covered, alpha])


def _backdrop(small: Image, width: int, height: int) -> Image:
    """The blurred wall, with some grain against banding."""
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = np.random.default_rng(1).normal(0, 1.5, (height, width, 1))
    return np.asarray(np.clip(smooth + grain, 0, 255), np.uint8)


def _load(name: str, flags: int) -> Image:
    # Not cv2.imread: it writes warnings to stderr, and fails for paths that the locale cannot encode.
    path = ASSETS / name
    try:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise UnavailableError(f"the demo's picture {name} is missing: install emotion-edge again")
    if picture.ndim == 3:  # noqa: PLR2004 - a picture with channels
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return np.asarray(picture, np.uint8)
