from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.classifier.crop import FaceCrop
from edge.errors import DataError, NoInputError
from host_training.data import crops, extract
from host_training.data.crops import CUTOUT_SIDE, MAX_CROP_SIDE, SUFFIX, build, path_of, read, write
from host_training.data.keypoints import take
from host_training.data.source import ImageFile, Pixels, Row, Source
from host_training.errors import SourceError
from tests.support.portraits import FILE, mesh_models, scaled

SMALL, LARGE, AT_THE_EDGE, PHOTO, NO_FACE = range(5)
FACE_CROP = FaceCrop(48)


@pytest.fixture(scope="module")
def pictures():
    """A face of 48 px in grey, one of 400 px in colour, one that is cut off, a file, and a picture without a face."""
    small, large = scaled(48, grey=True)[0], scaled(400)[0]
    return {
        SMALL: Pixels(small),
        LARGE: Pixels(large),
        AT_THE_EDGE: Pixels(np.ascontiguousarray(small[26:, 45:])),
        PHOTO: ImageFile(FILE),
        NO_FACE: Pixels(np.zeros_like(small)),
    }


@pytest.fixture(scope="module")
def table(pictures, tmp_path_factory):
    """What the mesh measures in them."""
    source = Source("tiny", [Row(str(row), picture, "happiness", split="test") for row, picture in pictures.items()])
    measured, _ = extract.measure(source, mesh_models(), parts=tmp_path_factory.mktemp("parts"), workers=1)
    assert measured.found.tolist() == [True] * 4 + [False]
    return measured


@pytest.fixture(scope="module")
def store(table, pictures):
    return build(table, pictures)


@pytest.fixture
def path(store, tmp_path):
    write(store, tmp_path / f"tiny{SUFFIX}")
    return tmp_path / f"tiny{SUFFIX}"


def jittered(landmarks, degrees, shift, scale):
    """Landmarks that are turned, moved and scaled about their middle; `shift` in heights of the face."""
    centre, height = landmarks.mean(axis=0), np.ptp(landmarks[:, 1])
    turn = np.eye(3)
    turn[:2, :2] = cv2.getRotationMatrix2D((0, 0), degrees, 1)[:, :2]
    return ((landmarks - centre) @ turn * scale + centre + [shift * height, shift * height, 0]).astype(np.float32)


@pytest.mark.parametrize("row", [SMALL, AT_THE_EDGE])
@pytest.mark.parametrize(("degrees", "shift", "scale"), [(0, 0, 1), (20, 0.1, 1.1), (-45, -0.1, 0.9)])
def test_a_crop_of_the_cut_is_the_crop_of_the_picture(store, table, pictures, row, degrees, shift, scale):
    cut = FACE_CROP(store.cutout(row), jittered(store.landmarks(row), degrees, shift, scale))
    whole = FACE_CROP(pictures[row].load(), jittered(table.landmarks[row], degrees, shift, scale))

    assert np.abs(cut.astype(int) - whole).max() <= 2


@pytest.mark.parametrize("row", [LARGE, PHOTO])
def test_a_crop_of_a_cut_that_was_scaled_down_is_nearly_the_same(store, table, pictures, row):
    cut = FACE_CROP(store.cutout(row), store.landmarks(row))
    whole = FACE_CROP(pictures[row].load(), table.landmarks[row])

    assert np.abs(cut.astype(int) - whole).mean() < 3
    shifted = FACE_CROP(store.cutout(row), store.landmarks(row) + np.array([1, 1, 0], np.float32))
    assert np.abs(cut.astype(int) - whole).mean() < 0.5 * np.abs(shifted.astype(int) - whole).mean()


def test_a_cut_is_no_larger_than_the_picture_and_no_finer_than_needed(store, pictures):
    assert store.cutout(AT_THE_EDGE).shape <= pictures[AT_THE_EDGE].values.shape
    assert store.scale[[SMALL, AT_THE_EDGE]].tolist() == [1, 1]
    assert max(store.cutout(LARGE).shape) <= CUTOUT_SIDE * MAX_CROP_SIDE + 2
    assert store.scale[LARGE] < 0.5


def test_a_row_without_a_face_or_picture_has_an_empty_one(store, table, pictures):
    assert store.held.tolist() == [True] * 4 + [False]
    assert store.cutout(NO_FACE).shape == (0, 0)
    assert build(table, {PHOTO: pictures[PHOTO]}).held.tolist() == [row == PHOTO for row in range(5)]


