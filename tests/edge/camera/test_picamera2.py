"""Picamera2 without a Pi camera: conversions, and a stand-in for the library."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import sys
import time
import tracemalloc
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge.camera import picamera2
from edge.camera.picamera2 import FORMATS, Picamera2Camera, to_rgb
from edge.errors import CameraLostError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

RGB = np.zeros((48, 64, 3), np.uint8)
RGB[:, :32] = (200, 40, 90)
RGB[:, 32:] = (20, 160, 60)


YUV = cv2.cvtColor(RGB, cv2.COLOR_RGB2YUV_I420).reshape(-1)
Y, U, V = YUV[:3072].reshape(48, 64), YUV[3072:3840].reshape(24, 32), YUV[3840:].reshape(24, 32)
UV = np.stack([U, V], axis=-1).reshape(24, 64)
OPAQUE = np.full((48, 64), 255, np.uint8)

# Contents of memory, with format names of the Picamera2 Manual, appendix A, where RGB888 is B, G, R.
IN_MEMORY = {
    "BGR888": [RGB.reshape(48, -1)],
    "RGB888": [RGB[..., ::-1].reshape(48, -1)],
    "XBGR8888": [np.dstack([RGB, OPAQUE]).reshape(48, -1)],
    "XRGB8888": [np.dstack([RGB[..., ::-1], OPAQUE]).reshape(48, -1)],
    "YUV420": [Y, U, V],
    "YVU420": [Y, V, U],
    "NV12": [Y, UV],
    "NV21": [Y, UV.reshape(24, 32, 2)[..., ::-1].reshape(24, 64)],
}


def memory(name: str, *, padding: int) -> tuple[NDArray[np.uint8], int]:
    """The bytes of the picture, with padding after each row of the first plane, and the stride."""
    planes = IN_MEMORY[name]
    width = planes[0].shape[1]
    padded = [np.pad(plane, ((0, 0), (0, padding * plane.shape[1] // width)), constant_values=77) for plane in planes]
    # libcamera rounds buffers up to whole pages.
    return np.concatenate([*(plane.reshape(-1) for plane in padded), np.zeros(100, np.uint8)]), width + padding


def test_every_supported_format_is_tested():
    assert set(IN_MEMORY) == set(FORMATS)


@pytest.mark.parametrize("padding", [0, 64])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, padding: int):
    buffer, stride = memory(name, padding=padding)
    rgb = to_rgb(buffer, name, (64, 48), stride)
    assert rgb.shape == RGB.shape
    assert rgb.flags.c_contiguous
    # Converted to 8-bit luma and chroma and back.
    assert np.abs(rgb.astype(int) - RGB).max() <= (0 if "888" in name else 4)


@pytest.mark.parametrize("name", FORMATS)
def test_the_picture_does_not_share_the_cameras_memory(name: str):
    buffer, stride = memory(name, padding=0)
    rgb = to_rgb(buffer, name, (64, 48), stride)
    before = rgb.copy()
    buffer[:] = 0
    np.testing.assert_array_equal(rgb, before)


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_result_is_allocated(name: str):
    buffer, stride = memory(name, padding=0)
    to_rgb(buffer, name, (64, 48), stride)
    tracemalloc.start()
    rgb = to_rgb(buffer, name, (64, 48), stride)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rgb.nbytes <= peak < 1.4 * rgb.nbytes


def sensor_mode(size: tuple[int, int], crop: tuple[int, int, int, int], fps: float, bit_depth: int = 10):
    return {"size": size, "crop_limits": crop, "fps": fps, "bit_depth": bit_depth}


class StandIn:
    """The part of picamera2.Picamera2 that is used, as in its manual, with the modes of Camera Module 3."""

    cameras = ({"Model": "imx708"},)
    camera_properties = {"PixelArraySize": (4608, 2592)}  # noqa: RUF012 - a constant of the test
    sensor_modes: tuple[dict[str, Any], ...] = (
        sensor_mode((1536, 864), (768, 432, 3072, 1728), 120.13),
        sensor_mode((2304, 1296), (0, 0, 4608, 2592), 56.03),
        sensor_mode((4608, 2592), (0, 0, 4608, 2592), 14.35),
    )
    crop: tuple[int, int, int, int] | None = (576, 0, 3456, 2592)
    main = {"format": "BGR888", "size": (64, 48), "stride": 192}  # noqa: RUF012 - likewise
    captured_ns: int | None = None
    configuration: dict[str, Any]
    silent = closed = False
    released = 0

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def global_camera_info(cls) -> list[dict[str, str]]:
        return list(cls.cameras)

    def create_video_configuration(self, **configuration: Any):
        return configuration

    def configure(self, configuration: dict[str, Any]):
        type(self).configuration = configuration

    def start(self):
        assert self.configuration["main"]["format"] == "BGR888"

    def camera_configuration(self):
        return {"main": self.main}

    def capture_request(self, *, wait: bool):
        assert not wait
        return self

    def get_result(self, timeout: float):
        time.sleep(min(timeout, 60.0 if self.silent else 0.005))
        if self.silent:
            raise TimeoutError
        return self

    def get_metadata(self):
        found = {"SensorTimestamp": self.captured_ns, "ScalerCrop": self.crop}
        return {key: value for key, value in found.items() if value is not None}

    def release(self):
        type(self).released += 1

    def close(self):
        type(self).closed = True


@contextlib.contextmanager
def mapped_array(_request: StandIn, stream: str, *, reshape: bool, write: bool):
    assert (stream, reshape, write) == ("main", False, False)
    yield types.SimpleNamespace(array=RGB.reshape(-1))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch):
    class Library(StandIn):
        pass

    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=Library, MappedArray=mapped_array))
    return Library


def test_frames_are_delivered_upright(library: type[StandIn], settings: CameraSettings):
    camera = Picamera2Camera(0, replace(settings, rotation=90))
    np.testing.assert_array_equal(camera.read(5).rgb, np.rot90(RGB, -1))
    camera.close()
    assert library.released >= 1


def test_sensor_timestamps_are_converted_to_the_monotonic_clock(library: type[StandIn], settings: CameraSettings):
    library.captured_ns = int((time.clock_gettime(time.CLOCK_BOOTTIME) - 3.0) * 1e9)
    ticks = itertools.repeat(100.0)
    camera = Picamera2Camera(0, settings, clock=lambda: next(ticks))
    frame = camera.read(5)
    camera.close()
    assert 90.0 < frame.captured_at <= 97.0


def test_one_stream_with_the_size_and_rate_of_the_settings(library: type[StandIn], settings: CameraSettings):
    camera = Picamera2Camera(0, settings)
    camera.close()
    assert library.configuration["main"] == {"size": (64, 48), "format": "BGR888"}
    assert library.configuration["raw"] is None
    assert library.configuration["controls"] == {"FrameRate": 10.0}


def test_the_sensor_mode_shows_all_that_the_sensor_sees(library: type[StandIn], settings: CameraSettings):
    camera = Picamera2Camera(0, settings)
    camera.close()
    assert library.configuration["sensor"] == {"output_size": (2304, 1296), "bit_depth": 10}


def test_a_camera_without_raw_modes_is_left_alone(library: type[StandIn], settings: CameraSettings):
    library.sensor_modes = ({"format": "NV12"},)
    camera = Picamera2Camera(0, settings)
    camera.close()
    assert library.configuration["sensor"] == {}


@pytest.mark.parametrize(
    ("model", "sensor", "crop", "rotation", "degrees"),
    [
        # By hand: 2 atan(tan(lens / 2) * width / width of the sensor).
        ("imx708", (4608, 2592), (0, 0, 4608, 2592), 0, 66.0),
        ("imx708", (4608, 2592), (576, 0, 3456, 2592), 0, 51.94),
        ("imx708_wide_noir", (4608, 2592), (576, 0, 3456, 2592), 0, 85.61),
        ("imx219", (3280, 2464), (0, 2, 3280, 2460), 0, 62.2),
        ("imx219", (3280, 2464), (1000, 752, 1280, 960), 0, 26.50),
        # On its side, the width of the picture is what was its height: 48.6 degrees of a picture 4:3.
        ("imx219", (3280, 2464), (0, 2, 3280, 2460), 90, 48.69),
        ("imx219", (3280, 2464), (0, 2, 3280, 2460), 180, 62.2),
        ("imx477", (4056, 3040), (0, 0, 4056, 3040), 0, None),
        ("imx708", (4608, 2592), None, 0, None),
    ],
)
def test_the_field_of_view_is_that_of_the_part_in_the_picture(
    library: type[StandIn], settings: CameraSettings, model, sensor, crop, rotation, degrees
):
    library.cameras, library.camera_properties, library.crop = ({"Model": model},), {"PixelArraySize": sensor}, crop
    camera = Picamera2Camera(0, replace(settings, rotation=rotation))
    frame = camera.read(5)
    camera.close()
    assert frame.field_of_view == (None if degrees is None else pytest.approx(degrees, abs=0.01))


def _until_silent(camera: Picamera2Camera) -> None:
    while camera.read(5):  # frames from before the silence
        pass


def test_a_silent_camera_is_lost_and_closed(library: type[StandIn], settings: CameraSettings):
    camera = Picamera2Camera(0, replace(settings, stall_s=0.05))
    library.silent = True
    with pytest.raises(CameraLostError, match="picamera2:0 stopped delivering"):
        _until_silent(camera)
    camera.close()
    assert library.closed


def test_a_camera_that_is_not_connected(
    library: type[StandIn], settings: CameraSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(library, "cameras", ())
    with pytest.raises(UnavailableError, match="libcamera lists 0; check the ribbon cable"):
        Picamera2Camera(0, settings)


def test_an_unknown_format(library: type[StandIn], settings: CameraSettings):
    library.main = {**library.main, "format": "SRGGB10"}
    with pytest.raises(UnavailableError, match="delivers the format SRGGB10"):
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


def test_a_library_compiled_for_another_numpy_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: CameraSettings
):
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UnavailableError, match=r"does not fit this NumPy, .*size changed.*: run `sudo .*deploy/install.sh`"
    ):
        Picamera2Camera(0, settings)


def test_installed_checks_for_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "picamera2" else 1)
    assert not picamera2.installed()
