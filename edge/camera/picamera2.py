"""The Raspberry Pi camera, through picamera2 (Picamera2 Manual, Raspberry Pi Ltd)."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge import hints
from edge.camera import optics
from edge.camera.latest import LatestFrame
from edge.errors import UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

OPEN_TIMEOUT_S = 5.0
"""Time limit for opening and the first frame, once the library is loaded."""

BUFFERS = 4
"""Number of buffers: one is converted, one is filled, and two absorb delays."""

_FORMAT = "BGR888"
"""Requested format. picamera2 names the bytes from last to first: in memory this is red, green, blue."""

_PACKED: dict[str, tuple[int, int | None]] = {
    "BGR888": (3, None),
    "RGB888": (3, cv2.COLOR_BGR2RGB),
    "XBGR8888": (4, cv2.COLOR_RGBA2RGB),
    "XRGB8888": (4, cv2.COLOR_BGRA2RGB),
}
"""Packed formats: bytes per pixel and OpenCV's conversion."""

_THREE_PLANES = {"YUV420": cv2.COLOR_YUV2RGB_I420, "YVU420": cv2.COLOR_YUV2RGB_YV12}
"""Planar formats: a luma plane, then two chroma planes of half the width and height."""

_TWO_PLANES = {"NV12": cv2.COLOR_YUV2RGB_NV12, "NV21": cv2.COLOR_YUV2RGB_NV21}
"""Semi-planar formats: a luma plane, then one interleaved chroma plane of half the height."""

FORMATS = (*_PACKED, *_THREE_PLANES, *_TWO_PLANES)
"""Formats that can be read, in case libcamera gives another than the requested one."""


def installed() -> bool:
    """Whether picamera2 is installed."""
    return importlib.util.find_spec("picamera2") is not None


