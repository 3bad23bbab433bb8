"""A recording of landmarks, played as if a camera and the face mesh were at work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.camera.pace import Pace
from edge.camera.recording_file import RecordingReader
from edge.errors import EdgeError, EndOfStreamError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.values import Frame


class RecordingCamera:
    """Plays a recording at the speed it was made."""

    live = False
    dropped = 0  # each waits until it is asked for

    def __init__(
        self,
        path: Path,
        *,
        pace: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the recording.

        Args:
            path: what `emotion-edge record` wrote.
            pace: play in real time; False: every `read` gives the next frame at once.
            clock: monotonic s.
            sleep: waits for so many s.

        Raises:
            NoInputError: there is no such file.
            PermissionRefusedError: this user may not read it.
            DataError: it is not a recording.
        """
        self.name = f"recording:{path}"
        self._reader = RecordingReader(path)
        self.header = self._reader.header
        """Size of the frames the landmarks are in, and what made them."""
        self._frames = iter(self._reader)
        self._path = path
        self._paced = pace
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._start: float | None = None
        self._next: Frame | None = None
        self._end: EdgeError | None = None

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when its time has come; its picture is empty, its faces are known.

        Raises:
            EndOfStreamError: the recording is over.
            DataError: it is damaged; the whole frames before were delivered.
        """
        if self._next is None:
            self._next = self._following()
        if self._start is None:
            self._start = self._clock()
        captured_at = self._start + self._next.captured_at
        if self._paced and not self._pace.wait_until(captured_at, timeout_s):
            return None
        frame, self._next = self._next, None
        return replace(frame, captured_at=captured_at)

    def close(self) -> None:
        """Close the file."""
        self._end = self._end or EndOfStreamError(f"{self._path} was closed")
        self._next = None
        self._reader.close()

    def _following(self) -> Frame:
        if self._end is not None:
            raise self._end
        try:
            return next(self._frames)
        except StopIteration:
            self._end = EndOfStreamError(f"{self._path} is over")
        except EdgeError as error:
            self._end = error
        raise self._end
