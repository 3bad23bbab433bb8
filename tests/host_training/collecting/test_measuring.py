"""What is measured of a picture, on the photograph of the demo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.demo.camera import DemoCamera
from edge.camera.demo.face import Expression
from edge.camera.demo.portrait import Portrait, Pose
from edge.face_mesh import open_face_mesh
from edge.settings import CameraSettings, MeshSettings
from host_training.collecting.measuring import (
    BRIGHT,
    DIM,
    FRONTAL,
    LIGHT_NAMES,
    MAX_FACES,
    NO_FACE,
    POSE_NAMES,
    SEVERAL_FACES,
    SIDEWAYS,
    UP_OR_DOWN,
    Conditions,
    measure,
)
from host_training.collecting.samples import Measured, Sample, Take, table_of
from host_training.data import crops as stores
from host_training.data.conditions import light
from host_training.data.source import Pixels, fingerprint
from tests.support import portraits

pytest_plugins = ["tests.support.people"]


@pytest.fixture(scope="module")
def mesh():
    return open_face_mesh(MeshSettings(max_faces=MAX_FACES), portraits.mesh_models())


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    """uint8[480, 640, 3]: a frame of the demo."""
    return DemoCamera(CameraSettings(width=640, height=480)).draw(1.0)


@pytest.fixture(scope="module")
def measured(mesh, demo) -> Measured:
    found = measure(mesh, demo)
    assert isinstance(found, Measured)
    return found


def test_it_is_what_import_measures_but_for_the_place_in_the_picture(measured, demo):
    (face,) = open_face_mesh(MeshSettings(max_faces=1), portraits.mesh_models()).still(demo)
    moved = face.landmarks - measured.landmarks

    assert np.ptp(moved, axis=0).max() < 1e-3
    np.testing.assert_allclose(moved[0], np.rint(moved[0]), atol=1e-3)
    assert measured.presence == face.presence
    assert (measured.brightness, measured.sharpness) == tuple(map(float, light(demo, face.landmarks)))
    left, top, _ = np.rint(moved[0]).astype(int)
    height, width, _ = measured.picture.shape
    np.testing.assert_array_equal(measured.picture, demo[top : top + height, left : left + width])
    assert measured.group == fingerprint(measured.picture)
    assert width < 640


@pytest.mark.parametrize("yaw", [0.0, 0.7, -0.7])
def test_the_part_round_the_face_is_enough_to_cut_it_out(mesh, yaw):
    frame = Portrait(640, 480).draw(Pose(yaw=yaw), Expression())
    part, (whole,) = measure(mesh, frame), mesh.still(frame)
    assert isinstance(part, Measured)
    cuts = []
    for landmarks, picture in ((whole.landmarks, frame), (part.landmarks, part.picture)):
        row = Sample(Take("p", "s", 1, 0), 1, int(fingerprint(picture)), 1.0, 0.5, 0.5, landmarks)
        cuts.append(stores.build(table_of([row], {}), {0: Pixels(picture)}).cutout(0))
    assert cuts[0].shape == cuts[1].shape
    assert np.abs(cuts[0].astype(int) - cuts[1]).max() <= 1


def test_a_face_at_the_edge_of_the_picture_is_measured_on_what_is_there(mesh, demo):
    found = measure(mesh, np.ascontiguousarray(demo[150:]))
    assert isinstance(found, Measured)
    assert found.picture.size


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_reports_a_missing_face(mesh, shade):
    assert measure(mesh, np.full((480, 640, 3), shade, np.uint8)) == NO_FACE


def test_reports_a_second_face(mesh, demo):
    assert measure(mesh, np.hstack([demo[:, 100:-100], demo[:, 100:-100]])) == SEVERAL_FACES


@pytest.mark.parametrize(
    ("axis", "degrees", "name"),
    [
        ((0, 1, 0), 0, FRONTAL),
        ((0, 1, 0), 10, FRONTAL),
        ((0, 1, 0), 20, SIDEWAYS),
        ((0, 1, 0), -20, SIDEWAYS),
        ((1, 0, 0), 20, UP_OR_DOWN),
        ((1, 0, 0), -20, UP_OR_DOWN),
        ((0, 0, 1), 40, FRONTAL),
    ],
)
def test_a_pose_has_its_name(conditions: Conditions, axis: tuple[int, int, int], degrees: float, name: str):
    turned, _ = cv2.Rodrigues(np.radians(degrees) * np.array(axis, np.float64))
    landmarks = (portraits.portrait()[1] @ turned.T).astype(np.float32)
    assert POSE_NAMES[conditions.poses(landmarks[None])[0]] == name


def test_light_has_its_name(mesh, conditions: Conditions, demo):
    dark = cv2.convertScaleAbs(demo, alpha=0.4)
    names = []
    for picture in (demo, dark):
        found = measure(mesh, np.asarray(picture, np.uint8))
        assert isinstance(found, Measured)
        names.append(LIGHT_NAMES[conditions.lights(np.array([found.brightness], np.float32))[0]])
    assert names == [BRIGHT, DIM]
