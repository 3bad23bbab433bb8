"""USB cameras and other Video4Linux devices."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.latest import LatestFrame
from edge.camera.opencv import video_capture
from edge.camera.pace import Skipping
from edge.errors import CameraLostError, EdgeError, NoInputError, PermissionRefusedError, UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

OPEN_TIMEOUT_S = 5.0
"""Time limit for opening and the first frame; a slow webcam takes about two seconds."""

# linux/videodev2.h: VIDIOC_QUERYCAP is _IOR('V', 0, struct v4l2_capability).
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s68xII12x")
"""Fields: driver, (card, bus_info, version), capabilities, device_caps, (reserved)."""
_VIDEO_CAPTURE = 0x00000001 | 0x00001000
"""V4L2_CAP_VIDEO_CAPTURE and V4L2_CAP_VIDEO_CAPTURE_MPLANE."""
_HAS_DEVICE_CAPABILITIES = 0x80000000
_PIPELINE_DRIVERS = (
    "bcm2835-codec",
    "bcm2835-isp",
    "bcm2835_isp",
    "pispbe",
    "rp1-cfe",
    "rpi-hevc",
    "rpivid",
    "unicam",
)
"""Drivers of the Raspberry Pi's camera pipeline, which only libcamera, and so picamera2, can use."""


def devices(folder: Path = Path("/dev")) -> list[Path]:
    """The video devices, lowest number first."""
    found = [path for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("video")))


def may_be_camera(path: Path) -> bool:
    """Whether a device reports that it is a camera by itself.

    On a Raspberry Pi most of /dev/video* are decoders, scalers and raw inputs of the Pi camera, which open but never
    deliver. A webcam has a second device for metadata. A device that cannot be queried counts as a camera, so that
    opening it gives the reason.
    """
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            answer = fcntl.ioctl(device, _QUERYCAP, bytes(_CAPABILITY.size))
        finally:
            os.close(device)
    except OSError:
        return True
    return describes_camera(answer)


def describes_camera(capability: bytes) -> bool:
    """Whether a `struct v4l2_capability` describes a capture device that is not part of the Pi camera."""
    driver, capabilities, device_capabilities = _CAPABILITY.unpack(capability)
    own = device_capabilities if capabilities & _HAS_DEVICE_CAPABILITIES else capabilities
    name = driver.rstrip(b"\0").decode(errors="replace")
    return bool(own & _VIDEO_CAPTURE) and not name.startswith(_PIPELINE_DRIVERS)


def as_picture(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8] | None:
    """The picture in a buffer from OpenCV, uint8[height, width, 3].

    For a camera that delivers BGR, OpenCV 4 returns the bytes in one row.

    Returns:
        None: the buffer has another size.
    """
    if buffer.ndim == 3:  # noqa: PLR2004 - rows, columns and colours
        return buffer
    return buffer.reshape(height, width, 3) if buffer.size == height * width * 3 else None


class V4l2Camera(LatestFrame):
    """A Video4Linux camera, read in a separate thread: the latest frame wins."""

    def __init__(self, path: Path, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the device and wait for its first frame.

        Args:
            path: `/dev/video0`.
            settings: the requested size and frame rate, which the camera may change, and how it is mounted.
            clock: monotonic, s.

        Raises:
            NoInputError: the device does not exist.
            PermissionRefusedError: this user may not open it.
            UnavailableError: it is busy, or not a camera.
            CameraLostError: it opens but delivers no frame.
        """
        _check(path)
        driver = _Driver(path, settings, clock)
        super().__init__(driver, settings, name=f"v4l2:{path}", open_timeout_s=OPEN_TIMEOUT_S)


class _Driver:
    """The device, for the capture thread."""

    def __init__(self, path: Path, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._path = path
        self._settings = settings
        self._skipping = Skipping(settings.fps, clock)
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        capture = video_capture(str(self._path), cv2.CAP_V4L2)
        self._capture = capture
        if not capture.isOpened():
            raise UnavailableError(
                f"camera v4l2:{self._path} is busy or not a camera: close the program that uses it, "
                "or choose another with --camera"
            )
        # MJPG first: without it most USB cameras deliver only a few frames a second.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height)
        # The camera picks the closest rate that it supports; `grab` skips the rest.
        capture.set(cv2.CAP_PROP_FPS, self._settings.fps)
        # One buffer, because queued frames would be old.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def grab(self) -> Frame | None:
        if self._capture is None:
            return None
        # A frame that comes too early is removed from the queue without decoding it.
        captured_at = self._skipping.next(self._capture.grab)
        if captured_at is None:
            return None
        ok, buffer = self._capture.retrieve()
        if not ok:
            return None
        sides = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        height, width = map(int, sides)
        bgr = as_picture(np.asarray(buffer, np.uint8), height, width)
        if bgr is None:
            raise CameraLostError(
                f"camera v4l2:{self._path} delivers unreadable pictures: {buffer.size} bytes where "
                f"{width}x{height} px were negotiated; choose another with --camera"
            )
        return Frame(rgb=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), captured_at=captured_at)

    def release(self) -> None:
        if self._capture is not None:
            self._capture.release()


def _check(path: Path) -> None:
    """Open a device once, because OpenCV doesn't say why it cannot.

    Raises:
        EdgeError: it cannot be opened; the message says why.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        raise _reason(path, error) from error


def _reason(path: Path, error: OSError) -> EdgeError:
    name = f"camera v4l2:{path}"
    if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR}:
        found = ", ".join(str(device) for device in devices())
        there = f"there is {found}" if found else "no video device is connected"
        return NoInputError(f"{name} does not exist: {there}; connect it, or choose another with --camera")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermissionRefusedError(
            f"{name} may not be opened by this user: add it to the group video "
            "(sudo usermod -aG video $USER) and log in again"
        )
    if error.errno == errno.EBUSY:
        return UnavailableError(f"{name} is busy: close the program that uses it")
    return UnavailableError(f"{name} cannot be opened: {os.strerror(error.errno or 0)}")
