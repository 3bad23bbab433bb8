"""Animates the face of the demo's portrait.

The portrait smiles. Other expressions are warps of that smile: a few movements, named after the action of muscles, each
a smooth displacement field through control points. The lips are two layers over a dark mouth, so that they can close
over the teeth and open again.

All coordinates are pixels of the portrait file; the work is done at twice that resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.camera.opencv import sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Array = NDArray[np.float32]

SCALE = 2
"""Texture pixels per portrait pixel, because the head is shown larger than in the photograph."""

LEFT, TOP, RIGHT, BOTTOM = 152, 58, 276, 202
"""Part of the portrait that moves with the expression; its edge stays."""

_STEP = 4
"""Grid step of the displacement fields in texture pixels; they are smooth."""


@dataclass(frozen=True, slots=True)
class Expression:
    """Strength of each movement: 0 is the smile of the photograph, 1 the full movement, more exaggerates."""

    relax: float = 0.0
    """The corners of the mouth and the cheeks leave the smile."""
    close: float = 0.0
    """The lips close over the teeth."""
    corners_down: float = 0.0
    jaw_drop: float = 0.0
    brows_up: float = 0.0
    inner_brows_up: float = 0.0
    brows_down: float = 0.0

    def towards(self, other: Expression, share: float) -> Expression:
        """Interpolate between this expression (share 0) and another (share 1)."""
        return Expression(
            **{f.name: (1 - share) * getattr(self, f.name) + share * getattr(other, f.name) for f in fields(self)}
        )


# Control points: the position of a point after the movement, and its displacement (dx, dy).
# They were placed by hand on the portrait's landmarks.
_STILL = [
    *[(x, y) for y in (58, 202) for x in (152, 180, 210, 240, 276)],
    *[(x, y) for x in (152, 276) for y in (90, 120, 150, 180)],
]
_EYES = [(181.5, 100.5), (190, 98), (199.8, 103.8), (190, 104), (222.8, 104.9), (234, 100), (241.5, 103.7)]
_NOSE = [(209, 112), (209.5, 131.7), (197, 129.7), (222.3, 130.9)]

_MOVEMENTS: dict[str, list[tuple[float, float, float, float]]] = {
    "relax": [
        (193.0, 143.5, 3.5, 3.5),
        (226.5, 144.5, -3.5, 3.5),
        (200.0, 144.3, 1.2, 2.8),
        (209.2, 145.8, 0.0, 2.5),
        (218.7, 144.8, -1.2, 2.8),
        (208.5, 157.5, 0.0, 1.0),
        (179.0, 124.0, 1.0, 3.0),
        (240.0, 126.0, -1.0, 3.0),
        (188.0, 134.0, 2.0, 3.0),
        (231.0, 135.0, -2.0, 3.0),
        (207.0, 178.6, 0.0, 0.0),
        *[(x, y, 0.0, 0.0) for x, y in _EYES + _NOSE],
    ],
    "corners_down": [
        (191.5, 149.0, -1.0, 5.5),
        (228.0, 150.0, 1.0, 5.5),
        (200.0, 145.0, 0.0, 1.0),
        (209.2, 143.8, 0.0, -1.5),
        (218.7, 145.5, 0.0, 1.0),
        (208.5, 155.0, 0.0, -1.5),
        (207.0, 176.0, 0.0, -1.0),
        (181.0, 126.0, 0.0, 1.0),
        (240.0, 128.0, 0.0, 1.0),
        *[(x, y, 0.0, 0.0) for x, y in _EYES + _NOSE],
    ],
    "jaw_drop": [
        (195.5, 148.0, 4.5, 4.5),
        (224.0, 149.0, -4.5, 4.5),
        (200.0, 139.5, 0.5, -1.0),
        (209.2, 140.8, 0.0, -1.5),
        (218.7, 139.5, -0.5, -1.0),
        (200.5, 160.0, 1.5, 11.5),
        (208.6, 163.0, 0.0, 13.0),
        (217.5, 160.5, -1.5, 11.5),
        (208.3, 168.5, 0.0, 12.5),
        (207.0, 187.5, 0.0, 9.0),
        (192.0, 179.0, 0.5, 7.0),
        (223.0, 179.0, -0.5, 7.0),
        (179.0, 158.0, 1.5, 2.0),
        (238.0, 160.0, -1.5, 2.0),
        *[(x, y, 0.0, 0.0) for x, y in _EYES + _NOSE],
    ],
    "brows_up": [
        (173.3, 85.5, 0.0, -4.5),
        (183.2, 81.0, 0.0, -5.5),
        (192.0, 82.5, 0.0, -5.5),
        (202.0, 87.0, 0.0, -4.5),
        (222.4, 86.5, 0.0, -4.5),
        (232.5, 84.0, 0.0, -5.5),
        (241.0, 84.5, 0.0, -5.5),
        (250.4, 89.5, 0.0, -4.5),
        (190.0, 96.5, 0.0, -1.3),
        (234.0, 98.6, 0.0, -1.3),
        (181.5, 100.5, 0.0, 0.0),
        (241.5, 103.7, 0.0, 0.0),
        (190.0, 104.8, 0.0, 0.5),
        (233.0, 106.9, 0.0, 0.5),
        *[(x, y, 0.0, 0.0) for x, y in _NOSE],
    ],
    "inner_brows_up": [
        (173.3, 91.5, 0.0, 1.5),
        (183.2, 87.0, 0.0, 0.5),
        (192.5, 86.0, 1.0, -2.5),
        (203.0, 87.0, 1.5, -4.5),
        (220.9, 86.5, -1.5, -4.5),
        (231.5, 87.0, -1.0, -2.5),
        (241.0, 90.5, 0.0, 0.5),
        (250.4, 95.5, 0.0, 1.5),
        *[(x, y, 0.0, 0.0) for x, y in _EYES + _NOSE],
    ],
    "brows_down": [
        (173.3, 90.0, 0.0, 0.0),
        (183.7, 89.0, 0.5, 2.5),
        (194.0, 92.5, 2.0, 4.5),
        (204.0, 96.3, 2.8, 5.0),
        (219.8, 96.0, -2.8, 5.0),
        (230.5, 94.0, -2.0, 4.5),
        (240.3, 92.5, -0.5, 2.5),
        (250.4, 94.0, 0.0, 0.0),
        (190.0, 99.3, 0.0, 1.2),
        (234.0, 101.3, 0.0, 1.2),
        (190.0, 103.3, 0.0, -0.9),
        (233.0, 105.4, 0.0, -0.9),
        (199.8, 103.8, 0.0, 0.0),
        (222.8, 104.9, 0.0, 0.0),
        (181.5, 100.5, 0.0, 0.0),
        (241.5, 103.7, 0.0, 0.0),
        (209.5, 131.7, 0.0, -0.5),
        (197.0, 128.0, 0.0, -1.5),
        (222.3, 129.0, 0.0, -1.5),
    ],
}

# Edges of the lips in the portrait: its face mesh landmarks.
_UPPER_LIP = (
    (190, 192.5, 195.5, 199.2, 203.7, 209.2, 214.9, 219.6, 223.3, 226.4, 229),
    (139.9, 140.5, 141, 141.6, 142.6, 143.3, 143, 142.3, 141.8, 141.5, 141.2),
)
_LOWER_LIP = (
    (190, 193.2, 195.7, 199.2, 203.4, 208.6, 214, 218.7, 222.4, 225.4, 229),
    (139.9, 143.2, 145.4, 147.5, 149, 149.8, 149.5, 148.2, 146.4, 144.3, 141.2),
)
_MOUTH_DARK = (52.0, 22.0, 24.0)
"""Colour inside the mouth: red, green, blue."""


class MovingFace:
    """Draws the moving part of the portrait for an expression."""

    def __init__(self, portrait: Image) -> None:
        """Prepare the fields and layers.

        Args:
            portrait: uint8[H * SCALE, W * SCALE, 4], the whole portrait, alpha last.
        """
        self._place = _texture(LEFT, TOP, RIGHT, BOTTOM)
        self._texture = np.ascontiguousarray(portrait[self._place])
        height, width = self._texture.shape[:2]
        self._grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        x, y = self._grid[::_STEP, ::_STEP].transpose(2, 0, 1) / SCALE + 0.5 / SCALE - 0.5
        self._fields = np.stack([_field(points, x + LEFT, y + TOP) for points in _MOVEMENTS.values()])
        self._mouth = _Mouth(self._texture, self._grid)

    def draw(self, expression: Expression, into: Image) -> None:
        """Draw the expression over the portrait.

        Args:
            expression: to be shown.
            into: uint8[H * SCALE, W * SCALE, 4], changed in place.
        """
        weights = np.array([getattr(expression, name) for name in _MOVEMENTS], np.float32)
        coarse = np.tensordot(weights, self._fields, axes=1)
        where = self._grid - _enlarged(coarse, self._grid.shape[1], self._grid.shape[0])
        face = into[self._place]
        face[:] = _sample(self._texture, where)
        self._mouth.draw(where, expression.close, face)


class _Mouth:
    """The lips: two layers over teeth and dark."""

    def __init__(self, texture: Image, grid: Array) -> None:
        left, top, right, bottom = 182, 128, 238, 178
        self._place = _texture(left - LEFT, top - TOP, right - LEFT, bottom - TOP)
        x, y = grid[self._place].transpose(2, 0, 1) / SCALE + 0.5 / SCALE - 0.5
        x, y = x + LEFT, y + TOP
        upper, lower = np.interp(x[0], *_UPPER_LIP), np.interp(x[0], *_LOWER_LIP)
        # How far the lower lip rises to the upper one; the chin stays.
        self._gap = ((lower - upper) * np.clip((176 - y) / 22, 0, 1) * SCALE).astype(np.float32)
        self._behind = _behind_lips(texture[..., :3], x, y, upper, lower)
        feather = 0.6
        corner = np.clip(1 - (lower - upper), 0, 1)  # outside of the corners there is one layer, without a seam
        self._above = _layer(texture, self._place, np.clip(0.5 + (upper - y) / feather, 0, 1))
        self._below = _layer(texture, self._place, np.clip(0.5 + (y - lower) / feather + corner, 0, 1))

    def draw(self, where: Array, close: float, face: Image) -> None:
        """Draw the lips.

        Args:
            where: float32[H, W, 2], the source pixel in the texture for each pixel of the face.
            close: 0..1, how far the lips close over the teeth.
            face: uint8[H, W, 4], changed in place.
        """
        upper_map = np.ascontiguousarray(where[self._place])
        lower_map = upper_map.copy()
        lower_map[..., 1] += self._gap * np.float32(close)
        drawn = _over(self._behind, _sample(self._below, lower_map))
        face[self._place][..., :3] = _over(drawn, _sample(self._above, upper_map))


def _texture(left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
    return slice(top * SCALE, bottom * SCALE), slice(left * SCALE, right * SCALE)


def _field(points: list[tuple[float, float, float, float]], x: Array, y: Array) -> Array:
    """The displacement field through the control points: a thin-plate spline that is zero at the edge.

    Args:
        points: x, y, dx, dy of each control point.
        x: float32[h, w], portrait coordinates to evaluate.
        y: float32[h, w], the same.

    Returns:
        float32[h, w, 2] in texture pixels.
    """
    control = np.array([*points, *[(px, py, 0.0, 0.0) for px, py in _STILL]], np.float64)
    centres, moved = control[:, :2], control[:, 2:]
    n = len(centres)
    affine = np.column_stack([np.ones(n), centres])
    system = np.block([[_thin_plate(centres, centres), affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.vstack([moved, np.zeros((3, 2))]))
    at = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    values = _thin_plate(at, centres) @ weights[:n] + np.column_stack([np.ones(len(at)), at]) @ weights[n:]
    inside = np.minimum(np.minimum(x - LEFT, RIGHT - 3 - x), np.minimum(y - TOP, BOTTOM - 3 - y))
    window = np.clip(inside / 12, 0, 1)[..., None]
    return np.asarray(values.reshape(*x.shape, 2) * window * SCALE, np.float32)


def _thin_plate(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel r^2 log r between all points of `a` and of `b` (Bookstein 1989)."""
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    return np.asarray(0.5 * squared * np.log(squared + 1e-9))


