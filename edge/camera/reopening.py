"""Reopens a live camera that disappears or stops delivering."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edge.errors import CameraLostError, ConfigError, EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.camera import Camera
    from edge.settings import CameraSettings
    from edge.values import Frame

FIRST_PAUSE_S = 0.5
"""Pause before the first attempt; it doubles with each further one."""

STEADY_S = 10.0
"""Time after which a reopened camera counts as stable, and the next loss starts with a short pause again."""

_log = logging.getLogger(__name__)


class ReopeningCamera:
    """Wraps a camera: after a loss, its reader gets no frames for a while, then frames again."""

    live = True

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        settings: CameraSettings,
        *,
        name: str,
        patient: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the camera for the first time.

        Args:
            open_camera: opens it, and reopens it after each loss.
            settings: `stall_s` without a frame count as a loss, `retry_max_s` is the longest pause.
            name: of the camera, for messages.
            patient: whether a failure of the first opening counts as a loss; else the caller handles it.
            clock: monotonic, s.
            sleep: waits, s.

        Raises:
            EdgeError: from `open_camera`; if `patient`, only one that trying again can't mend.
        """
        self.name = name
        self._open = open_camera
        self._stall_s = settings.stall_s
        self._retry_max_s = settings.retry_max_s
        self._clock = clock
        self._sleep = sleep
        self._camera: Camera | None = None
        self.reopened = 0
        """How often the camera was lost and reopened."""
        self._pause = FIRST_PAUSE_S
        self._retry_at = 0.0
        self._opened_at = self._received_at = clock()
        self._returning = False
        self._dropped_before = 0
        if patient:
            self._try()
        else:
            self._camera = open_camera()
            self.name = self._camera.name
            self._received_at = self._opened_at = clock()

    @property
    def reason(self) -> str:
        """Why the demo takes the place of a camera, see `DemoCamera`; empty: it doesn't, or was asked for."""
        return getattr(self._camera, "reason", "")

    @property
    def waiting(self) -> bool:
        """Whether the camera is lost, and closed until the next attempt."""
        return self._camera is None

    @property
    def dropped(self) -> int:
        """Number of frames that were not read in time, over all openings."""
        return self._dropped_before + (self._camera.dropped if self._camera else 0)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None: none came within timeout_s, or the camera is lost.

        Raises:
            EndOfStreamError: the wrapped camera is finite and has ended.
            DataError: the wrapped camera reads a damaged file.
        """
        if self._camera is None:
            self._wait_or_open(timeout_s)
            return None
        try:
            frame = self._camera.read(timeout_s)
        except CameraLostError as error:
            self._lose(str(error))
            return None
        now = self._clock()
        if frame is not None:
            self._received(now)
        elif now - self._received_at >= self._stall_s:
            self._lose(f"camera {self.name} stopped delivering (no frame for {self._stall_s:g} s)")
        return frame

    def close(self) -> None:
        """Release the camera. Only another `read` opens it again."""
        if self._camera is not None:
            self._dropped_before = self.dropped
            self._camera.close()
            self._camera = None

    def _received(self, now: float) -> None:
        self._received_at = now
        if self._returning:
            self._returning = False
            self.reopened += 1
            _log.info("camera %s is back", self.name)
        if now - self._opened_at >= STEADY_S:
            self._pause = FIRST_PAUSE_S

    def _lose(self, reason: str) -> None:
        """Close the camera, schedule the next attempt, and log it."""
        self.close()
        self._returning = False
        _log.warning("%s; trying again in %g s", reason, self._pause)
        self._retry_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, self._retry_max_s)

    def _wait_or_open(self, timeout_s: float) -> None:
        wait = self._retry_at - self._clock()
        if wait > 0:
            self._sleep(min(wait, timeout_s))
            if wait > timeout_s:
                return
        self._try()

    def _try(self) -> None:
        """Open the camera; a failure counts as a loss."""
        try:
            self._camera = self._open()
        except ConfigError:
            raise  # retrying can't help until the settings change
        except EdgeError as error:
            self._lose(str(error))
            return
        self.name = self._camera.name
        self._opened_at = self._received_at = self._clock()
        self._returning = True
