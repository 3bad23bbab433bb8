"""Capture thread of the live cameras: it keeps only the newest frame."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

from edge.camera.orientation import upright
from edge.errors import CameraLostError, EdgeError

if TYPE_CHECKING:
    from edge.settings import CameraSettings
    from edge.values import Frame

CLOSE_TIMEOUT_S = 2.0
"""How long `close` waits for a driver call to return before it abandons the thread."""


class Driver(Protocol):
    """Access to a device. All methods are called in the capture thread."""

    def open(self) -> None:
        """Open the device.

        Raises:
            EdgeError: it cannot be opened.
        """
        ...  # pragma: no cover

    def grab(self) -> Frame | None:
        """Wait for the next frame, however long the driver takes; None: the driver failed."""
        ...  # pragma: no cover

    def release(self) -> None:
        """Release the device."""
        ...  # pragma: no cover


class LatestFrame:
    """A live camera, whose driver is read in a separate thread.

    The latest frame wins: a reader that is slower than the camera gets fresh frames and no growing queue. A driver
    call that hangs blocks the thread, but not the reader.
    """

    live = True

    def __init__(
        self,
        driver: Driver,
        settings: CameraSettings,
        *,
        name: str,
        open_timeout_s: float,
        remedy: str = "unplug it and plug it in again, or choose another with --camera",
    ) -> None:
        """Open the device and wait for its first frame.

        Args:
            driver: the device.
            settings: how the camera is mounted.
            name: of the camera, for messages.
            open_timeout_s: s, the time limit for opening and the first frame together.
            remedy: what to do if no frame comes, for the message.

        Raises:
            CameraLostError: no frame came in time.
            EdgeError: from the driver's `open`.
        """
        self.name = name
        self.dropped = 0
        """Number of frames that a newer one replaced before they were read."""
        self._driver = driver
        self._settings = settings
        self._changed = threading.Condition()
        self._latest: Frame | None = None
        self._delivered = False
        self._error: EdgeError | None = None
        self._closing = False
        # A daemon thread, so that a driver that never returns doesn't keep the process alive.
        self._thread = threading.Thread(target=self._capture, name=f"camera {name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._delivered or self._error, open_timeout_s)
            ready, error = self._delivered, self._error
        if not ready:
            self.close()
            raise error or CameraLostError(
                f"camera {name} opened but delivered no frame within {open_timeout_s:g} s: {remedy}"
            )

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for a frame newer than the last one returned, and turn it upright.

        Args:
            timeout_s: s, the longest wait.

        Raises:
            CameraLostError: the driver reported a failure.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._latest or self._error, timeout_s)
            frame, self._latest = self._latest, None
            if frame is None and self._error is not None:
                raise self._error
        if frame is None:
            return None
        # Only now, because dropped frames need no rotation.
        return upright(frame, self._settings)

    def close(self) -> None:
        """Stop the thread; a driver call that does not return is abandoned."""
        with self._changed:
            self._closing = True
        self._thread.join(CLOSE_TIMEOUT_S)

    def _capture(self) -> None:
        try:
            self._driver.open()
            while not self._closing:
                frame = self._driver.grab()
                if frame is None:
                    self._fail(CameraLostError(f"camera {self.name} stopped delivering"))
                    return
                with self._changed:
                    self.dropped += self._latest is not None
                    self._latest = frame
                    self._delivered = True
                    self._changed.notify_all()
        except EdgeError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything; the reader gets one line
            self._fail(CameraLostError(f"camera {self.name} failed: {_one_line(error)}"))
        finally:
            # The reader already has its error.
            with contextlib.suppress(Exception):
                self._driver.release()

    def _fail(self, error: EdgeError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
