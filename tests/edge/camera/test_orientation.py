from __future__ import annotations

import numpy as np
import pytest

from edge.camera.orientation import oriented
from edge.settings import CameraSettings

# Four corners of a picture that is wider than high, each of its own colour.
A, B, C, D = ((value, value + 1, value + 2) for value in (10, 20, 30, 40))
PICTURE = np.array([[A, (0, 0, 0), B], [C, (0, 0, 0), D]], np.uint8)


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """Clockwise from the upper left."""
    return [tuple(map(int, picture[y, x])) for y, x in ((0, 0), (0, -1), (-1, -1), (-1, 0))]


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (90, "none", [C, A, B, D]),
        (180, "none", [D, C, A, B]),
        (270, "none", [B, D, C, A]),
        (0, "horizontal", [B, A, C, D]),
        (0, "vertical", [C, D, B, A]),
        (0, "both", [D, C, A, B]),
        # Turned first, and then mirrored.
        (90, "horizontal", [A, C, D, B]),
        (270, "vertical", [A, C, D, B]),
    ],
)
def test_clockwise_and_then_mirrored(rotation: int, flip: str, expected: list[tuple[int, ...]]):
    picture = oriented(PICTURE, CameraSettings(rotation=rotation, flip=flip))
    assert picture.shape == ((3, 2, 3) if rotation in {90, 270} else (2, 3, 3))
    assert corners(picture) == expected
    assert picture.flags.c_contiguous


def test_a_camera_that_stands_upright_costs_nothing():
    assert oriented(PICTURE, CameraSettings()) is PICTURE


def test_the_picture_that_came_in_stays_as_it_is():
    before = PICTURE.copy()
    oriented(PICTURE, CameraSettings(rotation=180, flip="both"))
    np.testing.assert_array_equal(PICTURE, before)
