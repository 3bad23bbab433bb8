from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.camera import v4l2
from edge.camera.v4l2 import V4l2Camera, as_picture, describes_camera, devices, may_be_camera
from edge.errors import NoInputError, PermissionRefusedError, UnavailableError

if TYPE_CHECKING:
    from edge.errors import EdgeError
    from edge.settings import CameraSettings


def test_devices_are_listed_by_number(tmp_path: Path):
    for name in ("video10", "video2", "video0", "video-cam", "vide1"):
        (tmp_path / name).touch()
    assert [path.name for path in devices(tmp_path)] == ["video0", "video2", "video10"]


@pytest.mark.parametrize(
    ("driver", "capabilities", "device", "expected"),
    [
        (b"uvcvideo", 0x84A00001, 0x04200001, True),
        (b"uvcvideo", 0x84A00001, 0x04A00000, False),  # a webcam's metadata
        (b"bcm2835-codec", 0x84204000, 0x04204000, False),
        (b"unicam", 0x85A00001, 0x05200001, False),
        (b"old-grabber", 0x04000001, 0, True),  # without device_caps, in old kernels
    ],
)
def test_only_devices_that_capture_pictures_are_cameras(driver: bytes, capabilities: int, device: int, expected: bool):
    capability = driver.ljust(16, b"\0") + bytes(68) + struct.pack("=II", capabilities, device) + bytes(12)
    assert len(capability) == 104  # sizeof(struct v4l2_capability)
    assert describes_camera(capability) is expected


def test_a_device_that_cannot_be_queried_may_be_a_camera(tmp_path: Path):
    (tmp_path / "video0").touch()
    assert may_be_camera(tmp_path / "video0")


def test_the_error_for_a_missing_device_lists_the_others(monkeypatch: pytest.MonkeyPatch, settings: CameraSettings):
    monkeypatch.setattr(v4l2, "devices", lambda: [Path("/dev/video4")])
    with pytest.raises(NoInputError, match="/dev/video99 does not exist: there is /dev/video4; connect it"):
        V4l2Camera(Path("/dev/video99"), settings)


def test_the_error_without_any_device(monkeypatch: pytest.MonkeyPatch, settings: CameraSettings):
    monkeypatch.setattr(v4l2, "devices", list)
    with pytest.raises(NoInputError, match="no video device is connected"):
        V4l2Camera(Path("/dev/video99"), settings)


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.EACCES, PermissionRefusedError, "group video"),
        (errno.EBUSY, UnavailableError, "close the program"),
        (errno.ENODEV, NoInputError, "does not exist"),
        (errno.EIO, UnavailableError, "Input/output error"),
    ],
)
def test_errors_of_the_system_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, settings: CameraSettings, number: int, kind: type[EdgeError], advice: str
):
    def refuse(*_: object) -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match=advice):
        V4l2Camera(Path("/dev/video0"), settings)


def test_a_file_is_not_a_camera(tmp_path: Path, settings: CameraSettings, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "video0"
    path.write_bytes(b"not a camera")
    with pytest.raises(UnavailableError, match="busy or not a camera"):
        V4l2Camera(path, settings)
    assert capfd.readouterr().err == ""


def test_a_picture_in_one_long_row_is_reshaped():
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for buffer in (picture, picture.reshape(1, -1)):
        np.testing.assert_array_equal(as_picture(buffer, 4, 6), picture)
    assert as_picture(picture.reshape(1, -1)[:, :-1], 4, 6) is None
