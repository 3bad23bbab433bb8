"""The capture thread of the live cameras: it keeps the newest frame and nothing else."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from edge.camera.orientation import oriented
from edge.errors import CameraLostError, EdgeError

if TYPE_CHECKING:
    from edge.settings import CameraSettings
    from edge.values import Frame

CLOSE_TIMEOUT_S = 2.0
"""How long `close` waits for a driver call to come back before it leaves the thread to itself."""


class Driver(Protocol):
    """What the thread needs of a device. All three are called in the capture thread only."""

    def open(self) -> None:
        """Open the device.

        Raises:
            EdgeError: it cannot be opened.
        """
        ...  # pragma: no cover

    def grab(self) -> Frame | None:
        """Wait for the next frame, however long the driver takes; None: it has failed."""
        ...  # pragma: no cover

    def release(self) -> None:
        """Release the device."""
        ...  # pragma: no cover


class LatestFrame:
    """A live camera: reads a driver in a thread of its own.

    The latest frame wins: whoever looks at frames more slowly than the camera makes them sees fresh ones,
    never a growing queue. A driver call that hangs keeps the thread, never the reader.
    """

    live = True

    def __init__(self, driver: Driver, settings: CameraSettings, *, name: str, open_timeout_s: float) -> None:
        """Open the device and wait for its first frame.

        Args:
            driver: the device.
            settings: how the camera is mounted.
            name: what people see.
            open_timeout_s: s, how long opening and the first frame may take together.

        Raises:
            CameraLostError: no frame came in time.
            EdgeError: what the driver's `open` raised.
        """
        self.name = name
        self.dropped = 0
        """Frames that were replaced by a newer one before anybody read them."""
        self._driver = driver
        self._settings = settings
        self._changed = threading.Condition()
        self._latest: Frame | None = None
        self._delivered = False
        self._error: EdgeError | None = None
        self._closing = False
        # A daemon thread: a driver that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._capture, name=f"camera {name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._delivered or self._error, open_timeout_s)
            ready, error = self._delivered, self._error
        if not ready:
            self.close()
            raise error or CameraLostError(
                f"camera {name} opened but delivered no frame within {open_timeout_s:g} s: "
                "unplug it and plug it in again, or choose another with --camera"
            )

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for a frame newer than the last one returned, and turn it upright.

        Args:
            timeout_s: s, how long to wait at most.

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
        # Only now: frames that nobody looks at need not be turned.
        upright = oriented(frame.rgb, self._settings)
        return frame if upright is frame.rgb else replace(frame, rgb=upright)

    def close(self) -> None:
        """Stop the thread; a driver call that does not return is left behind."""
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
            # The reader has its error already; what release says adds nothing.
            with contextlib.suppress(Exception):
                self._driver.release()

    def _fail(self, error: EdgeError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
