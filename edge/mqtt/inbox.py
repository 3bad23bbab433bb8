"""Commands on their way from the thread that receives them to the daemon's loop."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from edge.messages.commands import BYTES_MAX, Refusal, Request, parse

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING_MAX = 16
"""Commands that may wait for the loop, which takes them between two frames."""

BURST = 20.0
"""Commands that are accepted at once."""

PER_S = 2.0
"""Commands that are accepted per second in the long run: a person presses buttons no faster."""


class Inbox:
    """Queue of commands, bounded in number and, by a token bucket, in rate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty.

        Args:
            clock: monotonic, s.
        """
        self._clock = clock
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._tokens, self._filled_at = BURST, clock()
        self._dropped = 0
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Commands that were ignored since the start."""
        return self._dropped

    def put(self, name: str, payload: bytes, *, retained: bool) -> bool:
        """Queue a command, unless there are too many.

        Args:
            name: last level of its topic.
            payload: as it arrived.
            retained: whether the broker had retained it; it is ignored then, or it would be carried out again on every
                connection.

        Returns:
            Whether it is queued.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(BURST, self._tokens + PER_S * (now - self._filled_at))
            self._filled_at = now
            if retained or self._tokens < 1 or len(self._waiting) >= WAITING_MAX:
                self._dropped += 1
                return False
            self._tokens -= 1
            # One byte beyond the limit is enough to see that it is too long.
            self._waiting.append((name, bytes(payload[: BYTES_MAX + 1])))
            return True

    def take(self) -> Request | Refusal | None:
        """The next command, parsed; None: none waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                name, payload = self._waiting.popleft()
            if (asked := parse(name, payload)) is not None:
                return asked
            self._dropped += 1
