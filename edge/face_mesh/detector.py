"""BlazeFace, short range: a tile of the picture -> regions of faces (constants: mediapipe's face_detector_graph.cc)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.face_mesh.tiles import Tile
from edge.face_mesh.tracking import MARGIN, Region
from edge.interpreter import Model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 128
"""Side of the model's input, px."""

ANCHOR_GRIDS = ((8, 2), (16, 6))
"""Strides, px, and anchors per cell, of the short-range model's SsdAnchorsCalculator: 896 anchors in all."""

MIN_SUPPRESSION = 0.3
"""Intersection over union above which two boxes are one face (NonMaxSuppressionCalculator)."""

SAME_PLACE = 0.35
"""Intersection over union above which a region of this model and one of the landmark model show the same face."""

KEYPOINTS = 6
VALUES = 4 + 2 * KEYPOINTS


def _anchors() -> NDArray[np.float32]:
    """Centres of the anchors, float32[896, 2], 0..1."""
    grids = []
    for stride, count in ANCHOR_GRIDS:
        cells = SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        grids.append(np.repeat(centres, count, axis=0))
    return np.concatenate(grids).astype(np.float32)


class Detector:
    """Detects faces in one tile of a picture."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the model.

        Raises:
            ConfigError: `path` is missing or is another model.
        """
        self._model = Model(path, threads=threads)
        shapes = self._model.output_shapes
        if not self._model.reads_only(1, SIZE, SIZE, 3) or {s[-1] for s in shapes} != {1, VALUES}:
            raise ConfigError(f"{path}: not the short-range face detector; run `emotion-edge model fetch --force`")
        self._input = self._model.inputs[0]
        self._boxes = next(i for i, s in enumerate(shapes) if s[-1] == VALUES)
        self._scores = 1 - self._boxes
        self._anchors = _anchors()

    def __call__(self, rgb: NDArray[np.uint8], tile: Tile, *, min_confidence: float, most: int) -> list[Region]:
        """The regions of at most `most` faces in a tile of `rgb`, uint8[H, W, 3], highest confidence first."""
        scale = SIZE / tile.size
        left, top = -tile.x * scale, -tile.y * scale
        # ImageToTensorCalculator samples by pixel corners, with black around the picture.
        shown = cv2.warpAffine(
            rgb,
            np.array([[scale, 0, left], [0, scale, top]]),
            (SIZE, SIZE),
            flags=cv2.INTER_LINEAR,
        )
        tensor = self._input.view()
        np.multiply(shown, np.float32(1 / 127.5), out=tensor[0], casting="unsafe")
        tensor -= 1
        del tensor
        self._model.invoke()
        scores = self._model.output(self._scores)[0, :, 0]
        found = np.flatnonzero(scores > math.log(min_confidence / (1 - min_confidence)))
        if not found.size:
            return []
        confidence = 1 / (1 + np.exp(-np.clip(scores[found], -100, 100)))
        values = self._model.output(self._boxes)[0, found] / SIZE
        centres = values[:, :2] + self._anchors[found]
        half = values[:, 2:4] / 2
        eyes = values[:, 4:8] + np.tile(self._anchors[found], 2)
        rows = np.concatenate([centres - half, centres + half, eyes], axis=1)
        merged = _weighted_suppression(rows, confidence, most)
        return [_region((row * SIZE - (left, top) * 4) / scale) for row in merged]

    def again(self, rgb: NDArray[np.uint8], region: Region, *, min_confidence: float) -> Region | None:
        """The face at `region`, seen in a tile made for it; None: there it is none."""
        found = self(rgb, Tile.around(region), min_confidence=min_confidence, most=1)
        return found[0] if found and found[0].overlap(region) > SAME_PLACE else None


def _weighted_suppression(
    rows: NDArray[np.float32], confidence: NDArray[np.float32], most: int
) -> list[NDArray[np.float32]]:
    """Weighted non-maximum suppression: overlapping boxes become their mean, weighted by confidence.

    Args:
        rows: float32[N, 4 + K]: x0, y0, x1, y1 and the other values of the box.
        confidence: float32[N].
        most: maximum number of boxes.
    """
    order = np.argsort(-confidence)
    rows, confidence = rows[order], confidence[order]
    merged: list[NDArray[np.float32]] = []
    while len(rows) and len(merged) < most:
        low = np.maximum(rows[:, :2], rows[0, :2])
        high = np.minimum(rows[:, 2:4], rows[0, 2:4])
        both = np.prod(np.clip(high - low, 0, None), axis=1)
        areas = np.prod(rows[:, 2:4] - rows[:, :2], axis=1)
        same = both / (areas + areas[0] - both) > MIN_SUPPRESSION
        same[0] = True  # a box without area does not even overlap itself
        weights = confidence[same] / confidence[same].sum()
        merged.append(weights @ rows[same])
        rows, confidence = rows[~same], confidence[~same]
    return merged


def _region(row: NDArray[np.float32]) -> Region:
    """The landmark model's region for x0, y0, x1, y1 and the two eyes, float32[8] px."""
    x0, y0, x1, y1, eye_x, eye_y, other_x, other_y = row.tolist()
    return Region(
        x=(x0 + x1) / 2,
        y=(y0 + y1) / 2,
        size=MARGIN * max(x1 - x0, y1 - y0),
        angle=math.atan2(other_y - eye_y, other_x - eye_x),
    )
