"""A face as a line drawing: what can be shown of a row when its picture is not at hand, or must not be."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from edge.preview.contours import BOLD_LINES, FINE_LINES, IRISES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

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
