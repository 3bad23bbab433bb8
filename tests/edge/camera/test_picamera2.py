"""What can be shown without a Pi camera: the conversions, and a stand-in for the library."""

from __future__ import annotations

import itertools
import sys
import time
import types
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge.camera import picamera2
from edge.camera.picamera2 import Picamera2Camera, packed_to_rgb, planar_to_rgb
from edge.errors import UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.settings import CameraSettings

RGB = np.zeros((48, 64, 3), np.uint8)
RGB[:, :32] = (200, 40, 90)
RGB[:, 32:] = (20, 160, 60)


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        # Names of the Picamera2 Manual, appendix A: RGB888 lies in memory as B, G, R.
        ("BGR888", RGB),
        ("RGB888", RGB[..., ::-1]),
        ("XBGR8888", np.dstack([RGB, np.full((48, 64), 255, np.uint8)])),
        ("XRGB8888", np.dstack([RGB[..., ::-1], np.full((48, 64), 255, np.uint8)])),
    ],
)
def test_packed_formats(name: str, picture: NDArray[np.uint8]):
    np.testing.assert_array_equal(packed_to_rgb(np.ascontiguousarray(picture), name), RGB)


def test_the_picture_does_not_share_the_cameras_memory():
    buffer = RGB.copy()
    rgb = packed_to_rgb(buffer, "BGR888")
    buffer[:] = 0
    np.testing.assert_array_equal(rgb, RGB)


def i420() -> np.ndarray:
    return cv2.cvtColor(RGB, cv2.COLOR_RGB2YUV_I420)


def test_yuv420():
    rgb = planar_to_rgb(i420().reshape(-1), "YUV420", (64, 48), 64)
    assert np.abs(rgb.astype(int) - RGB).max() <= 4


def test_yuv420_with_padded_rows():
    planes = i420().reshape(-1)
    y, u, v = planes[:3072].reshape(48, 64), planes[3072:3840].reshape(24, 32), planes[3840:].reshape(24, 32)
    padded = np.concatenate(
        [np.pad(plane, ((0, 0), (0, pad))).reshape(-1) for plane, pad in ((y, 64), (u, 32), (v, 32))]
    )
    rgb = planar_to_rgb(padded, "YUV420", (64, 48), 128)
    assert rgb.shape == RGB.shape
    assert np.abs(rgb.astype(int) - RGB).max() <= 4


def test_nv12():
    planes = i420().reshape(-1)
    chroma = np.stack([planes[3072:3840], planes[3840:]], axis=-1).reshape(-1)
    rgb = planar_to_rgb(np.concatenate([planes[:3072], chroma]), "NV12", (64, 48), 64)
    assert np.abs(rgb.astype(int) - RGB).max() <= 4


class StandIn:
    """As much of picamera2.Picamera2 as is used, after its manual."""

    cameras = ({"Model": "imx708"},)
    main = {"format": "BGR888", "size": (64, 48), "stride": 192}  # noqa: RUF012 - a constant of the test
    taken_ns: int | None = None
    released = 0

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False

    @classmethod
    def global_camera_info(cls) -> list[dict[str, str]]:
        return list(cls.cameras)

    def create_video_configuration(self, **wanted: Any):
        return wanted

    def configure(self, wanted: dict[str, Any]):
        self.wanted = wanted

    def start(self):
        assert self.wanted["main"]["format"] == "BGR888"

    def camera_configuration(self):
        return {"main": self.main}

    def capture_request(self):
        time.sleep(0.005)
        return self

    def make_array(self, stream: str):
        assert stream == "main"
        return RGB

    def get_metadata(self):
        return {} if self.taken_ns is None else {"SensorTimestamp": self.taken_ns}

    def release(self):
        type(self).released += 1

    def close(self):
        self.closed = True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch):
    class Library(StandIn):
        pass

    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=Library))
    return Library


def test_frames_come_through(library: type[StandIn], settings: CameraSettings):
    camera = Picamera2Camera(0, settings)
    np.testing.assert_array_equal(camera.read(5).rgb, RGB)
    camera.close()
    assert library.released >= 1


def test_the_sensors_time_is_brought_to_our_clock(library: type[StandIn], settings: CameraSettings):
    library.taken_ns = int((time.clock_gettime(time.CLOCK_BOOTTIME) - 3.0) * 1e9)
    ticks = itertools.repeat(100.0)
    camera = Picamera2Camera(0, settings, clock=lambda: next(ticks))
    frame = camera.read(5)
    camera.close()
    assert 90.0 < frame.captured_at <= 97.0


def test_a_camera_that_is_not_connected(library: type[StandIn], settings: CameraSettings):
    library.cameras = ()
    with pytest.raises(UnavailableError, match="libcamera lists 0; check the ribbon cable"):
        Picamera2Camera(0, settings)


def test_a_format_nobody_knows(library: type[StandIn], settings: CameraSettings):
    library.main = {**library.main, "format": "SRGGB10"}
    with pytest.raises(UnavailableError, match="gives the format SRGGB10"):
        Picamera2Camera(0, settings)


def test_a_busy_camera(library: type[StandIn], settings: CameraSettings, monkeypatch: pytest.MonkeyPatch):
    def start(_: StandIn) -> None:
        raise RuntimeError("Camera __init__ sequence\ndid not complete.")

    monkeypatch.setattr(library, "start", start)
    with pytest.raises(UnavailableError, match=r"sequence did not complete\.; close the program"):
        Picamera2Camera(0, settings)


def test_a_missing_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, settings: CameraSettings):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(UnavailableError, match="sudo apt install python3-picamera2"):
        Picamera2Camera(0, settings)


def test_installed_tells_whether_it_can_be_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picamera2.importlib.util, "find_spec", lambda name: None if name == "picamera2" else 1)
    assert not picamera2.installed()
