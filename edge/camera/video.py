"""A video file, played at its own speed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.files import check_file
from edge.camera.opencv import video_capture
from edge.camera.pace import Pace
from edge.errors import DataError, EdgeError, EndOfStreamError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.settings import CameraSettings

_FALLBACK_FPS = 25.0
"""Where the container does not say."""

_SLIP_S = 1.0
"""A film that is later than this goes on from where it is: on a machine that decodes more slowly than the
film runs, dropping frames would never catch up, and nothing would be shown at all."""

_MISSING_SHARE, _MISSING_FRAMES = 0.05, 5
"""So many frames may be missing in a sound file: containers count frames that an edit list cuts off."""


class VideoCamera:
    """Plays a file as a camera would deliver it: a slow reader misses frames, a fast one waits."""

    live = False

    def __init__(
        self,
        path: Path,
        settings: CameraSettings,
        *,
        pace: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the file and find its first frame.

        Args:
            path: any container and codec that FFmpeg decodes.
            settings: `fps` is the most that is delivered; others are skipped by their timestamps.
            pace: play in real time; False: every `read` gives the next frame at once.
            clock: monotonic s.
            sleep: waits for so many s.

        Raises:
            NoInputError: there is no such file.
            PermissionRefusedError: this user may not read it.
            DataError: it cannot be decoded.
        """
        self.name = f"video:{path}"
        self.dropped = 0
        """Frames skipped because the reader was too slow for them."""
        check_file(path)
        self._path = path
        self._paced = pace
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._period = 1 / settings.fps
        self._capture = video_capture(str(path), cv2.CAP_FFMPEG)
        fps = self._capture.get(cv2.CAP_PROP_FPS) if self._capture.isOpened() else 0.0
        self._frame_s = 1 / fps if math.isfinite(fps) and fps > 0 else 1 / _FALLBACK_FPS
        self._grabbed = 0
        self._first_timestamp = 0.0
        self._time = 0.0
        """s into the file of the frame that was grabbed last."""
        self._due = 0.0
        """s into the file: the next frame from here on is delivered."""
        self._start: float | None = None
        self._end: EdgeError | None = None
        if not (self._capture.isOpened() and self._grab()):
            self._capture.release()
            raise DataError(f"{path} is not a video that can be decoded, or it is cut short")
        self._waiting = True
        """Whether the frame grabbed last has yet to be delivered."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when its time has come; None: not within timeout_s.

        `captured_at` is the time of the first read plus the frame's timestamp, plus what the film was held up.

        Raises:
            EndOfStreamError: the file is over.
            DataError: it is damaged; what could be decoded was delivered before.
        """
        if self._end is not None:
            raise self._end
        if self._start is None:
            self._start = self._clock()
        if not self._waiting:
            self._advance(self._start)
        captured_at = self._start + self._time
        if self._paced and not self._pace.wait_until(captured_at, timeout_s):
            return None
        self._waiting = False
        ok, bgr = self._capture.retrieve()
        if not ok:
            self._end = self._damage()
            raise self._end
        while self._due <= self._time:
            self._due += self._period
        return Frame(rgb=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), captured_at=captured_at)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
        self._end = self._end or EndOfStreamError(f"{self._path} was closed")

    def _advance(self, start: float) -> None:
        """Grab frames up to the next one to deliver; those skipped are never converted to RGB."""
        while True:
            if not self._grab():
                self._end = self._ending()
                raise self._end
            if self._time < self._due:
                continue
            late_s = self._clock() - (start + self._time) if self._paced else 0.0
            if self._period < late_s <= _SLIP_S:
                self.dropped += 1
                continue
            if late_s > _SLIP_S:
                self._start = start + late_s
            self._waiting = True
            return

    def _grab(self) -> bool:
        """Decode the next frame and read its time."""
        if not self._capture.grab():
            return False
        timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._grabbed == 0:
            self._first_timestamp = timestamp if math.isfinite(timestamp) else 0.0
        else:
            at = timestamp - self._first_timestamp
            # Some containers have no timestamps, or the same one twice: then the frame rate tells the time.
            self._time = at if at > self._time else self._time + self._frame_s
        self._grabbed += 1
        return True

    def _ending(self) -> EdgeError:
        missing = self._expected() - self._grabbed
        if missing > max(_MISSING_FRAMES, _MISSING_SHARE * self._expected()):
            return self._damage()
        return EndOfStreamError(f"{self._path} is over")

    def _damage(self) -> DataError:
        expected = self._expected()
        of = f" of {expected}" if expected else ""
        return DataError(f"{self._path} is damaged: {self._grabbed}{of} frames could be read")

    def _expected(self) -> int:
        """Frames the container announces; 0: it does not say."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if math.isfinite(count) and count > 0 else 0