def test_reads_back_what_was_written(store, table, path):
    again = read(path, table)

    assert len(again) == len(table)
    for row in (SMALL, LARGE, AT_THE_EDGE, PHOTO):
        np.testing.assert_array_equal(again.cutout(row), store.cutout(row))
        np.testing.assert_array_equal(again.landmarks(row), store.landmarks(row))


def test_some_rows_of_the_table_in_another_order_get_their_own_pictures(store, table, path):
    some = read(path, take(table, np.array([PHOTO, NO_FACE, SMALL])))

    np.testing.assert_array_equal(some.cutout(0), store.cutout(PHOTO))
    np.testing.assert_array_equal(some.cutout(2), store.cutout(SMALL))
    np.testing.assert_array_equal(some.landmarks(2), store.landmarks(SMALL))
    assert some.held.tolist() == [True, False, True]


def test_writes_a_store_that_was_read_for_some_rows(store, table, path, tmp_path):
    some = take(table, np.array([PHOTO, SMALL]))
    write(read(path, some), tmp_path / f"some{SUFFIX}")

    again = read(tmp_path / f"some{SUFFIX}", some)

    np.testing.assert_array_equal(again.cutout(0), store.cutout(PHOTO))
    np.testing.assert_array_equal(again.cutout(1), store.cutout(SMALL))


def test_a_store_that_lacks_faces_is_refused_with_the_command_that_makes_it(table, pictures, tmp_path):
    write(build(table, {SMALL: pictures[SMALL]}), tmp_path / f"few{SUFFIX}")

    with pytest.raises(DataError, match=r"lacks 3 of the 4 faces of the table; .* emotion-train crop --table .*few"):
        read(tmp_path / f"few{SUFFIX}", table)


def test_other_landmarks_are_refused(table, path):
    landmarks = table.landmarks.copy()
    landmarks[SMALL, 7, 0] += 0.01

    with pytest.raises(DataError, match="1 faces of the table have other landmarks"):
        read(path, dataclasses.replace(table, landmarks=landmarks))


def test_another_picture_than_the_measured_one_is_refused(table, pictures):
    with pytest.raises(SourceError, match="tiny/0: not the picture that was measured"):
        build(table, {SMALL: pictures[NO_FACE]})


def test_a_picture_that_cannot_be_read_is_named(table, tmp_path):
    with pytest.raises(NoInputError, match=r"gone\.png"):
        build(table, {SMALL: ImageFile(tmp_path / "gone.png")})


def test_a_table_without_any_picture_is_refused(table):
    with pytest.raises(SourceError, match="no face of the table has a picture here"):
        build(table, {})


@pytest.mark.parametrize("keep", [0, 10, 3000, -20])
def test_a_file_that_is_cut_short_is_refused(table, path, keep):
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match="not a complete crop store"):
        read(path, table)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": np.ones(9, np.float32)},
        {"pixels": np.zeros(7, np.uint8)},
        {"shape": np.full((4, 2), -1, np.int32)},
        {"shape": np.ones((4, 2), np.float64)},
        {"shape": np.int32(3)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(table, path, change):
    with np.load(path) as data:
        np.savez(path.with_name("odd.npz"), **{**data, **change})

    with pytest.raises(DataError, match="not a complete crop store"):
        read(path.with_name("odd.npz"), table)


def test_a_changed_pixel_is_noticed(store, table, path):
    data = bytearray(path.read_bytes())
    at = data.index(store.cutout(SMALL).tobytes())
    data[at + 5] ^= 1
    path.write_bytes(data)

    with pytest.raises(DataError, match="not a complete crop store"):
        read(path, table)


def test_another_version_is_refused(table, path, monkeypatch):
    monkeypatch.setattr(crops, "VERSION", 2)

    with pytest.raises(DataError, match="a store of version 1, not 2"):
        read(path, table)


def test_names_a_missing_file(table, tmp_path):
    with pytest.raises(NoInputError, match=r"none\.crops\.npz: No such file .*emotion-train crop"):
        read(tmp_path / f"none{SUFFIX}", table)


def test_its_place_follows_from_the_table_and_git_leaves_it_out():
    assert path_of(Path("model/keypoints/ferplus.parquet")) == Path("build/ferplus.crops.npz")
    ignored = (FILE.parents[4] / ".gitignore").read_text("utf-8").splitlines()
    assert {"build/", f"*{SUFFIX}*"} <= set(ignored)
