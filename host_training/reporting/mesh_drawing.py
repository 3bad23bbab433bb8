"""A face as a line drawing, for rows whose picture is not at hand, or must not be shown."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from edge.preview.contours import BOLD_LINES, FINE_LINES, IRISES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MARGIN = 0.03
"""Margin on each side, as a share of the square."""
DECIMALS = 1
"""Decimals of a coordinate; a tenth of a CSS pixel is less than a screen can show."""


def svg(landmarks: NDArray[np.float32], *, size: int = 120, title: str = "") -> str:
    """An inline SVG of a face's contours, rotated as in its picture and fitted to a square.

    The lines have the colour of the text around them, so they are visible on dark and on light pages.

    Args:
        landmarks: float32[478, 3] px, of a face that was found.
        size: side of the square in CSS px.
        title: text for screen readers; empty: they skip the drawing.
    """
    drawn = np.concatenate([np.concatenate(FINE_LINES), np.concatenate(BOLD_LINES)])
    points = landmarks[:, :2].astype(np.float64)
    low, high = points[drawn].min(axis=0), points[drawn].max(axis=0)
    side = max(float((high - low).max()), 1e-6)  # avoids a division by zero
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
