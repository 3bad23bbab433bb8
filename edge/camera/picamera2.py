"""The Raspberry Pi camera, through picamera2 (Picamera2 Manual, Raspberry Pi Ltd)."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.camera.latest import LatestFrame
from edge.errors import UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

OPEN_TIMEOUT_S = 10.0
"""For opening and the first frame: libcamera loads its tuning files first."""

_FORMAT = "BGR888"
"""Asked for. picamera2 names the bytes from the last to the first: in memory this is red, green, blue."""

_TO_RGB: dict[str, int | None] = {
    "BGR888": None,
    "RGB888": cv2.COLOR_BGR2RGB,
    "XBGR8888": cv2.COLOR_RGBA2RGB,
    "XRGB8888": cv2.COLOR_BGRA2RGB,
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "YVU420": cv2.COLOR_YUV2RGB_YV12,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "NV21": cv2.COLOR_YUV2RGB_NV21,
}
"""OpenCV's conversion for each format that the camera may give instead."""

_PLANAR = frozenset({"YUV420", "YVU420", "NV12", "NV21"})
"""Formats with a full luma plane and two quarter ones behind it: H * 3/2 rows of one byte per pixel."""


def installed() -> bool:
    """Whether picamera2 is there to be imported."""
    return importlib.util.find_spec("picamera2") is not None


class Picamera2Camera:
    """A camera on the Pi's camera connector, read in a thread of its own: the latest frame wins."""

    live = True

    def __init__(self, number: int, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the camera and wait for its first frame.

        Args:
            number: as `rpicam-hello --list-cameras` counts them, from 0.
            settings: the size and rate asked of the camera.
            clock: monotonic s.

        Raises:
            UnavailableError: picamera2 is missing, the camera is not connected or busy.
            CameraLostError: it opens but delivers no frame.
        """
        self.name = f"picamera2:{number}"
        self._frames = LatestFrame(_Driver(number, settings, clock), name=self.name, open_timeout_s=OPEN_TIMEOUT_S)

    @property
    def dropped(self) -> int:
        """Frames that nobody read in time."""
        return self._frames.dropped

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame not yet returned; None: none came in time.

        Raises:
            CameraLostError: the camera stopped delivering.
        """
        return self._frames.read(timeout_s)

    def close(self) -> None:
        """Release the camera."""
        self._frames.close()


class _Driver:
    """What the capture thread does with the camera."""

    def __init__(self, number: int, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._number = number
        self._settings = settings
        self._clock = clock
        self._camera: Any = None
        self._format = _FORMAT
        self._size = (0, 0)
        self._stride = 0

    def open(self) -> None:
        api = _import()
        cameras = api.global_camera_info()
        if self._number >= len(cameras):
            raise UnavailableError(
                f"camera picamera2:{self._number} is not there: libcamera lists {len(cameras)}; check the "
                "ribbon cable and rpicam-hello --list-cameras, or choose another with --camera"
            )
        try:
            self._camera = api(self._number)
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": (self._settings.width, self._settings.height), "format": _FORMAT},
                    # No more frames than are looked at: the sensor and its pipeline save the power.
                    controls={"FrameRate": self._settings.fps},
                )
            )
            self._camera.start()
        except Exception as error:
            # picamera2 raises RuntimeError, IndexError or libcamera's own, as it comes.
            raise UnavailableError(
                f"camera picamera2:{self._number} cannot be opened: {' '.join(str(error).split())}; "
                "close the program that uses it"
            ) from error
        # What was asked for and what came may differ: libcamera aligns sizes and substitutes formats.
        main = self._camera.camera_configuration()["main"]
        self._format, self._size = str(main["format"]), (int(main["size"][0]), int(main["size"][1]))
        self._stride = int(main.get("stride", self._size[0]))
        if self._format not in _TO_RGB:
            raise UnavailableError(
                f"camera picamera2:{self._number} gives the format {self._format}, which is not one of "
                + ", ".join(_TO_RGB)
            )

    def grab(self) -> Frame | None:
        request = self._camera.capture_request()
        try:
            if self._format in _PLANAR:
                rgb = planar_to_rgb(request.make_buffer("main"), self._format, self._size, self._stride)
            else:
                rgb = packed_to_rgb(request.make_array("main"), self._format)
            taken_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            # A request that is not given back is a buffer less for the camera.
            request.release()
        return Frame(rgb=rgb, captured_at=self._captured_at(taken_ns))

    def _captured_at(self, taken_ns: int | None) -> float:
        """The sensor's time on our clock; it counts from boot, through sleep, as CLOCK_BOOTTIME does."""
        now = self._clock()
        if taken_ns is None:
            return now
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - taken_ns / 1e9
        return now - max(age, 0.0)

    def release(self) -> None:
        if self._camera is not None:
            self._camera.close()


def packed_to_rgb(picture: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A copy of a picture of three or four bytes per pixel, as RGB.

    Args:
        picture: uint8[H, W, 3 or 4], as the camera gives it; its memory is reused for the next frame.
        name: the format's name in picamera2.

    Returns:
        uint8[H, W, 3].
    """
    conversion = _TO_RGB[name]
    return picture.copy() if conversion is None else np.asarray(cv2.cvtColor(picture, conversion), np.uint8)


def planar_to_rgb(buffer: NDArray[np.uint8], name: str, size: tuple[int, int], stride: int) -> NDArray[np.uint8]:
    """A picture with separate luma and chroma planes, as RGB.

    Args:
        buffer: uint8[N], the bytes as they lie in memory.
        name: the format's name in picamera2.
        size: width and height in px.
        stride: bytes from one row to the next, at least the width.

    Returns:
        uint8[H, W, 3].
    """
    width, height = size
    conversion = _TO_RGB[name]
    if conversion is None:
        raise ValueError(name)
    rows = np.ascontiguousarray(buffer).reshape(-1)[: stride * height * 3 // 2].reshape(height * 3 // 2, stride)
    return np.asarray(cv2.cvtColor(rows, conversion), np.uint8)[:, :width].copy()


def _import() -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise UnavailableError(
            "picamera2 is missing: sudo apt install python3-picamera2, and give the virtual environment "
            "--system-site-packages; or choose another camera with --camera"
        ) from error
    return Picamera2
