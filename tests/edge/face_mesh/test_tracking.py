"""Who passes, hides or turns keeps a number; a cut ends them all."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera.images import read_image
from edge.face_mesh.assignment import assign
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.face_mesh.tracking import MEMORY_S, PROBATION_S, Region, Sighting, Tracker, look, look_distance
from edge.settings import MeshSettings
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.face_mesh.models import MeshModels

FPS = 15
RNG = np.random.default_rng(1)
LOOKS = [v / np.linalg.norm(v) for v in RNG.normal(0, 1, (4, 192)).astype(np.float32)]


# The assignment.


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_the_assignment_has_the_least_cost_of_all(rows: int, columns: int, data: st.DataObject):
    numbers = st.floats(-100, 100, allow_subnormal=False)
    costs = np.array(
        data.draw(st.lists(st.lists(numbers, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    )
    found = assign(costs)
    used = [column for column in found if column is not None]
    assert len(used) == len(set(used)) == min(rows, columns)
    table = costs if rows <= columns else costs.T
    least = min(
        sum(table[i, j] for i, j in enumerate(order))
        for order in itertools.permutations(range(table.shape[1]), table.shape[0])
    )
    assert sum(costs[i, j] for i, j in enumerate(found) if j is not None) == pytest.approx(least)


# Numbers, from places, motion and looks alone.


def sighting(x: float, who: int = 0, *, size: float = 100.0, track: int | None = None) -> Sighting:
    return Sighting(Region(x, 200.0, size, 0.0), LOOKS[who], track)


class Room:
    """A tracker, and time that passes at 15 frames/s."""

    def __init__(self) -> None:
        self.tracker = Tracker()
        self.frame = 0

    def see(self, *sightings: Sighting) -> list[int]:
        self.frame += 1
        return self.tracker.step(sightings, self.frame / FPS)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * FPS)):
            self.see()

    def stay(self, seconds: float, x: float, who: int = 0) -> int:
        for _ in range(round(seconds * FPS)):
            (number,) = self.see(sighting(x, who))
        return number


def test_a_face_that_was_hidden_for_a_second_and_a_half_is_the_same():
    room = Room()
    assert room.stay(1, 100) == 1
    room.wait(1.5)
    assert room.see(sighting(110)) == [1]


def test_a_face_that_returns_later_is_another():
    room = Room()
    room.stay(1, 100)
    room.wait(MEMORY_S + 0.1)
    assert room.see(sighting(100)) == [2]


def test_a_face_that_appears_far_away_is_another():
    room = Room()
    room.stay(1, 100)
    room.see()
    assert room.see(sighting(500)) == [2]


def test_another_person_at_the_same_place_is_another():
    room = Room()
    room.stay(1, 100)
    room.wait(0.5)
    assert room.see(sighting(100, who=1)) == [2]


def test_a_lost_face_of_another_size_is_another():
    room = Room()
    room.stay(1, 100)
    room.see()
    assert room.see(sighting(100, size=40)) == [2]


def test_a_face_that_is_lost_at_once_is_not_remembered():
    room = Room()
    room.stay(PROBATION_S / 2, 100)
    room.see()
    assert room.see(sighting(100)) == [2]


def test_a_face_that_walks_on_while_hidden_is_expected_ahead():
    room = Room()
    for i in range(FPS):
        room.see(sighting(100 + 10 * i))
    room.wait(0.6)
    expected = room.tracker.tracks()[0].expected((room.frame + 1) / FPS)
    assert expected.x == pytest.approx(100 + 10 * (FPS + 9), abs=15)
    assert room.see(sighting(expected.x)) == [1]


def test_two_who_pass_each_other_keep_their_numbers_though_one_is_hidden_in_between():
    room = Room()
    for i in range(40):
        a, b = 100 + 10 * i, 490 - 10 * i
        if abs(a - b) > 60:
            numbers = room.see(sighting(a, 0), sighting(b, 1))
        else:
            room.see(sighting(a, 0))
    assert numbers == [1, 2]


def test_numbers_are_never_used_again():
    room = Room()
    seen = set()
    for who in (0, 1, 2, 3):
        seen.add(room.stay(0.5, 100 + 150 * who, who))
        room.wait(MEMORY_S + 1)
    assert seen == {1, 2, 3, 4}


# Pictures.


def test_looks_tell_faces_apart_and_know_them_again_in_other_light(models, media):
    rgb = read_image(media("multi_face.jpg"))
    faces = LiteRTFaceMesh(MeshSettings(max_faces=5), models).still(rgb)
    regions = [Region.of_landmarks(face.landmarks) for face in faces]
    darker = (rgb * 0.6).astype(np.uint8)
    for one in regions:
        same = look_distance(look(rgb, one), look(darker, replace(one, x=one.x + one.size / 30)))
        assert same < min(look_distance(look(rgb, one), look(rgb, other)) for other in regions if other is not one)


def people(models: MeshModels, media: Callable[[str], Path], names: tuple[str, str]) -> list[tuple[np.ndarray, ...]]:
    """For each picture: its face, 100 px high, float32[H, W, 3], its opacity, 0..1, and its centre."""
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=1), models)
    cut = []
    for name in names:
        rgb = read_image(media(name))
        points = mesh.still(rgb)[0].landmarks[:, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        middle, half = (low + high) / 2, (high - low) * (0.68, 0.66)
        opacity = np.zeros(rgb.shape[:2], np.float32)
        cv2.ellipse(opacity, middle.astype(int).tolist(), half.astype(int).tolist(), 0, 0, 360, 1, -1)
        scale = 100 / (high - low)[1]
        resized = (cv2.resize(each, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for each in (rgb, opacity))
        cut.append((*resized, middle * scale))
    return cut


def paste(rgb: np.ndarray, person: tuple[np.ndarray, ...], x: float, y: float) -> np.ndarray:
    picture, opacity, middle = person
    move = np.array([[1, 0, x - middle[0]], [0, 1, y - middle[1]]])
    size = rgb.shape[1], rgb.shape[0]
    face, share = cv2.warpAffine(picture, move, size), cv2.warpAffine(opacity, move, size)[..., None]
    return (rgb * (1 - share) + face * share).astype(np.uint8)


PAIRS = [("anna.png", "ben.png"), ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg"), ("15-f13-anc-ph.jpg", "0-f1-su-ph.jpg")]


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
@pytest.mark.parametrize("seconds", [2.0, 4.0])
def test_people_who_pass_in_front_of_each_other_keep_their_numbers(models, media, demo, names, seconds):
    wall = cv2.GaussianBlur(next(demo(23.6, 23.65)).rgb, (0, 0), 3)
    near, behind = people(models, media, names)
    mesh = LiteRTFaceMesh(MeshSettings(), models, cpu_clock=itertools.count(0.0, 0.002).__next__)
    numbers: list[dict[str, int]] = []
    for i in range(round((seconds + 3) * FPS)):
        way = (1 - math.cos(math.pi * min(max(i / FPS - 1, 0) / seconds, 1))) / 2
        at = {"near": 100 + 440 * way, "behind": 540 - 440 * way}
        rgb = paste(paste(wall, behind, at["behind"], 240), near, at["near"], 240)
        seen = {}
        for face in mesh.process(Frame(rgb, i / FPS)):
            x = float(face.landmarks[:, 0].mean())
            seen[min(at, key=lambda who: abs(at[who] - x))] = face.track_id
        numbers.append(seen)
    assert len(numbers[FPS - 1]) == 2
    assert numbers[-1] == numbers[FPS - 1]


@pytest.mark.parametrize(
    "names",
    [
        ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg", "15-f13-anc-ph.jpg"),
        ("multi_face.jpg", "anna.png", "0-f1-su-ph.jpg"),
        ("anna.png", "ben.png", "cleo.png"),
    ],
    ids=["alike", "different", "free"],
)
def test_a_cut_to_another_face_gives_another_number(models, media, names):
    pictures = [read_image(media(name)) for name in names]
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=1), models, cpu_clock=itertools.count(0.0, 0.002).__next__)
    numbers: list[set[int]] = [set() for _ in names]
    for i in range(len(names) * 45):
        for face in mesh.process(Frame(pictures[i // 45], i / FPS)):
            numbers[i // 45].add(face.track_id)
    assert all(numbers)
    assert not any(one & other for one, other in itertools.combinations(numbers, 2))
