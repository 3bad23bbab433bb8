"""The crop of a face doesn't depend on its position, size and rotation in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.classifier.crop import CENTRE, MEAN, MIN_STD, POINTS, STD, TEMPLATE, FaceCrop, even, sharpness

pytest_plugins = ["tests.support.crop_bundles"]

FACE_CROP = FaceCrop(48)


@pytest.fixture(scope="module")
def portrait(portraits):
    return portraits[0]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(one.astype(float) - other).mean())


def moved(rgb: np.ndarray, landmarks: np.ndarray, warp: np.ndarray, size: tuple[int, int]):
    """Picture and landmarks under a similarity, float[2, 3]."""
    picture = cv2.warpAffine(rgb, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points = landmarks.astype(np.float64)
    points[:, :2] = points[:, :2] @ warp[:, :2].T + warp[:, 2]
    points[:, 2] *= np.hypot(warp[0, 0], warp[1, 0])
    return picture, points.astype(np.float32)


@pytest.mark.parametrize("point", POINTS.tolist())
def test_points_of_the_face_are_where_the_template_puts_them(portrait, point):
    rgb, face = portrait
    marked = np.zeros_like(rgb)
    x, y = face.landmarks[point, :2].tolist()
    cv2.circle(marked, (round(x), round(y)), 8, (255, 255, 255), -1)
    rows, columns = np.nonzero(FACE_CROP.cut(marked, face.landmarks) > 60)
    place = 48 * (TEMPLATE[point == POINTS][0] + CENTRE)
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(place), abs=4)


def test_grey_and_colour_pictures_give_the_same_crop(portrait):
    rgb, face = portrait
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(FACE_CROP(grey, face.landmarks), FACE_CROP(np.dstack([grey] * 3), face.landmarks))
    assert np.abs(FACE_CROP.cut(grey, face.landmarks).astype(int) - FACE_CROP.cut(rgb, face.landmarks)).max() <= 1


@pytest.mark.parametrize("factor", [0.5, 1.7, 4.0])
def test_the_size_of_the_face_changes_little(portrait, factor):
    rgb, face = portrait
    height, width = rgb.shape[:2]
    size = (round(width * factor), round(height * factor))
    scaled = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    landmarks = face.landmarks * np.float32(factor)
    landmarks[:, :2] += np.float32((factor - 1) / 2)  # px centres
    assert difference(FACE_CROP(scaled, landmarks), FACE_CROP(rgb, face.landmarks)) < 3


@pytest.mark.parametrize("angle", [-90, 30, 180])
def test_a_rotated_head_is_upright_in_the_crop(portrait, angle):
    rgb, face = portrait
    x, y = face.landmarks[1, :2].tolist()
    turned, landmarks = moved(rgb, face.landmarks, cv2.getRotationMatrix2D((x, y), angle, 1.0), (640, 480))
    assert difference(FACE_CROP(turned, landmarks), FACE_CROP(rgb, face.landmarks)) < 4


def test_beyond_the_border_the_outermost_pixels_are_repeated(portrait):
    rgb, face = portrait
    x, y = np.rint(face.landmarks[1, :2]).astype(int).tolist()
    quarter = np.ascontiguousarray(rgb[y:, x:])
    extended = np.asarray(cv2.copyMakeBorder(quarter, y, 0, x, 0, cv2.BORDER_REPLICATE), np.uint8)
    cut = FACE_CROP.cut(quarter, face.landmarks - np.array([x, y, 0], np.float32))
    assert difference(cut, FACE_CROP.cut(extended, face.landmarks)) < 0.5
    assert difference(cut[26:, 26:], FACE_CROP.cut(rgb, face.landmarks)[26:, 26:]) < 0.5, (
        "the part within the picture is the same"
    )


def test_mean_and_contrast_are_normalised(portrait):
    rgb, face = portrait
    plain = FACE_CROP(rgb, face.landmarks)
    dark = FACE_CROP((rgb * 0.3 + 10).astype(np.uint8), face.landmarks)
    assert plain.mean() == pytest.approx(MEAN, abs=1)
    assert plain.std() == pytest.approx(STD, abs=2)
    assert difference(dark, plain) < 3


def test_a_picture_without_contrast_is_not_amplified():
    faint = np.tile(np.array([100, 101], np.uint8), (48, 24))
    assert even(faint).std() <= 0.5 * STD / MIN_STD


def test_the_contract_depends_on_the_size():
    assert FaceCrop(48).contract != FaceCrop(64).contract


@given(
    landmarks=arrays.arrays(
        np.float32, (478, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False), fill=st.just(0.0)
    )
)
def test_any_landmarks_give_a_crop(portrait, landmarks):
    cut = FACE_CROP.cut(portrait.rgb, landmarks)
    assert cut.shape == (48, 48)
    assert 0 <= sharpness(cut) <= 1
    assert even(cut).dtype == np.uint8


@given(x=st.floats(-1e9, 1e9), y=st.floats(-1e9, 1e9), scale=st.floats(0, 1e6))
def test_a_face_far_outside_the_picture_gives_a_crop(portrait, x, y, scale):
    rgb, face = portrait
    landmarks = (face.landmarks * np.float32(scale) + np.array([x, y, 0], np.float32)).astype(np.float32)
    assert FACE_CROP(rgb, landmarks).shape == (48, 48)


def test_a_face_without_extent_gives_a_crop(portrait):
    assert FACE_CROP(portrait.rgb, np.full((478, 3), 100, np.float32)).shape == (48, 48)


def test_blur_lowers_the_sharpness_of_the_demo(portrait):
    cut = FACE_CROP.cut(portrait.rgb, portrait.face.landmarks)
    blurred = [cv2.GaussianBlur(cut, (0, 0), sigma) for sigma in (2, 3, 4, 8)]
    found = [sharpness(np.asarray(each, np.uint8)) for each in (cut, *blurred)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)
    assert 0.1 < found[2] < 0.5
    assert found[-1] < 0.05


def test_a_plain_surface_has_no_sharpness():
    assert sharpness(np.full((48, 48), 90, np.uint8)) == 0


@given(gain=st.floats(0.3, 1), offset=st.floats(0, 60))
def test_sharpness_does_not_depend_on_light(portrait, gain, offset):
    blurred = cv2.GaussianBlur(FACE_CROP.cut(portrait.rgb, portrait.face.landmarks), (0, 0), 3)
    cut = np.asarray(blurred, np.uint8)
    lit = np.rint(cut * gain * 0.7 + offset).astype(np.uint8)
    assert sharpness(lit) == pytest.approx(sharpness(cut), rel=0.2)


def test_sharpness_does_not_depend_on_the_size_of_the_crop(portrait):
    landmarks = portrait.face.landmarks
    blurred = cv2.GaussianBlur(portrait.rgb, (0, 0), 12)
    assert sharpness(FaceCrop(96).cut(blurred, landmarks)) == pytest.approx(
        sharpness(FACE_CROP.cut(blurred, landmarks)), rel=0.15
    )
