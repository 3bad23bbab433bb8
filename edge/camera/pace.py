"""When frames are due: those of files are waited for, those of live cameras that come too early are skipped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock and how to wait; both in s, the clock is monotonic."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until(self, due: float, timeout_s: float) -> bool:
        """Wait until a time, but no longer than `timeout_s`.

        Args:
            due: s, on the clock.
            timeout_s: s, the longest wait.

        Returns:
            Whether the time has come.
        """
        wait = due - self.clock()
        if wait <= 0:
            return True
        self.sleep(max(min(wait, timeout_s), 0.0))
        return wait <= timeout_s


class Skipping:
    """Skips the frames of a live camera that come faster than a rate."""

    def __init__(self, fps: float, clock: Callable[[], float]) -> None:
        """Expect the first frame now.

        Args:
            fps: the highest rate, frames/s.
            clock: monotonic, s.
        """
        self._period = 1 / fps
        self._clock = clock
        self._due = clock()

    def next(self, grab: Callable[[], bool]) -> float | None:
        """Grab frames up to the first one that is due.

        Args:
            grab: takes the next frame from the camera; False: there is none.

        Returns:
            When it was grabbed, s; None: the camera has no more.
        """
        while grab():
            grabbed_at = self._clock()
            if grabbed_at >= self._due:
                self._due = max(self._due + self._period, grabbed_at)
                return grabbed_at
        return None
