from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from host_training.data import parquet
from host_training.evaluation.lenses import FACE_HEIGHT_M, LENSES

TABLE = Path(__file__).parents[3] / "model" / "keypoints" / "ferplus.parquet"
IRIS_M = 0.0117
RIMS = ((469, 471), (474, 476))
"""Landmarks of the left and right rim of each iris."""


@pytest.mark.parametrize(("number", "picture"), [(0, (640, 480)), (1, (1280, 720)), (2, (1920, 1080))])
def test_a_picture_of_the_sensors_shape_has_its_whole_field_of_view(number, picture):
    lens = LENSES[number]
    wide = 2 * math.tan(math.radians(lens.degrees / 2))  # of what is seen at 1 m, in m

    assert lens.metres(picture[0] * FACE_HEIGHT_M / wide, picture) == pytest.approx(1)


def test_half_the_px_are_twice_as_far():
    assert LENSES[0].metres(20, (640, 480)) == pytest.approx(2 * LENSES[0].metres(40, (640, 480)))


def test_a_narrower_picture_is_cut_out_and_a_wider_one_is_as_wide():
    """In a picture of 4:3 from a sensor of 16:9, a px is that of a 16:9 picture of the same height."""
    wide, narrow = LENSES[1].metres(20, (1280, 720)), LENSES[1].metres(20, (960, 720))
    assert narrow == pytest.approx(wide)

    whole, flat = LENSES[0].metres(20, (1280, 960)), LENSES[0].metres(20, (1280, 720))
    assert flat == pytest.approx(whole)


def test_the_height_of_a_face_is_that_of_the_faces_in_the_table():
    table = parquet.read(TABLE)
    points = table.landmarks[table.found & (table.split == "train")].astype(np.float64)
    irises = np.mean([np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=1) for a, b in RIMS], axis=0)

    height = float(np.median(np.ptp(points[:, :, 1], axis=1) / irises)) * IRIS_M

    assert height == pytest.approx(0.156, abs=0.001)
    assert pytest.approx(height, rel=0.05) == FACE_HEIGHT_M
