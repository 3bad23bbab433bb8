from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import DataError, NoInputError
from edge.face_mesh import open_face_mesh
from edge.settings import MeshSettings
from host_training.data.distortions import height_of
from host_training.evaluation import scenes
from host_training.evaluation.scenes import FADE, PHOTOGRAPHS, cutout, fitted
from tests.support.portraits import FILE, mesh_models, scaled

LEVEL = 100
SIZE = (640, 480)


@pytest.fixture(scope="module")
def mesh():
    return open_face_mesh(MeshSettings(), mesh_models())


@pytest.fixture
def plain():
    return np.full((SIZE[1], SIZE[0]), LEVEL, np.uint8)


def test_the_scenes_that_come_along_are_photographs_without_faces(mesh):
    found = scenes.load(None, mesh)

    assert tuple(found) == PHOTOGRAPHS
    for scene in found.values():
        assert scene.ndim == 2
        assert scene.std() > 20
        assert mesh.still(cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB)) == ()


def test_a_folder_of_scenes_is_read(mesh, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((300, 400, 3), LEVEL, np.uint8))

    (name,) = found = scenes.load(tmp_path, mesh)

    assert name == "wall.png"
    assert found[name].shape == (300, 400)


def test_a_scene_with_a_face_is_refused(mesh, tmp_path):
    (tmp_path / "person.jpg").write_bytes(FILE.read_bytes())

    with pytest.raises(DataError, match=r"person\.jpg: has a face; scenes must have none"):
        scenes.load(tmp_path, mesh)


def test_a_folder_without_pictures_is_refused(mesh, tmp_path):
    with pytest.raises(NoInputError, match="has no pictures"):
        scenes.load(tmp_path, mesh)


@pytest.mark.parametrize("shape", [(427, 640), (100, 50), (2000, 3000)])
def test_a_scene_fills_the_picture_undistorted(shape):
    scene = np.zeros(shape, np.uint8)
    cv2.circle(scene, (shape[1] // 2, shape[0] // 2), min(shape) // 4, 255, -1)

    picture = fitted(scene, SIZE)

    assert picture.shape == (480, 640)
    rows, columns = np.flatnonzero(picture.max(axis=1) > 127), np.flatnonzero(picture.max(axis=0) > 127)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=3)
    assert (rows.mean(), columns.mean()) == (pytest.approx(240, abs=8), pytest.approx(320, abs=8))


@pytest.mark.parametrize("height", [16, 24, 47, 96, 240])
def test_a_face_is_pasted_at_its_height_and_place(height, plain):
    grey, landmarks = scaled(48, grey=True)

    picture, points = cutout(grey, landmarks, height).pasted(plain, (320, 240))

    assert height_of(points) == pytest.approx(height, abs=0.02 * height + 0.5)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    assert (low + high) / 2 == pytest.approx([320, 240], abs=0.51)
    changed = np.argwhere(picture != LEVEL)
    assert (changed.min(axis=0) < low[::-1]).all()
    assert (changed.max(axis=0) > high[::-1]).all()


def test_the_mesh_finds_the_landmarks_where_they_are_said_to_be(mesh, plain):
    grey, landmarks = scaled(120, grey=True)

    picture, points = cutout(grey, landmarks, 200).pasted(plain, (300, 250))

    (face,) = mesh.still(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
    assert np.abs(face.landmarks[:, :2] - points[:, :2]).mean() < 0.02 * 200


def test_inside_its_own_picture_the_face_is_unchanged_and_outside_it_fades():
    grey, landmarks = scaled(48, grey=True)
    border = round(FADE * 48)
    one = cutout(grey, landmarks, height_of(landmarks))

    inner = one.values[border:-border, border:-border]
    assert (inner == grey).all()
    assert (one.cover[border:-border, border:-border] == 1).all()
    assert one.cover[0].max() < 0.1
    middle = one.cover[: border + 1, one.cover.shape[1] // 2]
    assert (np.diff(middle) > 0).all()


@pytest.mark.parametrize("place", [(0, 0), (639, 479), (-500, 100), (5000, 5000), (320, -400)])
def test_beyond_the_edge_of_the_scene_nothing_is_pasted(place, plain):
    grey, landmarks = scaled(48, grey=True)

    picture, points = cutout(grey, landmarks, 100).pasted(plain, place)

    assert picture.shape == plain.shape
    assert points[:, :2].mean(axis=0) == pytest.approx(place, abs=30)
    assert (plain == LEVEL).all()
    assert (picture != LEVEL).any() == (place in {(0, 0), (639, 479)})
