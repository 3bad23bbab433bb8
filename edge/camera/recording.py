"""Plays a recording of landmarks like a camera with a face mesh."""

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
    """Plays a recording at its original speed."""

    live = False
    dropped = 0  # each frame waits until it is read

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
            path: a file that `emotion-edge record` wrote.
            pace: play in real time; False: every `read` returns the next frame at once.
            clock: monotonic, s.
            sleep: waits, s.

        Raises:
            NoInputError: the file does not exist.
            PermissionRefusedError: this user may not read it.
            DataError: it is not a recording.
        """
        self.name = f"recording:{path}"
        self._reader = RecordingReader(path)
        self.header = self._reader.header
        """Size of the recorded frames, and the face mesh."""
        self._frames = iter(self._reader)
        self._path = path
        self._paced = pace
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._start: float | None = None
        self._next: Frame | None = None
        self._end: EdgeError | None = None

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, when it is due. Its picture is empty, and its faces are known.

        Raises:
            EndOfStreamError: the recording has ended.
            DataError: it is damaged; all frames before were delivered.
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
            self._end = EndOfStreamError(f"{self._path} has ended")
        except EdgeError as error:
            self._end = error
        raise self._end
