"""Plays a video file at its original speed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.container import container
from edge.camera.files import check_file
from edge.camera.opencv import Conversion, squared, video_capture
from edge.camera.pace import Pace
from edge.errors import DataError, EdgeError, EndOfStreamError, UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.settings import CameraSettings

_FALLBACK_FPS = 25.0
"""Frame rate of a container that specifies none."""

_SLIP_S = 1.0
"""Delay after which playback continues from where it is. On a machine that decodes too slowly, dropping frames would
never catch up, and no frame would be delivered."""

_MISSING_SHARE, _MISSING_FRAMES = 0.05, 5
"""Share and number of frames that an intact file may lack: containers round."""

_WHOLE_SHARE = 0.8
"""Share of the stated duration that an intact file reaches at least, in containers that tell nothing else. The frame
rate, from which OpenCV derives the duration, is a guess there."""


class VideoCamera:
    """Plays a file like a camera: a slow reader misses frames, a fast one waits."""

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
            settings: `fps` is the highest frame rate; further frames are skipped by their timestamps.
            pace: play in real time; False: every `read` returns the next frame at once.
            clock: monotonic, s.
            sleep: waits, s.

        Raises:
            NoInputError: the file does not exist.
            PermissionRefusedError: this user may not read it.
            DataError: it is not a video, or it is damaged.
            UnavailableError: OpenCV has no decoder for it.
        """
        self.name = f"video:{path}"
        self.dropped = 0
        """Number of frames skipped because the reader was too slow."""
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
        """Position of the last grabbed frame in the file, s."""
        self._due = 0.0
        """Position in the file, s, from which on the next frame is delivered."""
        self._start: float | None = None
        self._end: EdgeError | None = None
        self._conversion = Conversion(self.name)
        if not (self._capture.isOpened() and self._grab()):
            error = self._unreadable()
            self._capture.release()
            raise error
        self._waiting = True
        """Whether the last grabbed frame has not been delivered yet."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when it is due; None: it is not due within timeout_s.

        `captured_at` is the time of the first read plus the frame's timestamp, plus delays of the playback.

        Raises:
            EndOfStreamError: the file has ended.
            DataError: it is damaged; all frames before were delivered.
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
        picture = np.asarray(bgr, np.uint8)
        self._conversion.check(picture)
        rgb = cv2.cvtColor(squared(picture, self._capture), cv2.COLOR_BGR2RGB)
        return Frame(rgb=np.asarray(rgb, np.uint8), captured_at=captured_at)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
        self._end = self._end or EndOfStreamError(f"{self._path} was closed")

    def _advance(self, start: float) -> None:
        """Grab frames up to the next one to deliver; skipped ones are not converted to RGB."""
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
        """Grab the next frame and read its timestamp."""
        if not self._capture.grab():
            return False
        timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._grabbed == 0:
            self._first_timestamp = timestamp if math.isfinite(timestamp) else 0.0
        else:
            at = timestamp - self._first_timestamp
            # If a container has no timestamps, or repeats one, the frame rate gives the time.
            self._time = at if at > self._time else self._time + self._frame_s
        self._grabbed += 1
        return True

    def _ending(self) -> EdgeError:
        self._conversion.end()
        expected = self._expected()
        spare = max(_MISSING_FRAMES, _MISSING_SHARE * expected)
        if expected - self._grabbed > spare and not self._is_whole(expected, spare):
            return self._damage()
        return EndOfStreamError(f"{self._path} has ended")

    def _is_whole(self, expected: int, spare: float) -> bool:
        """Whether a file of which fewer frames were read than expected is whole all the same."""
        found = container(self._path)
        if found.whole is None:
            return self._time + self._frame_s >= _WHOLE_SHARE * expected * self._frame_s
        packets = self._packets()
        lost = expected - packets if found.lists_frames else packets - self._grabbed
        return found.whole and lost <= spare

    def _packets(self) -> int:
        """Number of encoded pictures in the file."""
        capture = video_capture(str(self._path), cv2.CAP_FFMPEG, {cv2.CAP_PROP_FORMAT: -1})
        count = 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _unreadable(self) -> EdgeError:
        """The error for a file of which no frame can be read."""
        if self._capture.isOpened() and container(self._path).whole and self._packets():
            codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace")
            return UnavailableError(
                f"{self._path} cannot be decoded: OpenCV {cv2.__version__} has no decoder for its video ({codec}); "
                f"convert it with ffmpeg -i {self._path} -c:v libx264 NEW.mp4"
            )
        return DataError(f"{self._path} is not a video that can be decoded, or it is truncated")

    def _damage(self) -> DataError:
        expected = self._expected()
        of = f" of {expected}" if expected else ""
        return DataError(f"{self._path} is damaged: {self._grabbed}{of} frames could be read")

    def _expected(self) -> int:
        """Number of frames according to the container; 0: unknown."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if math.isfinite(count) and count > 0 else 0
