"""The LiteRT face mesh with real models and real pictures."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.camera.images import read_image
from edge.errors import ConfigError
from edge.face_mesh import open_face_mesh
from edge.face_mesh.litert import SETTLE_S, STILL_S, LiteRTFaceMesh
from edge.face_mesh.one_euro import OneEuro
from edge.face_mesh.tracking import PROBATION_S, Region
from edge.settings import MeshSettings
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.face_mesh.models import MeshModels

OUTER_EYES = [33, 263]


@pytest.fixture
def mesh(models: MeshModels) -> LiteRTFaceMesh:
    return LiteRTFaceMesh(MeshSettings(max_faces=2), models)


def eye_centre(face) -> np.ndarray:
    return face.landmarks[OUTER_EYES, :2].mean(axis=0)


def test_a_face_keeps_its_track_id_while_it_moves_and_changes(demo_readings):
    numbers = [tuple(face.track_id for face in faces) for at, faces, _ in demo_readings if at < 21]
    assert set(numbers) == {(1,)}


def test_a_face_that_returns_after_a_while_is_a_new_track(demo_readings):
    seen = [[face.track_id for face in faces] for at, faces, _ in demo_readings if at >= 20]
    assert seen[0] == [1]
    assert [] in seen
    assert seen[-1] == [2]


def test_a_short_loss_does_not_change_the_track_id(mesh, demo):
    frames = list(demo(0, 2))
    black = np.zeros_like(frames[0].rgb)
    covered = [Frame(black, f.captured_at) if 0.8 < f.captured_at < 1.2 else f for f in frames]
    seen = [[face.track_id for face in mesh.process(frame)] for frame in covered]
    assert [] in seen
    assert {number for numbers in seen for number in numbers} == {1}


def test_landmarks_move_with_the_picture(mesh, demo):
    (frame,) = demo(1.0, 1.05)
    (face,) = mesh.still(frame.rgb)
    (shifted,) = mesh.still(np.roll(frame.rgb, (24, 40), axis=(0, 1)))
    assert np.allclose(shifted.landmarks[:, :2] - face.landmarks[:, :2], [40, 24], atol=1.0)


def test_two_faces_have_two_track_ids_and_keep_them(models, demo):
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=2, search_share=1.0), models, cpu_clock=a_look_costs(0.002))
    for frame in demo(0, 3):
        pair = np.hstack([frame.rgb[:, 120:520], frame.rgb[:, 120:520]])
        faces = sorted(mesh.process(Frame(pair, frame.captured_at)), key=lambda face: eye_centre(face)[0])
        if frame.captured_at == 0:
            numbers = [face.track_id for face in faces]
    assert len(faces) == 2
    assert [face.track_id for face in faces] == numbers
    assert np.allclose(eye_centre(faces[1]) - eye_centre(faces[0]), [400, 0], atol=2.0)


def test_max_faces_limits_the_number_of_faces(models, media):
    picture = read_image(media("group.png"))
    assert len(LiteRTFaceMesh(MeshSettings(max_faces=1), models).still(picture)) == 1
    assert len(LiteRTFaceMesh(MeshSettings(max_faces=2), models).still(picture)) == 2


def test_a_false_detection_does_not_displace_a_face(models, media):
    """The second-best detection in this picture is not a face."""
    picture = read_image(media("multi_face.jpg"))
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=2), models)
    for i in range(3):
        faces = mesh.process(Frame(picture, i / 15))
    assert len(faces) == 2


def test_the_largest_face_comes_first(models, demo):
    (frame,) = demo(1.0, 1.05)
    near = frame.rgb[:, 120:520]
    far = cv2.resize(near, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    pair = np.zeros((480, 680, 3), np.uint8)
    pair[: far.shape[0], : far.shape[1]] = far
    pair[:, 280:] = near
    large, little = LiteRTFaceMesh(MeshSettings(max_faces=4), models).still(pair)
    assert np.ptp(little.landmarks[:, 1]) == pytest.approx(0.7 * np.ptp(large.landmarks[:, 1]), rel=0.05)


@pytest.mark.parametrize("name", ["cat.jpg", "cup.jpg", "free-mountain-vector-01.jpg"])
def test_no_face_in_a_cat_a_cup_or_a_mountain(mesh, media, name):
    assert mesh.still(read_image(media(name))) == ()


@pytest.mark.parametrize("name", ["group.png", "multi_face.jpg"])
def test_small_faces_are_found_where_large_ones_are_looked_for_first(models, media, name):
    found = LiteRTFaceMesh(MeshSettings(max_faces=20), models).still(read_image(media(name)))
    assert len(found) == 5


def test_a_face_in_a_picture_of_five_megapixels_is_found(models, media):
    portrait = read_image(media("anna.png"))
    face = LiteRTFaceMesh(MeshSettings(max_faces=1), models).still(portrait)[0]
    scale = 236 / float(np.ptp(face.landmarks[:, 0]))
    large = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    photo = np.full((1920, 2560, 3), 90, np.uint8)
    photo[200 : 200 + len(large), 600 : 600 + large.shape[1]] = large
    found = LiteRTFaceMesh(MeshSettings(max_faces=1), models).still(photo)
    assert np.allclose(eye_centre(found[0]), eye_centre(face) * scale + (600, 200), atol=4)


@pytest.mark.parametrize("height", [24, 32, 48, 96])
def test_a_far_face_in_a_picture_is_found(mesh, demo, height):
    rgb, place = far(demo, height)
    (face,) = mesh.still(rgb)
    assert np.allclose(face.landmarks[:, :2].mean(axis=0), place, atol=height / 8)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
@pytest.mark.parametrize("height", [20, 32, 56, 112])
def test_a_far_face_in_a_stream_is_found(models, demo, height, size):
    rgb, place = far(demo, height, size)
    mesh = LiteRTFaceMesh(MeshSettings(), models, cpu_clock=a_look_costs(0.002))
    found = [mesh.process(Frame(rgb, i / 15)) for i in range(60)]
    (face,) = found[-1]
    assert np.allclose(face.landmarks[:, :2].mean(axis=0), place, atol=height / 8)


def test_a_face_smaller_than_min_face_is_not_looked_for(models, demo):
    rgb, _ = far(demo, 40)
    mesh = LiteRTFaceMesh(MeshSettings(min_face=80, search_share=1.0), models)
    assert [mesh.process(Frame(rgb, i / 15)) for i in range(60)] == [()] * 60


def test_a_still_face_is_measured_twice_a_second_and_at_once_when_it_changes(models, demo):
    still, smile = next(demo(8.0, 8.05)).rgb, next(demo(2.0, 2.05)).rgb
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=1), models, cpu_clock=a_look_costs(0.002))
    looks = []
    landmarker = mesh.landmarker
    mesh.landmarker = lambda *args: looks.append(1) or landmarker(*args)  # type: ignore[assignment]
    seconds = 4
    for i in range(seconds * 15):
        (face,) = mesh.process(Frame(still, i / 15))
    found_and_confirmed = 2 + 4 * (1 + math.ceil(PROBATION_S * 15))
    assert len(looks) <= found_and_confirmed + math.ceil(SETTLE_S * 15) + seconds / STILL_S
    (changed,) = mesh.process(Frame(smile, seconds))
    assert not np.array_equal(changed.landmarks, face.landmarks)


def far(demo, height: int, size: tuple[int, int] = (640, 480)) -> tuple[np.ndarray, tuple[float, float]]:
    """The demo's person, `height` px from brows to chin, before a wall, and the centre of the face."""
    rgb = next(demo(1.0, 1.05)).rgb
    scale = height / 162
    person = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((size[1], size[0], 3), rgb[20, 20], np.uint8)
    x, y = round(0.6 * size[0]), round(0.3 * size[1])
    part = picture[y : y + person.shape[0], x : x + person.shape[1]]
    part[:] = person[: part.shape[0], : part.shape[1]]
    return picture, (x + 322 * scale, y + 220 * scale)


