"""Commands on their way from the thread that receives them to the loop."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from edge.messages.commands import BYTES_MAX, Refusal, Request, parse

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING_MAX = 16
"""Commands that wait for the loop, which takes them between two frames."""
BURST, PER_S = 20.0, 2.0
"""Commands that are taken at once, and as a rule: a person presses no faster."""


class Inbox:
    """Messages on their way from the thread that receives them to the loop: few, and not too often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing waits.

        Args:
            clock: monotonic s.
        """
        self._clock = clock
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._allowance, self._counted_at = BURST, clock()
        self._dropped = 0
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Messages that nobody looked at."""
        return self._dropped

    def put(self, name: str, payload: bytes, *, retained: bool) -> None:
        """Keep a message for the loop, unless there are too many.

        Args:
            name: last level of its topic.
            payload: as it came.
            retained: the broker had kept it. What was asked once must not be done again at every connection.
        """
        with self._lock:
            now = self._clock()
            self._allowance = min(BURST, self._allowance + PER_S * (now - self._counted_at))
            self._counted_at = now
            if retained or self._allowance < 1 or len(self._waiting) >= WAITING_MAX:
                self._dropped += 1
                return
            self._allowance -= 1
            # No more of it than it takes to see that it is too long.
            self._waiting.append((name, bytes(payload[: BYTES_MAX + 1])))

    def take(self) -> Request | Refusal | None:
        """The next message, understood; None: nothing waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                name, payload = self._waiting.popleft()
            if (asked := parse(name, payload)) is not None:
                return asked
            self._dropped += 1
