"""Crops for image networks: RGB, upright, cut out by the landmarks, all of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from host_training.compare.measures import EYE_CORNERS
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

SIZE = 96
"""Side in px: twice that of FER2013's pictures, and a multiple of 32, the total stride of the networks."""
MARGIN = 1.2
"""Side of a crop, in longer sides of the landmarks' box; the box ends at forehead and chin."""


class Pictures:
    """The pictures of a table by the ids of their rows, which stay the same when rows are taken out."""

    def __init__(self, table: Table, pictures: Mapping[int, Pixels | ImageFile]) -> None:
        """`pictures` are by row; those in files are read when they are needed."""
        ids = table.ids.tolist()
        self._pictures = {ids[row]: picture for row, picture in pictures.items()}

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Ids, as in `fer2013/123`, of those rows that have no picture here."""
        return [each for each in ids if each not in self._pictures]

    def crops(self, table: Table, name: str) -> NDArray[np.uint8]:
        """uint8[N, SIZE, SIZE, 3], RGB, of rows that all have a face.

        Args:
            table: the rows.
            name: label of the progress bar.

        Raises:
            EdgeError: a picture cannot be read.
            SourceError: a picture is not the one that the landmarks were measured on.
        """
        crops = np.empty((len(table), SIZE, SIZE, 3), np.uint8)
        rows = zip(table.ids.tolist(), table.landmarks, strict=True)
        for index, (each, landmarks) in enumerate(tqdm(rows, f"{name}: crops", len(table), leave=False)):
            rgb = self._pictures[each].load()
            middle = landmarks[:, :2].mean(axis=0)
            if not ((middle >= 0) & (middle < rgb.shape[1::-1])).all():
                raise SourceError(
                    f"{each}: its face lies outside the picture; give the pictures that the table was made from"
                )
            crops[index] = crop(rgb, landmarks)
        return crops


def crop(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a face out, rotated so that its eyes are level.

    Args:
        rgb: uint8[H, W, 3].
        landmarks: float32[478, 3] px.

    Returns:
        uint8[SIZE, SIZE, 3]; beyond the picture its edge is repeated.
    """
    points = landmarks[:, :2].astype(np.float64)
    across = points[EYE_CORNERS[1]] - points[EYE_CORNERS[0]]
    roll = np.arctan2(across[1], across[0])
    level = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    turned = points @ level.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = SIZE / (MARGIN * max(float((high - low).max()), 1.0))
    if scale < 1 / 2:  # sampling a much larger picture would alias
        rgb = np.asarray(cv2.resize(rgb, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA), np.uint8)
        return crop(rgb, landmarks * 2 * scale)
    shift = SIZE / 2 - scale * (low + high) / 2
    matrix = np.column_stack([scale * level, shift])
    cut = cv2.warpAffine(rgb, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)
