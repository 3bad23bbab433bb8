"""Real Picamera2 on a virtual camera that shows the demo: it delivers the right pictures at the right times."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings
from tests.system.rootfs import PICTURE_TIMES

if TYPE_CHECKING:
    from tests.system.device import Device

WATCH = """
import json, sys, time
from pathlib import Path
import numpy as np
from edge.camera import open_camera
from edge.settings import CameraSettings

camera = open_camera(CameraSettings(**json.loads(sys.argv[1])))
camera.read(30)  # the first frame is old
frames, read_at = [], []
while len(frames) < int(sys.argv[2]):
    frames.append(camera.read(30))
    read_at.append(time.monotonic())
camera.close()
np.savez("/tmp/seen.npz", rgb=[f.rgb for f in frames[:20]], captured_at=[f.captured_at for f in frames],
         read_at=read_at)
print(camera.name, camera.dropped)
"""

SLOW = """
import time
from edge.camera import open_camera
from edge.settings import CameraSettings

camera = open_camera(CameraSettings(source="picamera2", fps=15))
first = camera.read(30)
while camera.dropped < 10:
    time.sleep(0.05)
dropped = camera.dropped
frame = camera.read(0)
print(camera.name, dropped, frame.captured_at - first.captured_at)
camera.close()
"""

STALL = """
import time
from pathlib import Path
from edge.camera import open_reopening_camera
from edge.settings import CameraSettings

silent = Path("/run/camera-is-silent")
camera = open_reopening_camera(CameraSettings(source="picamera2"))
camera.read(30)
silent.touch()
last = time.monotonic()
while camera._camera is not None:  # until it is lost
    if camera.read(0.1) is not None:
        last = time.monotonic()
lost = time.monotonic()
silent.unlink()
while camera.read(0.1) is None:
    assert time.monotonic() < lost + 60
print(lost - last, camera.reopened)
camera.close()
"""


def recorded(device: Device, frames: int, **settings: Any) -> dict[str, np.ndarray]:
    """Frames of the camera: pictures, capture times and read times."""
    device.python(WATCH, json.dumps({"source": "picamera2", **settings}), str(frames))
    with np.load(io.BytesIO((device.container.root / "tmp/seen.npz").read_bytes())) as file:
        return dict(file)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """The demo as the virtual camera shows it: uint8[N, 480, 640, 3]."""
    demo = DemoCamera(CameraSettings())
    return np.stack([demo.draw(seconds) for seconds in PICTURE_TIMES])


def max_difference(rgb: np.ndarray, pictures: np.ndarray) -> float:
    """Mean absolute difference of each picture to the closest one of the demo; the largest of these."""
    small = pictures[:, ::4, ::4].astype(np.int16)
    return max(float(np.abs(small - picture[::4, ::4]).mean((1, 2, 3)).min()) for picture in rgb.astype(np.int16))


def test_the_pictures_are_those_of_the_demo(installed: Device, pictures: np.ndarray):
    rgb = recorded(installed, 20)["rgb"]
    assert rgb.shape == (20, 480, 640, 3)
    assert max_difference(rgb, pictures) < 3
    assert max_difference(rgb[..., ::-1], pictures) > 10  # swapped red and blue are detected


def test_a_smaller_picture_is_scaled_by_the_camera(installed: Device, pictures: np.ndarray):
    rgb = recorded(installed, 5, width=320, height=240)["rgb"]
    assert rgb.shape == (5, 240, 320, 3)
    assert max_difference(rgb.repeat(2, axis=1).repeat(2, axis=2), pictures) < 4


def test_a_camera_on_its_side(installed: Device, pictures: np.ndarray):
    rgb = recorded(installed, 5, rotation=90)["rgb"]
    assert rgb.shape == (5, 640, 480, 3)
    # Turned clockwise by the camera, and back here.
    assert max_difference(np.rot90(rgb, 1, axes=(1, 2)), pictures) < 3


def test_a_mirrored_picture(installed: Device, pictures: np.ndarray):
    assert max_difference(recorded(installed, 5, flip="horizontal")["rgb"][:, :, ::-1], pictures) < 3


@pytest.mark.parametrize("fps", [10.0, 25.0])
def test_the_sensor_delivers_at_the_rate_of_the_settings(installed: Device, fps: float):
    taken = recorded(installed, 40, fps=fps)["captured_at"]
    # The median, because a busy machine misses a frame now and then.
    assert np.median(np.diff(taken)) == pytest.approx(1 / fps, rel=0.1)


def test_frame_times_are_those_of_the_sensor_on_the_monotonic_clock(installed: Device):
    found = recorded(installed, 40)
    assert (np.diff(found["captured_at"]) > 0).all()
    # Another clock would be off for all frames, a busy machine reads only some of them late.
    assert 0 < (found["read_at"] - found["captured_at"]).min() < 0.1


def test_a_slow_reader_gets_the_newest_frame(installed: Device):
    camera, dropped, later_s = installed.python(SLOW).split()
    assert camera == "picamera2:0"
    assert float(later_s) > int(dropped) / 31, "the newest frame, not the next one, at 30 frames/s"


def test_a_silent_camera_is_reopened_after_two_seconds(installed: Device):
    silent_s, reopened = installed.python(STALL).split()
    assert float(silent_s) > 1.9
    assert int(reopened) == 1