def a_look_costs(seconds: float) -> Callable[[], float]:
    """A clock of processor time that each look of the search advances by the same."""
    return itertools.count(0.0, seconds).__next__


def test_a_small_picture_is_enlarged_and_its_face_found(mesh, demo):
    (frame,) = demo(1.0, 1.05)
    (face,) = mesh.still(frame.rgb)
    low, high = face.landmarks[:, :2].min(axis=0).astype(int), face.landmarks[:, :2].max(axis=0).astype(int)
    crop = cv2.resize(frame.rgb[low[1] : high[1], low[0] : high[0]], (48, 48), interpolation=cv2.INTER_AREA)
    (small,) = mesh.still(crop)
    back = small.landmarks[:, :2] * (high - low) / 48 + low
    error = np.linalg.norm(back - face.landmarks[:, :2], axis=1) / np.linalg.norm(high - low)
    assert np.median(error) < 0.03


def test_a_single_pixel_has_no_face(mesh):
    assert mesh.still(np.zeros((1, 1, 3), np.uint8)) == ()


def test_a_file_that_is_not_a_model_is_reported(models, tmp_path):
    (tmp_path / "face_detector.tflite").write_bytes(b"not a model")
    broken = dataclasses.replace(models, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"face_detector\.tflite"):
        LiteRTFaceMesh(MeshSettings(), broken)


def test_the_wrong_model_is_rejected(models, tmp_path):
    (tmp_path / "face_detector.tflite").write_bytes(models.landmarker.read_bytes())
    with pytest.raises(ConfigError, match="not the short-range face detector"):
        LiteRTFaceMesh(MeshSettings(), dataclasses.replace(models, folder=tmp_path))


def test_the_error_for_an_unknown_backend_lists_the_known_ones(models):
    with pytest.raises(ConfigError, match="litert, mediapipe"):
        open_face_mesh(MeshSettings(backend="dlib"), models)


def noisy(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (478, 3)).astype(np.float32)


def test_smoothing_reduces_the_jitter_of_a_still_face():
    smooth = OneEuro(noisy(0), 0.0)
    values = [smooth(noisy(i), i / 30, 200.0) for i in range(1, 90)]
    assert np.std(values[-30:]) < 0.7 * np.std([noisy(i) for i in range(60, 90)])


def test_smoothing_follows_a_fast_face():
    still = np.zeros((478, 3), np.float32)
    smooth = OneEuro(still, 0.0)
    for i in range(1, 10):
        value = smooth(still + 40 * i, i / 30, 200.0)
    assert value == pytest.approx(360, abs=8)


def test_smoothing_ignores_a_frame_that_is_not_later():
    smooth = OneEuro(noisy(0), 1.0)
    assert np.array_equal(smooth(noisy(1), 1.0, 200.0), noisy(0))


def test_overlap_of_regions():
    here = Region(100, 100, 50, 0.3)
    assert here.overlap(here) == pytest.approx(1)
    assert here.overlap(dataclasses.replace(here, x=151)) == 0
    assert here.overlap(dataclasses.replace(here, x=125)) == pytest.approx(1 / 3)
