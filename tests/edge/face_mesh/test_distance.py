"""Position and distance of faces whose place in space is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.face_mesh.distance import EYE_CORNERS, FORGET_S, PUPILS, PUPILS_M, SMOOTHING_S, Places, distance_m, place_of
from edge.values import LANDMARKS, Face

SIZE = 640, 480
VIEW = 62.2
FOCAL_PX = 320 / math.tan(math.radians(VIEW / 2))


def landmarks(
    metres: float, *, yaw: float = 0.0, across: float = 0.0, down: float = 0.0, focal_px: float = FOCAL_PX
) -> np.ndarray:
    """The eyes of a head, seen by a pinhole camera, with the depth that the face mesh gives.

    Args:
        metres: from the camera to the middle between the pupils.
        yaw: rad, by which the head is turned away from the camera.
        across: rad, by which it is to the right of the optical axis.
        down: rad, below it.
        focal_px: focal length of the camera.
    """
    eyes = np.zeros((4, 3))
    eyes[:, 0] = np.array([-1, 1, -1.42, 1.42]) * PUPILS_M / 2  # pupils, then corners
    ray = np.array([math.tan(across), math.tan(down), 1.0])
    ray /= np.linalg.norm(ray)
    right = np.cross([0, 1, 0], ray)
    right /= np.linalg.norm(right)
    space = eyes[:, :1] * (math.cos(yaw) * right + math.sin(yaw) * ray) + ray * metres
    points = np.zeros((LANDMARKS, 3), np.float32)
    x, y = ray[:2] / ray[2] * focal_px + np.array(SIZE) / 2
    points[:] = x, y, 0
    where = [*PUPILS, *EYE_CORNERS]
    points[where, :2] = space[:, :2] / space[:, 2:] * focal_px + np.array(SIZE) / 2
    points[where, 2] = eyes[:, 0] * math.sin(yaw) * focal_px / metres
    return points


@pytest.mark.parametrize("metres", [0.3, 1.0, 5.0])
def test_the_distance_follows_from_the_pupils(metres):
    assert distance_m(landmarks(metres), SIZE, VIEW) == pytest.approx(metres, rel=1e-3)


@pytest.mark.parametrize("yaw", [-50, -20, 20, 50])
def test_a_turned_face_is_not_farther_away(yaw):
    assert distance_m(landmarks(2.0, yaw=math.radians(yaw)), SIZE, VIEW) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(("across", "down"), [(0.45, 0.0), (0.0, -0.35), (-0.45, 0.35)])
def test_a_face_at_the_edge_of_the_picture_is_not_nearer(across, down):
    assert distance_m(landmarks(2.0, across=across, down=down), SIZE, VIEW) == pytest.approx(2.0, rel=0.01)


def test_a_wide_lens_shows_the_same_distance():
    focal_px = 320 / math.tan(math.radians(51))
    found = distance_m(landmarks(1.5, across=0.7, focal_px=focal_px), SIZE, 102.0)
    assert found == pytest.approx(1.5, rel=0.01)


def test_a_face_in_profile_has_no_distance():
    assert distance_m(landmarks(2.0, yaw=math.radians(75)), SIZE, VIEW) is None


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_landmarks_without_eyes_have_no_distance(value):
    points = np.full((LANDMARKS, 3), value, np.float32)
    assert (place_of(points, SIZE, VIEW) or place_of(landmarks(1.0), SIZE, None)).distance_m is None


@pytest.mark.parametrize("depth", [np.nan, np.inf])
def test_a_depth_that_is_not_finite_spoils_one_frame_only(depth):
    places, broken = Places(), face(1.0)
    broken.landmarks[EYE_CORNERS[0], 2] = depth
    found = [places([each], SIZE, VIEW, now)[0] for now, each in enumerate((broken, face(1.0)))]
    assert [place.distance_m for place in found] == [None, pytest.approx(1.0, rel=1e-3)]


def test_the_position_is_the_centre_of_the_face():
    points = np.zeros((LANDMARKS, 3), np.float32)
    points[:, :2] = 100, 300
    points[0, :2] = 140, 340
    place = place_of(points, SIZE, None)
    assert (place.x, place.y, place.distance_m) == (120 / 640, 320 / 480, None)


def test_a_face_that_leaves_the_picture_stays_at_its_edge():
    points = landmarks(1.0) + np.array([900, -900, 0], np.float32)
    place = place_of(points, SIZE, VIEW)
    assert (place.x, place.y) == (1.0, 0.0)


def test_without_a_size_there_is_no_place():
    assert place_of(landmarks(1.0), (0, 0), VIEW) is None


def face(metres: float, track: int = 1, yaw: float = 0.0) -> Face:
    return Face(track, landmarks(metres, yaw=yaw), 1.0)


def test_the_first_distance_counts_in_full_and_later_ones_are_smoothed():
    places = Places()
    (first,) = places([face(1.0)], SIZE, VIEW, 10.0)
    (later,) = places([face(2.0)], SIZE, VIEW, 10.0 + SMOOTHING_S)
    assert first.distance_m == pytest.approx(1.0, rel=1e-3)
    assert later.distance_m == pytest.approx(2.0 - math.exp(-1), rel=1e-3)


@pytest.mark.parametrize("fps", [5, 30])
def test_smoothing_does_not_depend_on_the_frame_rate(fps):
    places = Places()
    places([face(1.0)], SIZE, VIEW, 0.0)
    for i in range(1, fps + 1):
        (place,) = places([face(2.0)], SIZE, VIEW, i / fps)
    assert place.distance_m == pytest.approx(2.0 - math.exp(-1 / SMOOTHING_S), rel=1e-3)


def test_each_face_has_a_distance_of_its_own():
    places = Places()
    for now in (0.0, 0.1):
        near, far = places([face(1.0, 1), face(3.0, 2)], SIZE, VIEW, now)
    assert [near.distance_m, far.distance_m] == pytest.approx([1.0, 3.0], rel=1e-3)


def test_a_face_that_turns_away_keeps_its_distance_for_a_while():
    places = Places()
    away = face(1.0, yaw=math.radians(80))
    places([face(1.0)], SIZE, VIEW, 0.0)
    (kept,) = places([away], SIZE, VIEW, 1.0)
    (forgotten,) = places([away], SIZE, VIEW, FORGET_S + 0.1)
    assert kept.distance_m == pytest.approx(1.0, rel=1e-3)
    assert forgotten.distance_m is None


def test_time_that_stands_still_changes_nothing():
    places = Places()
    before = places([face(1.0)], SIZE, VIEW, 1.0)
    after = places([face(5.0)], SIZE, VIEW, 1.0)
    assert after[0].distance_m == pytest.approx(before[0].distance_m)
