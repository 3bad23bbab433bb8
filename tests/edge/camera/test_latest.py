from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.camera import latest
from edge.camera.latest import LatestFrame
from edge.errors import CameraLostError, UnavailableError
from edge.settings import CameraSettings
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable


class Driver:
    """A device whose frames come from the test."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error = error
        self.frames: list[Frame | None] = []
        self.more = threading.Semaphore(0)
        self.released = threading.Event()

    def push(self, number: float | None):
        self.frames.append(None if number is None else Frame(rgb=np.zeros((2, 1, 3), np.uint8), captured_at=number))
        self.more.release()

    def open(self):
        if self.error:
            raise self.error

    def grab(self):
        self.more.acquire()
        return self.frames.pop(0)

    def release(self):
        self.released.set()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latest, "CLOSE_TIMEOUT_S", 0.05)
    driver = Driver()
    driver.push(0)
    return driver


@pytest.fixture
def frames(driver: Driver):
    frames = LatestFrame(driver, CameraSettings(), name="test", open_timeout_s=30)
    yield frames
    driver.push(None)
    frames.close()


def wait_for(condition: Callable[[], bool]):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_opening_waits_for_the_first_frame(frames: LatestFrame):
    assert frames.read(0).captured_at == 0


def test_the_latest_frame_wins_and_the_others_are_counted(frames: LatestFrame, driver: Driver):
    for number in (1, 2, 3):
        driver.push(number)
    wait_for(lambda: frames.dropped == 3)
    assert frames.read(0).captured_at == 3
    assert frames.read(0) is None


def test_no_frame_is_returned_twice(frames: LatestFrame):
    frames.read(0)
    assert frames.read(0.01) is None


def test_an_upright_frame_is_passed_on_unchanged(frames: LatestFrame, driver: Driver):
    frame = Frame(rgb=np.zeros((2, 1, 3), np.uint8), captured_at=1)
    driver.frames.append(frame)
    driver.more.release()
    wait_for(lambda: frames.dropped == 1)
    assert frames.read(0) is frame


def test_a_frame_is_turned_when_it_is_read(driver: Driver):
    driver.push(1)
    frames = LatestFrame(driver, CameraSettings(rotation=90), name="test", open_timeout_s=30)
    wait_for(lambda: frames.dropped == 1)
    frame = frames.read(0)
    assert frame.captured_at == 1
    assert frame.rgb.shape == (1, 2, 3)
    driver.push(None)
    frames.close()


def test_a_driver_that_hangs_does_not_hang_the_reader(frames: LatestFrame):
    frames.read(0)
    before = time.monotonic()
    assert frames.read(0.05) is None
    frames.close()
    assert time.monotonic() - before < 15, "read and close return"


def test_a_driver_that_fails_means_a_lost_camera(frames: LatestFrame, driver: Driver):
    frames.read(0)
    driver.push(None)
    with pytest.raises(CameraLostError, match="camera test stopped delivering"):
        frames.read(30)
    assert driver.released.wait(30)


def test_any_exception_of_a_driver_becomes_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latest, "CLOSE_TIMEOUT_S", 1.0)
    with pytest.raises(CameraLostError, match="camera test failed: no such register"):
        LatestFrame(Driver(error=RuntimeError("no such\nregister")), CameraSettings(), name="test", open_timeout_s=30)


def test_an_edge_error_of_a_driver_is_raised_unchanged():
    with pytest.raises(UnavailableError, match="busy"):
        LatestFrame(Driver(error=UnavailableError("busy")), CameraSettings(), name="test", open_timeout_s=30)


def test_a_device_that_opens_but_delivers_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latest, "CLOSE_TIMEOUT_S", 0.05)
    dark = Driver()
    with pytest.raises(CameraLostError, match=r"opened but delivered no frame within 0\.05 s"):
        LatestFrame(dark, CameraSettings(), name="test", open_timeout_s=0.05)
    dark.push(None)  # ends its thread


def test_closing_releases_the_device(driver: Driver):
    frames = LatestFrame(driver, CameraSettings(), name="test", open_timeout_s=30)
    driver.push(1)
    threading.Timer(0.01, driver.push, [2]).start()
    frames.close()
    assert driver.released.wait(30)
