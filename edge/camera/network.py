"""Network cameras: pictures from RTSP. `edge.camera.mjpeg` has those from HTTP."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera import rtsp
from edge.camera.address import CameraAddress
from edge.camera.latest import LatestFrame
from edge.camera.opencv import Conversion, squared, video_capture
from edge.camera.pace import Skipping
from edge.errors import CameraLostError, UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.camera.latest import Driver
    from edge.settings import CameraSettings

ANSWER_TIMEOUT_S = 4.0
"""Longest wait for an answer of the camera while connecting, s."""
STREAM_OPEN_TIMEOUT_S = 6.0
"""Longest wait for a stream that was asked for, s."""
STREAM_READ_TIMEOUT_S = 10.0
"""Longest wait for a picture, s: some cameras send one that doesn't build on others only every few seconds."""
OPEN_TIMEOUT_S = 15.0
"""Time limit for opening and the first frame together, s. The service's watchdog waits longer."""

# OpenCV reads this whenever it opens a stream. Its own default is UDP up to 4.11, which loses packets in a wireless
# network.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_flags;prefer_tcp")

_REMEDY = "close other programs that use it, or restart it"


class NetworkCamera(LatestFrame):
    """A network camera, read in a separate thread: the latest frame wins."""

    def __init__(self, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Connect and wait for the first frame.

        Args:
            settings: the address and the credentials, the highest frame rate, and how the camera is mounted.
            clock: monotonic, s.

        Raises:
            ConfigError: the address is not usable, or the camera refuses user and password.
            NoInputError: the camera has no video at this address.
            UnavailableError: the camera does not answer, or its stream cannot be decoded.
            CameraLostError: it delivers no frame.
        """
        address = CameraAddress.of(settings)
        driver: Driver
        if address.scheme == "rtsp":
            driver = _RtspDriver(address, settings, clock)
        else:
            from edge.camera.mjpeg import MjpegDriver

            driver = MjpegDriver(address, settings, clock)
        super().__init__(driver, settings, name=str(address), open_timeout_s=OPEN_TIMEOUT_S, remedy=_REMEDY)


class _RtspDriver:
    """A stream over RTSP, for the capture thread."""

    def __init__(self, address: CameraAddress, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._address = address
        self._skipping = Skipping(settings.fps, clock)
        self._capture: cv2.VideoCapture | None = None
        self._conversion = Conversion(f"camera {address}")

    def open(self) -> None:
        rtsp.reach(self._address, ANSWER_TIMEOUT_S)
        # With more than one thread, FFmpeg would delay each picture by one for each thread.
        self._capture = video_capture(
            self._address.url_with_password,
            cv2.CAP_FFMPEG,
            {
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(1000 * STREAM_OPEN_TIMEOUT_S),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(1000 * STREAM_READ_TIMEOUT_S),
                cv2.CAP_PROP_N_THREADS: 1,
            },
        )
        if not self._capture.isOpened():
            rtsp.check(self._address, ANSWER_TIMEOUT_S)
            raise UnavailableError(
                f"camera {self._address} delivers no stream that can be decoded: set it to H.264, "
                "and close other programs that use it"
            )

    def grab(self) -> Frame | None:
        if self._capture is None:
            return None
        # A frame that comes too early is decoded, because later ones build on it, but not converted.
        captured_at = self._skipping.next(self._capture.grab)
        if captured_at is None:
            return None
        try:
            ok, bgr = self._capture.retrieve()
        except cv2.error:  # OpenCV 4.11, when the size changes
            ok = False
        if not ok:
            raise CameraLostError(
                f"camera {self._address} has changed the size of its pictures, or they cannot be decoded"
            )
        picture = np.asarray(bgr, np.uint8)
        self._conversion.check(picture)
        rgb = cv2.cvtColor(squared(picture, self._capture), cv2.COLOR_BGR2RGB)
        return Frame(rgb=np.asarray(rgb, np.uint8), captured_at=captured_at)

    def release(self) -> None:
        if self._capture is not None:
            self._capture.release()
