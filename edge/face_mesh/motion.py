"""Changes from frame to frame: in a small grey picture of the whole, and in a thumbnail about each face.

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

MUCH = 8.0
"""Mean difference of two small pictures, in grey levels, below which nothing was cut."""

SAME_BLOCK = 0.15
"""Mean difference of a block's logarithms of brightness up to which it shows the same as one frame earlier. Light that
is switched shifts all logarithms alike, and so is taken off."""

CUT_SAME = 0.25
"""Share of blocks that show the same, above which nothing was cut: behind who walks in, there is still the room."""

CUT_CORRELATION = 0.3
"""Median correlation of the blocks, above which nothing was cut: a camera that shakes shows the same, elsewhere."""

FLAT = 3.0
"""Standard deviation, in grey levels, below which a block has nothing to correlate."""

THUMBNAIL = 32
"""Cells along each side of the thumbnail about a face."""

MIN_THUMBNAIL_CHANGE = 3.0
"""Difference of a cell of the thumbnail, in grey levels, that counts as a change of the face."""

THUMBNAIL_NOISE = 5.5
"""So many times the mean difference of the thumbnail counts as a change where the picture is noisier than that: of
Gaussian noise, 4.4 standard deviations, which none of a thousand cells exceeds in 99 frames of 100."""

MAX_THUMBNAIL_NOISE = 5.0
"""Mean difference of the thumbnail, in grey levels, above which it isn't noise: all of the face has moved."""


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


def difference(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """Mean difference of two small grey pictures, uint8[h, w], in grey levels."""
    return float(cv2.norm(before, now, cv2.NORM_L1)) / now.size


def is_cut(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    """Whether two small grey pictures, uint8[h, w], one frame apart, show different scenes."""
    if difference(before, now) < MUCH:
        return False
    change = np.log(now + np.float32(16)) - np.log(before + np.float32(16))
    change -= np.median(change)
    same, correlations = [], []
    for block in _blocks(now.shape):
        same.append(float(np.abs(change[block]).mean()) <= SAME_BLOCK)
        a, b = (each[block].astype(np.float32) for each in (before, now))
        deviations = float(a.std()), float(b.std())
        if min(deviations) >= FLAT:
            correlations.append(float(((a - a.mean()) * (b - b.mean())).mean()) / (deviations[0] * deviations[1]))
        elif max(deviations) >= 2 * FLAT:
            correlations.append(0.0)  # a wall that becomes something
    textured = len(correlations) > BLOCKS
    return textured and float(np.mean(same)) <= CUT_SAME and float(np.median(correlations)) < CUT_CORRELATION


def _blocks(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    rows, columns = (np.linspace(0, n, BLOCKS + 1).astype(int).tolist() for n in shape)
    return [(slice(*r), slice(*c)) for r in pairwise(rows) for c in pairwise(columns)]


def threshold(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """The difference from which on a cell of the small picture counts as changed, in grey levels.

    Args:
        before: the small picture of the last frame, uint8[h, w].
        now: that of this one.
    """
    return min(max(MIN_CHANGE, NOISE * float(np.median(cv2.absdiff(before, now)))), MAX_CHANGE)


def thumbnail(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The grey thumbnail, uint8[THUMBNAIL, THUMBNAIL], about the face at `region`."""
    height, width = rgb.shape[:2]
    half = region.size / 2
    left, right = max(0, int(region.x - half)), min(width, int(region.x + half))
    top, bottom = max(0, int(region.y - half)), min(height, int(region.y + half))
    if right <= left or bottom <= top:
        return np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    return _shrunk(rgb[top:bottom, left:right], (THUMBNAIL, THUMBNAIL))


def has_changed(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    """Whether two thumbnails of the same place, uint8[THUMBNAIL, THUMBNAIL], differ by more than noise."""
    differences = np.asarray(cv2.absdiff(before, now), np.uint8)
    noise = float(np.mean(differences))
    return noise > MAX_THUMBNAIL_NOISE or float(np.max(differences)) > max(
        MIN_THUMBNAIL_CHANGE, THUMBNAIL_NOISE * noise
    )
