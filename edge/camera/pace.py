"""Waiting for the moment a frame is due."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock to wait by; `clock` gives monotonic s, `sleep` waits for so many."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until(self, due: float, timeout_s: float) -> bool:
        """Wait for a moment, but no longer than asked.

        Args:
            due: s, on the clock.
            timeout_s: s, how long to wait at most.

        Returns:
            Whether the moment has come.
        """
        wait = due - self.clock()
        if wait <= 0:
            return True
        self.sleep(max(min(wait, timeout_s), 0.0))
        return wait <= timeout_s
