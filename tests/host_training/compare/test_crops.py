from __future__ import annotations

import cv2
import numpy as np
import pytest

from host_training.compare.crops import MARGIN, SIZE, Pictures, crop
from host_training.data.keypoints import take
from host_training.data.source import Pixels
from host_training.errors import SourceError

RIGHT_EYE, LEFT_EYE = 33, 263


def drawn(landmarks, size=240):
    """A grey picture with a blob at each landmark, the eyes' corners in colour."""
    rgb = np.full((size, size, 3), 60, np.uint8)
    for point in landmarks[:, :2]:
        cv2.circle(rgb, tuple(round(each) for each in point.tolist()), 2, (120, 120, 120), -1)
    cv2.circle(rgb, tuple(round(each) for each in landmarks[RIGHT_EYE, :2].tolist()), 4, (255, 0, 0), -1)
    cv2.circle(rgb, tuple(round(each) for each in landmarks[LEFT_EYE, :2].tolist()), 4, (0, 255, 0), -1)
    return rgb


def place(rgb, channel):
    """x, y of the blob of a colour."""
    others = rgb.astype(float)[..., [each for each in range(3) if each != channel]].max(axis=-1)
    y, x = np.nonzero(rgb[..., channel] - others > 60)
    return np.array([x.mean(), y.mean()])


@pytest.fixture
def face(faces):
    """Real landmarks, 120 px wide, in the middle of a picture of 240 px."""
    landmarks = faces[0].astype(np.float64)
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    scale = 120 / (high - low).max()
    landmarks = landmarks * scale
    landmarks[:, :2] += 120 - scale * (low + high) / 2
    return landmarks.astype(np.float32)


def turned(landmarks, degrees, middle=120):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = landmarks.copy()
    moved[:, :2] = (landmarks[:, :2] - middle) @ turn.T + middle
    return moved


@pytest.mark.parametrize("degrees", [-80, -30, 0, 30, 80])
def test_eyes_lie_level_with_the_persons_right_one_to_the_left(face, degrees):
    landmarks = turned(face, degrees)

    cut = crop(drawn(landmarks), landmarks)

    right, left = place(cut, 0), place(cut, 1)
    assert right[1] == pytest.approx(left[1], abs=1.5)
    assert right[0] < left[0]


def test_the_landmarks_box_fills_the_crop_but_for_the_margin(face):
    upright = turned(face, -np.degrees(np.arctan2(*(face[LEFT_EYE] - face[RIGHT_EYE])[[1, 0]])))
    cut = crop(drawn(upright), upright)

    width = place(cut, 1)[0] - place(cut, 0)[0]
    box = np.ptp(upright[:, :2], axis=0).max()
    assert width == pytest.approx((upright[LEFT_EYE, 0] - upright[RIGHT_EYE, 0]) * SIZE / (MARGIN * box), abs=1.5)
    assert cut.shape == (SIZE, SIZE, 3)


def test_a_face_of_any_size_gives_the_same_crop(face):
    small = crop(drawn(face), face)
    large = cv2.resize(drawn(face), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)

    cut = crop(large, face * 6 + 2.5)

    assert np.abs(cut.astype(int) - small).mean() < 8


def test_all_pixels_of_a_large_picture_count(face):
    noise = np.random.default_rng(0).integers(0, 256, (1440, 1440, 3), dtype=np.uint8)

    cut = crop(noise, face * 6)

    assert cut.std() < noise.std() / 3


def test_repeats_the_edge_of_the_picture(face):
    rgb = drawn(face)
    rgb[:] = 200

    assert crop(rgb, face - 110).min(axis=None) == 200


def drawn_for(table, size=240):
    return Pictures(table, {row: Pixels(drawn(landmarks, size)) for row, landmarks in enumerate(table.landmarks)})


def test_pictures_are_found_by_the_ids_of_the_rows(table):
    few = take(table, np.array([3, 0, 40]))
    pictures = drawn_for(few)

    crops = pictures.crops(few, "test")

    for cut, landmarks in zip(crops, few.landmarks, strict=True):
        np.testing.assert_array_equal(cut, crop(drawn(landmarks), landmarks))
    assert pictures.missing(["tiny/0", "other/0", "tiny/1"]) == ["other/0", "tiny/1"]


def test_another_picture_than_the_measured_one_is_refused(table):
    few = take(table, np.array([0]))

    with pytest.raises(SourceError, match="tiny/0: its face lies outside the picture"):
        drawn_for(few, size=8).crops(few, "test")