class Picamera2Camera(LatestFrame):
    """A camera on the Pi's camera connector, read in a separate thread: the latest frame wins."""

    def __init__(self, number: int, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the camera and wait for its first frame.

        Args:
            number: as `rpicam-hello --list-cameras` counts them, from 0.
            settings: the requested size and frame rate, and how the camera is mounted.
            clock: monotonic, s.

        Raises:
            UnavailableError: picamera2 is missing, or the camera is not connected or busy.
            CameraLostError: it opens but delivers no frame.
        """
        # Here, because loading the library from a slow card takes several seconds.
        driver = _Driver(_import(), number, settings, clock)
        super().__init__(driver, settings, name=f"picamera2:{number}", open_timeout_s=OPEN_TIMEOUT_S)


class _Driver:
    """The camera, for the capture thread."""

    def __init__(self, library: Any, number: int, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._library = library
        self._name = f"picamera2:{number}"
        self._number = number
        self._settings = settings
        self._clock = clock
        self._camera: Any = None
        self._format = _FORMAT
        self._size = (0, 0)
        self._stride = 0
        self._lens: float | None = None
        """Horizontal field of view of the whole sensor, degrees; None: unknown."""
        self._sensor_width = 0
        """px, in the units of `ScalerCrop`."""
        self._patience_s = OPEN_TIMEOUT_S

    def open(self) -> None:
        cameras = self._library.Picamera2.global_camera_info()
        if self._number >= len(cameras):
            raise UnavailableError(
                f"camera {self._name} is not connected: libcamera lists {len(cameras)}; check the "
                "ribbon cable and rpicam-hello --list-cameras, or choose another with --camera"
            )
        try:
            self._camera = self._library.Picamera2(self._number)
            size = self._settings.width, self._settings.height
            mode = optics.full_view(self._camera.sensor_modes, size, self._settings.fps)
            self._camera.configure(
                self._camera.create_video_configuration(
                    # One stream, scaled by the camera's processor; the sensor's raw stream is off.
                    main={"size": size, "format": _FORMAT},
                    raw=None,
                    sensor={} if mode is None else {"output_size": mode["size"], "bit_depth": mode["bit_depth"]},
                    buffer_count=BUFFERS,
                    # Only as many frames as are read: the sensor and its pipeline save power.
                    controls={"FrameRate": self._settings.fps},
                )
            )
            self._camera.start()
        except Exception as error:
            # picamera2 raises RuntimeError, IndexError or errors of libcamera.
            raise UnavailableError(
                f"camera {self._name} cannot be opened: {' '.join(str(error).split())}; close the program that uses it"
            ) from error
        self._lens = optics.lens(str(cameras[self._number].get("Model", "")))
        self._sensor_width = int(self._camera.camera_properties.get("PixelArraySize", (0, 0))[0])
        # libcamera may align the size and substitute the format.
        main = self._camera.camera_configuration()["main"]
        self._format, self._size = str(main["format"]), (int(main["size"][0]), int(main["size"][1]))
        self._stride = int(main["stride"])
        if self._format not in FORMATS:
            raise UnavailableError(
                f"camera {self._name} delivers the format {self._format}, which is not one of {', '.join(FORMATS)}"
            )

    def grab(self) -> Frame | None:
        try:
            with self._captured_request() as request, self._mapped(request) as mapped:
                rgb = to_rgb(mapped.array, self._format, self._size, self._stride)
                metadata = request.get_metadata()
        except TimeoutError:
            return None
        self._patience_s = self._settings.stall_s
        return Frame(
            rgb=rgb,
            captured_at=self._captured_at(metadata.get("SensorTimestamp")),
            field_of_view=self._field_of_view(metadata.get("ScalerCrop")),
        )

    @contextlib.contextmanager
    def _captured_request(self) -> Iterator[Any]:
        """Like `Picamera2.captured_request`, which picamera2 0.3.18 lacks, but with a time limit.

        Raises:
            TimeoutError: the camera delivers nothing.
        """
        request = self._camera.capture_request(wait=False).get_result(timeout=self._patience_s)
        try:
            yield request
        finally:
            # A request that is not released is one buffer less for the camera.
            request.release()

    def _mapped(self, request: Any) -> Any:
        """A view of the picture's bytes in the camera's memory, without a copy."""
        return self._library.MappedArray(request, "main", reshape=False, write=False)

    def _captured_at(self, taken_ns: int | None) -> float:
        """The sensor's timestamp on our clock; it counts since boot, like CLOCK_BOOTTIME."""
        now = self._clock()
        if taken_ns is None:
            return now
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - taken_ns / 1e9
        return now - max(age, 0.0)

    def _field_of_view(self, crop: tuple[int, int, int, int] | None) -> float | None:
        """Field of view, degrees, of a picture that shows this part of the sensor: x, y, width and height, px."""
        if self._lens is None or crop is None or self._sensor_width <= 0:
            return None
        return optics.part(self._lens, crop[2] / self._sensor_width)

    def release(self) -> None:
        if self._camera is not None:
            self._camera.close()


def to_rgb(buffer: NDArray[np.uint8], name: str, size: tuple[int, int], stride: int) -> NDArray[np.uint8]:
    """Convert a picture in the camera's memory, which the next frame reuses, to an RGB copy.

    Args:
        buffer: uint8[N], the bytes.
        name: the format, one of `FORMATS`.
        size: width and height in px.
        stride: bytes from one row to the next, with padding.

    Returns:
        uint8[H, W, 3].
    """
    width, height = size
    rgb: Any
    if name in _PACKED:
        depth, conversion = _PACKED[name]
        rows = buffer[: height * stride].reshape(height, stride)
        picture = rows[:, : width * depth].reshape(height, width, depth)
        rgb = picture.copy() if conversion is None else cv2.cvtColor(picture, conversion)
    elif name in _TWO_PLANES:
        rows = buffer[: height * stride * 3 // 2].reshape(height * 3 // 2, stride)[:, :width]
        chroma = rows[height:].reshape(height // 2, width // 2, 2)
        rgb = cv2.cvtColorTwoPlane(rows[:height], chroma, _TWO_PLANES[name])
    else:
        rows = buffer[: height * stride * 3 // 2].reshape(height * 3 // 2, stride)
        rgb = np.ascontiguousarray(cv2.cvtColor(rows, _THREE_PLANES[name])[:, :width])
    return np.asarray(rgb, np.uint8)


def _import() -> Any:
    """The picamera2 library.

    Raises:
        UnavailableError: it is missing, or was built for another NumPy.
    """
    # Only warnings and errors: it logs every opening.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "WARN")
    logging.getLogger("picamera2").setLevel(logging.WARNING)
    try:
        import picamera2
    except ImportError as error:
        hint = "" if hints.on_device() else f", and {hints.use_system_packages()}"
        raise UnavailableError(
            f"picamera2 is missing: run `sudo apt install python3-picamera2`{hint}; or choose another camera with "
            "--camera"
        ) from error
    except ValueError as error:  # raised by NumPy for modules that were compiled for another version
        raise UnavailableError(
            f"picamera2 does not fit this NumPy, {np.__version__} ({error}): {hints.use_system_packages()}"
        ) from error
    return picamera2
