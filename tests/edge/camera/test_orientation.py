from __future__ import annotations

import numpy as np
import pytest

from edge.camera.orientation import oriented
from edge.settings import CameraSettings

# A picture in landscape format with four corners of different colours.
A, B, C, D = ((value, value + 1, value + 2) for value in (10, 20, 30, 40))
PICTURE = np.array([[A, (0, 0, 0), B], [C, (0, 0, 0), D]], np.uint8)


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """Colours of the corners, clockwise from the upper left."""
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
        # Turned first, then mirrored.
        (90, "horizontal", [A, C, D, B]),
        (270, "vertical", [A, C, D, B]),
    ],
)
def test_pictures_are_turned_clockwise_and_then_mirrored(rotation: int, flip: str, expected: list[tuple[int, ...]]):
    picture = oriented(PICTURE, CameraSettings(rotation=rotation, flip=flip))
    assert picture.shape == ((3, 2, 3) if rotation in {90, 270} else (2, 3, 3))
    assert corners(picture) == expected
    assert picture.flags.c_contiguous


def test_without_rotation_and_flip_the_same_array_is_returned():
    assert oriented(PICTURE, CameraSettings()) is PICTURE


def test_the_input_is_not_modified():
    before = PICTURE.copy()
    oriented(PICTURE, CameraSettings(rotation=180, flip="both"))
    np.testing.assert_array_equal(PICTURE, before)
