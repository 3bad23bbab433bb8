"""Rows of one photo are found whatever was done to it, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from host_training.cleaning import near_duplicates
from host_training.cleaning.near_duplicates import SAME_PICTURE, SAME_SHAPE
from host_training.data.decisions import DROP, KEEP, SAME_AS, Decision
from host_training.data.keypoints import MESH, Table
from host_training.data.labels import VOTE_COLUMNS
from host_training.data.landmark_sets import MIRROR
from host_training.data.source import Pixels

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
SIDE = 200
SIDELIGHT = np.linspace(0.2, 1.2, SIDE)[None, :, None]


@pytest.fixture(scope="module")
def faces():
    """Real faces of 16 people, float32[16, 478, 3], in the middle of pictures of 200 px."""
    with np.load(GOLDEN) as golden:
        landmarks = golden["landmarks"]
    low, high = landmarks.min(axis=1, keepdims=True), landmarks.max(axis=1, keepdims=True)
    return ((landmarks - (low + high) / 2) / np.ptp(landmarks, axis=1).max(axis=1)[:, None, None] * 120 + 100).astype(
        np.float32
    )


def photo(number, side=SIDE):
    """uint8[side, side, 3]: spots of reddish light, different for each number."""
    noise = np.random.default_rng(number).normal(size=(SIDE, SIDE)).astype(np.float32)
    spots = cv2.GaussianBlur(noise, (0, 0), 4)
    light = 110 + 35 * spots / spots.std()
    coloured = light[:, :, None] * np.array([1.2, 1.0, 0.8], np.float32)
    return cv2.resize(coloured, (side, side), interpolation=cv2.INTER_AREA).clip(0, 255).astype(np.uint8)


def measured_again(face, apart, number=0):
    """The face as another measurement sees it, so far apart in the units of `SAME_SHAPE`."""
    noise = np.random.default_rng(number).normal(size=(len(face), 2)).astype(np.float32)
    noise -= noise.mean(axis=0)
    radius = np.sqrt(np.square(face[:, :2] - face[:, :2].mean(axis=0)).sum(axis=1).mean())
    moved = face.copy()
    moved[:, :2] += noise * apart * radius / np.sqrt(np.square(noise).sum(axis=1).mean())
    return moved


def turned(face):
    """The face in a mirrored picture."""
    return (face * np.array([-1, 1, 1], np.float32) + np.array([SIDE - 1, 0, 0], np.float32))[MIRROR]


def table_of(*landmarks, **columns):
    count = len(landmarks)
    values = {
        "data_set": np.full(count, "web"),
        "source": np.arange(count).astype(str),
        "split": np.array([("train", "test")[row % 2] for row in range(count)]),
        "subject": np.full(count, ""),
        "group": np.arange(count),
        "label": np.zeros(count, np.int8),
        "votes": np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        "mesh": np.full(count, MESH),
        "presence": np.ones(count, np.float32),
        "brightness": np.full(count, np.nan, np.float32),
        "sharpness": np.full(count, np.nan, np.float32),
        "landmarks": np.array(landmarks, np.float32),
    }
    return Table(**values | columns)


def found(table, pictures=(), decided=()):
    """The rows of the pairs, and whether they are mirrored."""
    with_pictures = {row: Pixels(values) for row, values in enumerate(pictures) if values is not None}
    pairs = near_duplicates.find(table, with_pictures, decided)
    return [(pair.first, pair.second, pair.mirrored) for pair in pairs]


def test_unrelated_faces_are_no_pair(faces):
    assert found(table_of(*faces)) == []
    assert found(table_of(*faces), [photo(number) for number in range(16)]) == []


def test_coinciding_landmarks_are_one_photo_in_any_crop(faces):
    copy = measured_again(faces[3], 0.8 * SAME_SHAPE) * 0.3 + 20
    assert found(table_of(*faces, copy)) == [(3, 16, False)]


def test_landmarks_that_are_only_near_are_not(faces):
    assert found(table_of(*faces, measured_again(faces[3], 1.2 * SAME_SHAPE))) == []


def test_a_mirrored_copy_is_a_copy(faces):
    assert found(table_of(*faces, turned(measured_again(faces[3], 0.8 * SAME_SHAPE)))) == [(3, 16, True)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda picture: picture, id="nothing"),
        pytest.param(lambda picture: (picture * 0.4 + 90).astype(np.uint8), id="brightness and contrast"),
        pytest.param(lambda picture: cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), id="grey"),
        pytest.param(lambda picture: (picture * SIDELIGHT).astype(np.uint8), id="light from the side"),
        pytest.param(
            lambda picture: cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], 1),
            id="compression",
        ),
    ],
)
def test_with_pictures_a_copy_is_found_whose_landmarks_are_off(faces, change):
    table = table_of(faces[0], measured_again(faces[0], 3 * SAME_SHAPE))
    picture = photo(1)
    (pair,) = near_duplicates.find(table, {0: Pixels(picture), 1: Pixels(change(picture))})
    assert pair.distance == pytest.approx(3 * SAME_SHAPE, rel=0.05)
    assert pair.agreement > SAME_PICTURE


def test_a_crop_from_a_smaller_version_is_found(faces):
    crop = photo(1, side=60)[10:, 8:]
    landmarks = measured_again(faces[0], 2 * SAME_SHAPE) * 0.3 - np.array([8, 10, 0], np.float32)
    assert found(table_of(faces[0], landmarks), [photo(1), crop]) == [(0, 1, False)]


def test_a_large_grainy_original_is_found(faces):
    grain = np.random.default_rng(0).normal(0, 60, (1600, 1600, 1))
    large = (cv2.resize(photo(1), (1600, 1600)) + grain).clip(0, 255).astype(np.uint8)
    table = table_of(faces[0], measured_again(faces[0], 2 * SAME_SHAPE) * 8)
    assert found(table, [photo(1), large]) == [(0, 1, False)]


def test_a_copy_is_found_whose_face_was_measured_too_wide_and_too_low(faces):
    wide = (faces[0] - 100) * np.array([1.2, 0.9, 1], np.float32) + np.array([100, 104, 100], np.float32)
    assert found(table_of(faces[0], wide), [photo(1)] * 2) == [(0, 1, False)]


def test_a_mirrored_copy_is_found_by_its_picture(faces):
    table = table_of(faces[0], turned(measured_again(faces[0], 2 * SAME_SHAPE)))
    assert found(table, [photo(1), photo(1)[:, ::-1]]) == [(0, 1, True)]


def test_another_photo_of_much_the_same_face_is_not_a_copy(faces):
    table = table_of(faces[0], measured_again(faces[0], 2 * SAME_SHAPE))
    assert found(table, [photo(1), photo(2)]) == []
    assert found(table, [(photo(number) * SIDELIGHT**3).astype(np.uint8) for number in (1, 2)]) == []


def test_a_row_without_a_picture_is_still_compared_by_its_landmarks(faces):
    table = table_of(faces[0], faces[0] + 5, faces[4])
    (pair,) = near_duplicates.find(table, {0: Pixels(photo(1)), 2: Pixels(photo(2))})
    assert (pair.first, pair.second) == (0, 1)
    assert np.isnan(pair.agreement)


def test_a_few_pixels_are_no_evidence():
    details = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
    inside = np.zeros((48, 48), np.uint8)
    inside[:, :10] = 1
    assert np.isnan(near_duplicates._correlation(details, details, inside))
    inside[:, :20] = 1
    assert near_duplicates._correlation(details, details, inside) == pytest.approx(1)


def test_ignores_byte_equal_pictures_and_rows_of_one_person(faces):
    twice = (faces[0], faces[0] + 5)
    assert found(table_of(*twice, group=np.array([7, 7]))) == []
    assert found(table_of(*twice, subject=np.array(["anna", "anna"]))) == []
    assert found(table_of(*twice, subject=np.array(["anna", "bert"]))) == [(0, 1, False)]


def test_three_copies_are_tied_by_the_two_surest_pairs_the_weaker_first(faces):
    near, far = measured_again(faces[0], 0.2 * SAME_SHAPE, 1), measured_again(faces[0], 0.6 * SAME_SHAPE, 2)
    assert found(table_of(faces[0], far, near)) == [(0, 1, False), (0, 2, False)]


def test_does_not_suggest_decided_pairs_again(faces):
    table = table_of(faces[4], faces[0], faces[0] + 5)
    assert found(table, decided=[Decision("web/2", KEEP, "web/1")]) == []
    assert found(table, decided=[Decision("web/2", SAME_AS, "web/1")]) == []
    assert found(table, decided=[Decision("web/2", KEEP), Decision("web/0", DROP)]) == [(1, 2, False)]


def test_skips_rows_without_a_face(faces):
    nowhere = np.full_like(faces[0], np.nan)
    assert found(table_of(nowhere, nowhere, *faces[:2], faces[0])) == [(2, 4, False)]


@pytest.mark.parametrize("count", [0, 1])
def test_a_table_without_two_faces_has_no_pair(faces, count):
    rows = [faces[0]] * count + [np.full_like(faces[0], np.nan)]
    assert found(table_of(*rows), [photo(1)] * len(rows)) == []


def test_the_same_table_gives_the_same_pairs(faces):
    table = table_of(*faces, *(measured_again(face, 0.5 * SAME_SHAPE) for face in faces))
    pictures = {row: Pixels(photo(row % 16)) for row in range(32)}
    assert near_duplicates.find(table, pictures) == near_duplicates.find(table, pictures)
