"""Changes from frame to frame: in a small grey picture of the whole, and in a patch about each face.

Comparing costs a hundredth of measuring. So the search looks first where something has changed, a face that has not
changed is not measured again, and a cut to another scene is noticed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh.tracking import Region

CELLS = 80
"""Cells along the longer side of the small picture: 8 px of 640. A face of 20 px covers two or three."""

MIN_CHANGE = 10
"""Difference of a cell, in grey levels, that counts as a change of the scene; a camera's noise stays below."""

NOISE = 8
"""So many times the median difference counts as a change where a picture is noisier than that."""

MAX_CHANGE = 40
"""Difference of a cell, in grey levels, that counts as a change even where all of the picture moves."""

BLOCKS = 4
"""Blocks along each side of the small picture that are compared to notice a cut."""

CUT_DIFFERENCE = 10.0
"""Mean difference of two small pictures, in grey levels, below which nothing was cut, whatever the noise does."""

CUT_CORRELATION = 0.3
"""Correlation of a block with itself one frame later, below which it shows another scene. The median of the blocks is
above 0.9 while a camera and its scene move, and below 0.2 between two photographs."""

FLAT = 3.0
"""Standard deviation, in grey levels, below which a block has nothing to correlate."""

PATCH = 32
"""Cells along each side of the patch about a face."""

MIN_PATCH_CHANGE = 3.0
"""Difference of a cell of the patch, in grey levels, that counts as a change of the face."""

PATCH_NOISE = 6.0
"""So many times the median difference of the patch counts as a change where the picture is noisier than that: of
Gaussian noise, four standard deviations."""

MAX_PATCH_NOISE = 4.0
"""Median difference of the patch, in grey levels, above which it isn't noise: all of the face has moved."""


def small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The small grey picture, uint8[h, w], of `rgb`, uint8[H, W, 3]: `CELLS` along its longer side."""
    height, width = rgb.shape[:2]
    scale = CELLS / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return _shrunk(rgb, size)


def _shrunk(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The green channel at width and height `size`. Green is nearest to grey, and has most of a sensor's pixels."""
    # Two samples along each side of a cell: averaging all pixels would cost ten times as much.
    step = max(1, min(rgb.shape[1] // (2 * size[0]), rgb.shape[0] // (2 * size[1])))
    samples = np.ascontiguousarray(rgb[step // 2 :: step, step // 2 :: step, 1])
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), np.uint8)


def is_cut(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    """Whether two small grey pictures, uint8[h, w], one frame apart, show different scenes.

    Each block is compared by correlation, which light that is switched on hardly changes.
    """
    if float(cv2.norm(before, now, cv2.NORM_L1)) < CUT_DIFFERENCE * now.size:
        return False
    rows, columns = (np.linspace(0, n, BLOCKS + 1).astype(int) for n in now.shape)
    correlations = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            a, b = (each[top:bottom, left:right].astype(np.float32) for each in (before, now))
            deviations = float(a.std()), float(b.std())
            if min(deviations) < FLAT:
                # A wall stays a wall; a wall that becomes something is another scene.
                if max(deviations) >= 2 * FLAT:
                    correlations.append(0.0)
                continue
            correlations.append(float(((a - a.mean()) * (b - b.mean())).mean()) / (deviations[0] * deviations[1]))
    return len(correlations) > BLOCKS and float(np.median(correlations)) < CUT_CORRELATION


def threshold(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """The difference from which on a cell of the small picture counts as changed, in grey levels.

    Args:
        before: the small picture of the last frame, uint8[h, w].
        now: that of this one.
    """
    return min(max(MIN_CHANGE, NOISE * float(np.median(cv2.absdiff(before, now)))), MAX_CHANGE)


def patch(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The grey patch, uint8[PATCH, PATCH], about the face at `region`."""
    height, width = rgb.shape[:2]
    half = region.size / 2
    left, right = max(0, int(region.x - half)), min(width, int(region.x + half))
    top, bottom = max(0, int(region.y - half)), min(height, int(region.y + half))
    if right <= left or bottom <= top:
        return np.zeros((PATCH, PATCH), np.uint8)
    return _shrunk(rgb[top:bottom, left:right], (PATCH, PATCH))


def has_changed(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    """Whether two patches of the same place, uint8[PATCH, PATCH], differ by more than noise."""
    differences = np.asarray(cv2.absdiff(before, now), np.uint8)
    noise = float(np.median(differences))
    return noise > MAX_PATCH_NOISE or float(differences.max()) > max(MIN_PATCH_CHANGE, PATCH_NOISE * noise)
