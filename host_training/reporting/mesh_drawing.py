"""A face as a line drawing: what can be shown of a row when its picture is not at hand, or must not be."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# fmt: off
FINE_LINES = (
    # oval
    (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148,
     176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
    # bridge and base of the nose
    (168, 6, 197, 195, 5, 4, 1, 19, 94, 2),
    (4, 45, 220, 115, 48, 64, 98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4),
)
"""What frames the face, drawn fainter than what moves with its expression."""
BOLD_LINES = (
    # lips: outer, inner
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
    # eyes
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    # brows: upper edge there, lower edge back
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 300),
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 70),
)
"""Lines through landmarks, as the connections of MediaPipe's `FaceLandmarksConnections` (mediapipe 1.2,
tasks/python/vision/face_landmarker.py) run; those of a brow, there two open lines, are closed to one."""
IRISES = ((474, 475, 476, 477), (469, 470, 471, 472))
"""Four points on the rim of each."""
# fmt: on

MARGIN = 0.03
"""Share of the square that stays free at each side."""
DECIMALS = 1
"""Of a coordinate; a tenth of a CSS pixel is below what a screen shows."""


def svg(landmarks: NDArray[np.float32], *, size: int = 120, title: str = "") -> str:
    """An inline SVG of a face's contours, turned as in its picture and fitted to a square.

    The lines take the colour of the text around them, so they show on a dark page and on a light one.

    Args:
        landmarks: float32[478, 3] px, of a face that was found.
        size: side of the square in CSS px.
        title: what a screen reader says of it; empty: it passes over the drawing.
    """
    drawn = np.concatenate([np.concatenate(FINE_LINES), np.concatenate(BOLD_LINES)])
    points = landmarks[:, :2].astype(np.float64)
    low, high = points[drawn].min(axis=0), points[drawn].max(axis=0)
    side = max(float((high - low).max()), 1e-6)  # a face without extent would divide by zero
    points = (points - (low + high) / 2) * (size * (1 - 2 * MARGIN) / side) + size / 2
    irises = "".join(_circle(points[list(rim)]) for rim in IRISES)
    about = f'role="img"><title>{escape(title)}</title>' if title else 'aria-hidden="true">'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 {size} {size}" '
        f'fill="none" stroke="currentColor" stroke-width="{size / 100:g}" stroke-linejoin="round" {about}'
        f'<g stroke-opacity=".5"><path d="{_lines(points, FINE_LINES)}"/>{irises}</g>'
        f'<path d="{_lines(points, BOLD_LINES)}"/></svg>'
    )


def _lines(points: NDArray[np.float64], lines: Iterable[tuple[int, ...]]) -> str:
    return "".join(f"M{' '.join(f'{_short(x)} {_short(y)}' for x, y in points[list(line)])}" for line in lines)


def _circle(rim: NDArray[np.float64]) -> str:
    x, y = rim.mean(axis=0)
    radius = np.linalg.norm(rim - (x, y), axis=1).mean()
    return f'<circle cx="{_short(x)}" cy="{_short(y)}" r="{_short(radius)}"/>'


def _short(value: float) -> str:
    return f"{value:.{DECIMALS}f}".removesuffix(".0")
