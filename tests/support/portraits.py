"""The demo's photograph and its landmarks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

import edge
from edge.errors import ConfigError
from edge.face_mesh import open_face_mesh
from edge.face_mesh.models import cache_folder, find
from edge.settings import MeshSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels

FILE = Path(edge.__file__).parent / "camera" / "demo" / "assets" / "demo-portrait.jpg"


def mesh_models() -> MeshModels:
    """The face mesh models in the cache. Skips the test without them."""
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.skip(f"needs the face mesh models: {error}")


@functools.cache
def portrait() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The photograph, uint8[H, W, 3] RGB, and its landmarks, float32[478, 3] px."""
    rgb = np.asarray(cv2.cvtColor(cv2.imread(str(FILE)), cv2.COLOR_BGR2RGB), np.uint8)
    return rgb, open_face_mesh(MeshSettings(max_faces=1), mesh_models()).still(rgb)[0].landmarks


def scaled(size: float, *, grey: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The photograph, scaled so that the face is `size` px high, and its landmarks."""
    rgb, landmarks = portrait()
    scale = size / float(np.ptp(landmarks[:, 1]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    points = landmarks * np.float32(scale)
    points[:, :2] += (scale - 1) / 2
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) if grey else picture, points
