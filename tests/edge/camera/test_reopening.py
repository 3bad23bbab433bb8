from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.camera.reopening import STEADY_S, ReopeningCamera
from edge.errors import ConfigError, DataError, EdgeError, NoInputError
from edge.values import Frame
from tests.support.fake_camera import FakeCamera, Lost, Stall

if TYPE_CHECKING:
    from edge.settings import CameraSettings

    from .conftest import ManualTime

PICTURE = Frame(rgb=np.zeros((2, 2, 3), np.uint8), captured_at=0.0)


class Bench:
    """A reopening camera whose attempts to open give prepared cameras or errors, one after the other."""

    def __init__(
        self,
        world: ManualTime,
        settings: CameraSettings,
        *prepared: list[Frame | Stall | Lost | EdgeError] | EdgeError,
    ) -> None:
        self.world, self.prepared = world, list(prepared)
        self.opened_at: list[float] = []
        self.camera = ReopeningCamera(self.open, settings, name="fake", clock=world.clock, sleep=world.sleep)

    def open(self):
        self.opened_at.append(self.world.now)
        step = self.prepared.pop(0) if self.prepared else NoInputError("camera fake does not exist")
        if isinstance(step, Exception):
            raise step
        return FakeCamera(step, sleep=self.world.sleep)

    def run(self, seconds: float):
        end, frames = self.world.now + seconds, 0
        while self.world.now < end:
            if self.camera.read(0.1) is not None:
                frames += 1
                self.world.sleep(0.1)
        return frames


def test_frames_pass_through(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [PICTURE])
    assert bench.camera.read(0.1) is PICTURE


def test_a_lost_camera_is_reopened_and_delivers(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [PICTURE, Lost()], [PICTURE])
    assert bench.run(2) == 2
    assert bench.camera.reopened == 1


def test_a_silent_camera_counts_as_lost_after_stall_s(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [PICTURE, Stall(60)], [PICTURE])
    bench.run(1.9)
    assert len(bench.opened_at) == 1
    bench.run(1.0)
    assert len(bench.opened_at) == 2


def test_a_short_silence_does_not_count(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [PICTURE, Stall(1.5), PICTURE])
    assert bench.run(1.8) == 2
    assert len(bench.opened_at) == 1


def test_pauses_grow_up_to_retry_max_s(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [Lost()])
    bench.run(20)
    pauses = np.diff(bench.opened_at)
    assert pauses[:6] == pytest.approx([0.5, 1, 2, 4, 4, 4])


def test_each_attempt_and_the_success_log_one_line(
    world: ManualTime, settings: CameraSettings, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="edge.camera.reopening")
    Bench(world, settings, [PICTURE, Stall(60)], NoInputError("camera fake does not exist"), [PICTURE]).run(4.5)
    assert [record.getMessage() for record in caplog.records] == [
        "camera fake stopped delivering (no frame for 2 s); trying again in 0.5 s",
        "camera fake does not exist; trying again in 1 s",
        "camera fake is back",
    ]


def test_the_pause_is_reset_after_steady_delivery(world: ManualTime, settings: CameraSettings):
    steady = [PICTURE] * int(STEADY_S * 10 + 5)
    bench = Bench(world, settings, [Lost()], [Lost()], [Lost()], [*steady, Lost()], [PICTURE])
    bench.run(3.5 + STEADY_S + 2)
    assert np.diff(bench.opened_at)[:3] == pytest.approx([0.5, 1, 2])
    assert bench.opened_at[4] - (bench.opened_at[3] + len(steady) * 0.1) == pytest.approx(0.5)


def test_the_pause_keeps_growing_when_the_camera_only_flickers(world: ManualTime, settings: CameraSettings):
    prepared: list[list[Frame | Stall | Lost | EdgeError]] = [[PICTURE, Lost()] for _ in range(4)]
    bench = Bench(world, settings, *prepared)
    bench.run(10)
    assert np.diff(bench.opened_at)[:3] == pytest.approx([0.6, 1.1, 2.1])


def test_read_waits_no_longer_than_its_time_out_while_the_camera_is_lost(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [Lost()])
    for _ in range(50):
        before = world.now
        assert bench.camera.read(0.1) is None
        assert world.now - before <= 0.1 + 1e-9


def test_the_lost_camera_is_closed_before_the_next_is_opened(world: ManualTime, settings: CameraSettings):
    opened: list[FakeCamera] = []

    def opener() -> FakeCamera:
        assert all(camera.closed for camera in opened)
        opened.append(FakeCamera([Lost()], sleep=world.sleep))
        return opened[-1]

    camera = ReopeningCamera(opener, settings, name="fake", clock=world.clock, sleep=world.sleep)
    while len(opened) < 3:
        camera.read(0.1)


def test_an_error_of_the_first_opening_is_raised(world: ManualTime, settings: CameraSettings):
    with pytest.raises(NoInputError):
        Bench(world, settings, NoInputError("camera fake does not exist"))


def test_wrong_settings_are_not_retried(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [Lost()], ConfigError("unknown camera source 'x'"))
    with pytest.raises(ConfigError):
        bench.run(5)


def test_damaged_data_are_not_retried(world: ManualTime, settings: CameraSettings):
    bench = Bench(world, settings, [DataError("a.mp4 is damaged")])
    with pytest.raises(DataError):
        bench.camera.read(0.1)
