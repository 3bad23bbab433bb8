"""What is a face is told from what resembles one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.images import read_image
from edge.face_mesh.landmarker import Landmarker
from edge.face_mesh.steadiness import MAX_DRIFT, drift
from edge.face_mesh.tracking import Region
from tests.support import portraits


@pytest.fixture(scope="module")
def landmarker(models):
    return Landmarker(models.landmarker)


def measured(landmarker, rgb: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    landmarks, _ = landmarker(rgb, region)
    return landmarker(rgb, Region.of_landmarks(landmarks))


@pytest.mark.parametrize("height", [20, 32, 64, 128])
@pytest.mark.parametrize("light", [0.4, 1.0])
def test_a_face_is_steady_at_every_size_and_in_every_light(landmarker, height, light):
    rgb, truth = portraits.scaled(height)
    dark = (rgb * light).astype(np.uint8)
    landmarks, presence = measured(landmarker, dark, Region.of_landmarks(truth))
    assert presence > 0.9
    assert drift(landmarker, dark, landmarks) < MAX_DRIFT


def test_what_resembles_a_face_somewhere_is_not_steady(landmarker, media):
    """Wherever the landmark model takes something for a face, at two sizes."""
    drifts = []
    for name in ("cat.jpg", "cup.jpg"):
        rgb = np.asarray(cv2.resize(read_image(media(name)), (640, 480)), np.uint8)
        for size in (120, 240):
            for x in range(0, 640, size // 2):
                for y in range(0, 480, size // 2):
                    landmarks, presence = measured(landmarker, rgb, Region(x, y, size, 0.0))
                    if presence > 0.9:
                        drifts.append(drift(landmarker, rgb, landmarks))
    assert drifts, "the model takes something for a face"
    assert min(drifts) > MAX_DRIFT
