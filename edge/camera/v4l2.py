"""USB cameras and everything else that is a Video4Linux device."""

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
from edge.errors import CameraLostError, EdgeError, NoInputError, PermissionRefusedError, UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

OPEN_TIMEOUT_S = 5.0
"""For opening and the first frame: a slow webcam takes about two seconds."""

# linux/videodev2.h: VIDIOC_QUERYCAP is _IOR('V', 0, struct v4l2_capability).
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s68xII12x")
"""driver, (card, bus_info, version), capabilities, device_caps, (reserved)."""
_VIDEO_CAPTURE = 0x00000001 | 0x00001000
"""V4L2_CAP_VIDEO_CAPTURE and its multi-planar sister."""
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
"""Drivers of the Raspberry Pi's own pipeline, which libcamera works with; picamera2 is the way to it."""


def devices(folder: Path = Path("/dev")) -> list[Path]:
    """The video devices there are, lowest number first."""
    found = [path for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("video")))


def may_be_camera(path: Path) -> bool:
    """Whether a device says that it is a camera of its own.

    On a Raspberry Pi most of /dev/video* are decoders, scalers and the raw end of the Pi camera: they open,
    and then never deliver. A webcam has a second device for metadata. A device that cannot be asked is
    taken for a camera, so that opening it tells why.
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
    """Read a `struct v4l2_capability`: does it capture pictures, and is it no part of the Pi camera?"""
    driver, capabilities, device_capabilities = _CAPABILITY.unpack(capability)
    own = device_capabilities if capabilities & _HAS_DEVICE_CAPABILITIES else capabilities
    name = driver.rstrip(b"\0").decode(errors="replace")
    return bool(own & _VIDEO_CAPTURE) and not name.startswith(_PIPELINE_DRIVERS)


def as_picture(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8] | None:
    """The picture in what OpenCV hands over, uint8[height, width, 3].

    Of a camera that has BGR to offer, OpenCV 4 gives the bytes as one long row.

    Returns:
        None: there is none of that size.
    """
    if buffer.ndim == 3:  # noqa: PLR2004 - rows, columns and colours
        return buffer
    return buffer.reshape(height, width, 3) if buffer.size == height * width * 3 else None


class V4l2Camera(LatestFrame):
    """A Video4Linux camera, read in a thread of its own: the latest frame wins."""

    def __init__(self, path: Path, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the device and wait for its first frame.

        Args:
            path: `/dev/video0`.
            settings: the size and rate asked of the camera, which may give another, and how it is mounted.
            clock: monotonic s.

        Raises:
            NoInputError: there is no such device.
            PermissionRefusedError: this user may not open it.
            UnavailableError: it is busy, or no camera.
            CameraLostError: it opens but delivers no frame.
        """
        _check(path)
        driver = _Driver(path, settings, clock)
        super().__init__(driver, settings, name=f"v4l2:{path}", open_timeout_s=OPEN_TIMEOUT_S)


class _Driver:
    """What the capture thread does with the device."""

    def __init__(self, path: Path, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._capture: cv2.VideoCapture | None = None
        self._due = clock()

    def open(self) -> None:
        capture = video_capture(str(self._path), cv2.CAP_V4L2)
        self._capture = capture
        if not capture.isOpened():
            raise UnavailableError(
                f"camera v4l2:{self._path} is busy or not a camera: close the program that uses it, "
                "or choose another with --camera"
            )
        # MJPG first: without it most USB cameras fall to a few frames a second, whatever size is asked.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height)
        # A rate that the camera does not have is replaced by one that it has; `grab` does the rest.
        capture.set(cv2.CAP_PROP_FPS, self._settings.fps)
        # One buffer: an older frame in a queue would be shown late.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def grab(self) -> Frame | None:
        if self._capture is None:
            return None
        captured_at = float("-inf")
        # A frame that comes before its time is taken from the queue but not decoded.
        while captured_at < self._due:
            if not self._capture.grab():
                return None
            captured_at = self._clock()
        self._due = max(self._due + 1 / self._settings.fps, captured_at)
        ok, buffer = self._capture.retrieve()
        if not ok:
            return None
        sides = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        height, width = map(int, sides)
        bgr = as_picture(np.asarray(buffer, np.uint8), height, width)
        if bgr is None:
            raise CameraLostError(
                f"camera v4l2:{self._path} delivers pictures that cannot be read: {buffer.size} bytes where "
                f"{width}x{height} px were agreed on; choose another with --camera"
            )
        return Frame(rgb=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), captured_at=captured_at)

    def release(self) -> None:
        if self._capture is not None:
            self._capture.release()


def _check(path: Path) -> None:
    """Find out why a device cannot be opened: OpenCV would only say that it cannot.

    Raises:
        EdgeError: saying why.
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