def _behind_lips(texture: Image, x: Array, y: Array, upper: Array, lower: Array) -> Image:
    """The picture behind the lips: the teeth of the photograph, and the dark below them."""
    # The teeth extend under the upper lip, and a little under the lower one.
    rows = np.clip(y, upper + 1.6, np.maximum(lower - 1.8, upper + 1.6))
    map_x = ((x - LEFT + 0.5) * SCALE - 0.5).astype(np.float32)
    map_y = ((rows - TOP + 0.5) * SCALE - 0.5).astype(np.float32)
    teeth = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32)
    not_corner = np.clip((lower - upper - 1.5) / 3, 0, 1)
    share = np.clip((lower + 0.9 - y) / 1.6, 0, 1) * not_corner
    dark = np.array(_MOUTH_DARK, np.float32)
    return np.asarray(dark + (teeth - dark) * share[..., None], np.float32).astype(np.uint8)


def _layer(texture: Image, place: tuple[slice, slice], alpha: NDArray[np.floating[Any]]) -> Image:
    """A copy of the texture whose alpha is set in one place."""
    layer = texture.copy()
    layer[place][..., 3] = np.round(alpha * 255).astype(np.uint8)
    return layer


def _enlarged(coarse: Array, width: int, height: int) -> Array:
    """Interpolate the field from every `_STEP`th pixel to every pixel."""
    step = np.array([[1 / _STEP, 0, 0], [0, 1 / _STEP, 0]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(coarse, step, (width, height), flags=flags), np.float32)


def _sample(layer: Image, where: Array) -> Image:
    return np.asarray(sampled(layer, where, border=cv2.BORDER_REPLICATE), np.uint8)


def _over(below: Image, layer: Image) -> Image:
    """Composite a layer, uint8[H, W, 4], over a picture, uint8[H, W, 3]."""
    alpha = cv2.cvtColor(layer[..., 3], cv2.COLOR_GRAY2RGB)
    covered = cv2.multiply(layer[..., :3], alpha, scale=1 / 255)
    seen = cv2.multiply(below, cv2.bitwise_not(alpha), scale=1 / 255)
    return np.asarray(cv2.add(covered, seen), np.uint8)
