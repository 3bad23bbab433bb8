"""The 478-point mesh: a rotated square of the picture -> landmarks (constants: face_landmarks_detector_graph.cc)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.interpreter import Model
from edge.values import LANDMARKS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.face_mesh.tracking import Region

SIZE = 256
"""Side of the model's input, px."""

SCALES = (1.0, 0.85, 0.72)
"""Sizes of the region relative to the detector's, tried until one shows a face: the detector overestimates a head that
a border cuts off, and small ones."""


class Landmarker:
    """Measures one face."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the model.

        Raises:
            ConfigError: `path` is missing or is another model.
        """
        self._model = Model(path, threads=threads)
        shapes = self._model.output_shapes
        points = [i for i, s in enumerate(shapes) if math.prod(s) == LANDMARKS * 3]
        # Of the two scalar outputs, the one with four axes is the face flag; the other is about the tongue.
        flags = [i for i, s in enumerate(shapes) if s == (1, 1, 1, 1)]
        if not self._model.reads_only(1, SIZE, SIZE, 3) or len(points) != 1 or len(flags) != 1:
            raise ConfigError(f"{path}: not the 478-point face mesh; run `emotion-edge model fetch --force`")
        self._input = self._model.inputs[0]
        self._points, self._flag = points[0], flags[0]

    def __call__(self, rgb: NDArray[np.uint8], region: Region) -> tuple[NDArray[np.float32], float]:
        """Landmarks, float32[478, 3] px of `rgb`, and presence, 0..1, of the face in `region`."""
        step = region.size / SIZE
        # From crop to picture, pixel centre on pixel centre as in ImageToTensorCalculator.
        to_picture = region.to_picture(step, SIZE / 2)
        crop = cv2.warpAffine(
            rgb,
            to_picture,
            (SIZE, SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        np.multiply(crop, np.float32(1 / 255), out=self._input.view()[0], casting="unsafe")
        self._model.invoke()
        points = self._model.output(self._points).reshape(LANDMARKS, 3)
        flag = float(self._model.output(self._flag).item())
        landmarks = np.empty_like(points)
        landmarks[:, :2] = points[:, :2] @ to_picture[:, :2].T.astype(np.float32)
        landmarks[:, :2] += to_picture[:, 2].astype(np.float32)
        landmarks[:, 2] = points[:, 2] * np.float32(step)
        return landmarks, 1 / (1 + math.exp(-flag))

    def invoke_again(self) -> None:
        """Run the bare model on its last input: the lower bound in the bench."""
        self._model.invoke()
