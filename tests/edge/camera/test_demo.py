from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.camera.demo import portrait as demo_portrait
from edge.camera.demo.camera import DemoCamera
from edge.camera.demo.face import Expression
from edge.camera.demo.portrait import Portrait, Pose
from edge.camera.demo.script import ANGRY, HAPPY, LOOP_S, NEUTRAL, SAD, SURPRISED, expression_at, pose_at
from edge.errors import UnavailableError
from edge.settings import CameraSettings

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import ManualTime

AWAY_S = 24.0


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait(640, 480)


def test_frames_have_the_size_of_the_settings(settings: CameraSettings):
    frame = DemoCamera(settings).read(1.0)
    assert frame.rgb.shape == (48, 64, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.faces is None


@pytest.mark.parametrize(("size", "degrees"), [((640, 480), 62.3), ((1280, 720), 77.8)])
def test_it_has_the_field_of_view_of_camera_module_2(settings: CameraSettings, size: tuple[int, int], degrees: float):
    # By hand: 2 atan(tan(48.8 / 2) * width / height). A wider frame shows more at the sides, and no larger person.
    camera = DemoCamera(replace(settings, width=size[0], height=size[1]))
    assert camera.read(1.0).field_of_view == pytest.approx(degrees, abs=0.1)


def test_it_is_paced_at_the_settings_rate(settings: CameraSettings, world: ManualTime):
    camera = DemoCamera(settings, clock=world.clock, sleep=world.sleep)
    times = [camera.read(1.0).captured_at for _ in range(4)]
    assert np.diff(times) == pytest.approx(0.1)


def test_read_waits_no_longer_than_its_time_out(settings: CameraSettings, world: ManualTime):
    camera = DemoCamera(settings, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    assert camera.read(0.03) is None
    assert world.now == pytest.approx(1000.03)


def test_a_slow_reader_gets_the_current_frame(settings: CameraSettings, world: ManualTime):
    camera = DemoCamera(settings, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    world.now += 5
    assert camera.read(1.0).captured_at == world.now
    assert camera.read(0.01) is None


def test_drawing_is_deterministic():
    settings = CameraSettings()
    np.testing.assert_array_equal(DemoCamera(settings).draw(8.3), DemoCamera(settings).draw(8.3))


def test_a_drawing_does_not_depend_on_earlier_ones(portrait: Portrait):
    first = portrait.draw(Pose(), Expression())
    portrait.draw(Pose(x=0.3, yaw=0.3), Expression(jaw_drop=1, brows_up=1))
    np.testing.assert_array_equal(portrait.draw(Pose(), Expression()), first)


def test_the_loop_is_seamless():
    camera = DemoCamera(CameraSettings())
    before, after = camera.draw(LOOP_S - 0.01), camera.draw(0.01)
    assert np.abs(before.astype(int) - after).mean() < 1


def test_the_person_leaves_and_comes_back(portrait: Portrait):
    empty = portrait.draw(Pose(x=-9), Expression())
    camera = DemoCamera(CameraSettings())
    np.testing.assert_array_equal(camera.draw(AWAY_S), empty)
    assert np.abs(camera.draw(LOOP_S).astype(int) - empty).mean() > 20


def test_the_person_never_jumps_while_in_view():
    times = np.arange(0, LOOP_S, 0.02)
    xs = np.array([pose_at(t).x for t in times])
    jumps = np.flatnonzero(np.abs(np.diff(xs)) > 0.05)
    assert len(jumps) == 1  # from beyond the right edge to beyond the left one
    assert xs[jumps[0]] > 1.5
    assert xs[jumps[0] + 1] < -0.5


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (2.5, HAPPY),
        (6.0, NEUTRAL),
        (9.0, SURPRISED),
        (11.5, NEUTRAL),
        (14.0, SAD),
        (15.6, NEUTRAL),
        (18.0, ANGRY),
        (20.0, HAPPY),
    ],
)
def test_each_expression_has_its_time(t: float, expected: Expression):
    assert expression_at(t) == expression_at(t + LOOP_S) == expected


def test_expressions_form_gradually():
    steps = [expression_at(t).jaw_drop for t in np.arange(6.9, 7.6, 1 / 15)]
    assert max(np.diff(steps)) < 0.4
    assert steps[-1] == 1


@pytest.mark.parametrize("movement", [f for f in Expression.__dataclass_fields__ if f != "close"])
def test_each_movement_changes_only_the_face(portrait: Portrait, movement: str):
    smile = portrait.draw(Pose(), Expression()).astype(int)
    moved = portrait.draw(Pose(), replace(Expression(), **{movement: 1.0}))
    change = np.abs(moved - smile).max(axis=2)
    face = np.zeros_like(change, dtype=bool)
    face[120:345, 230:425] = True
    assert change[face].max() > 40
    assert change[~face].max() <= 2


def test_the_closed_lips_cover_the_teeth(portrait: Portrait):
    def whitest(expression: Expression) -> int:
        mouth = portrait.draw(Pose(), expression)[235:265, 305:335].astype(int)
        return int((2 * mouth[..., 2] - mouth[..., 0]).max())

    assert whitest(Expression()) > whitest(Expression(relax=1, close=1)) + 25


def test_a_missing_picture_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(demo_portrait, "ASSETS", tmp_path)
    with pytest.raises(UnavailableError, match=r"demo-portrait\.jpg is missing: install emotion-edge again"):
        Portrait(64, 48)
