"""What waits to be published: a bounded queue of events, and the latest message of every other topic.

The daemon's thread fills it and the worker's thread empties it, hence the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge.messages.topics import DISCOVERY, INFO, STATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.messages.topics import Topic

REPUBLISHED: Final = (DISCOVERY, INFO, STATE)
"""Topics whose latest message is published again on every connection: a broker may have forgotten it."""

REPLIES_MAX = 16
"""Replies that may wait: as many as commands, see `inbox.WAITING_MAX`."""


@dataclass(frozen=True, slots=True)
class Message:
    """A payload on its way to the broker."""

    topic: Topic
    payload: bytes
    created_at: float
    """s, monotonic: when what it tells happened."""
    command: str = ""
    """Name of the command that a reply answers."""


class Outbox:
    """Keeps at most `size` events, each for at most `expiry_s` seconds; the oldest is dropped first."""

    def __init__(self, *, size: int, expiry_s: float) -> None:
        self._size = size
        self._expiry_s = expiry_s
        self._events: deque[Message] = deque()
        self._replies: deque[Message] = deque(maxlen=REPLIES_MAX)
        self._latest: dict[Topic, Message] = {}
        self._unsent: set[Topic] = set()
        self._lost = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Events that wait."""
        return len(self._events)

    @property
    def lost(self) -> int:
        """Events given up since the start."""
        return self._lost

    def add_event(self, message: Message) -> None:
        """Queue an event."""
        with self._lock:
            self._events.append(message)
            self._shorten()

    def put_back(self, messages: Iterable[Message]) -> None:
        """Queue events again that were not delivered, before all others; they keep their order."""
        with self._lock:
            self._events.extendleft(reversed(list(messages)))
            self._shorten()

    def next_event(self, now: float) -> Message | None:
        """Take the oldest event that is not too old at `now` (s, monotonic)."""
        with self._lock:
            while self._events:
                message = self._events.popleft()
                if now - message.created_at < self._expiry_s:
                    return message
                self._lost += 1
            return None

    def add_reply(self, message: Message) -> None:
        """Queue a reply; where too many wait, the oldest is dropped."""
        with self._lock:
            self._replies.append(message)

    def next_reply(self) -> Message | None:
        """Take the oldest reply."""
        with self._lock:
            return self._replies.popleft() if self._replies else None

    def count_lost(self, events: int) -> None:
        """Count events whose delivery is unknown as lost."""
        with self._lock:
            self._lost += events

    def replace(self, message: Message) -> None:
        """Make `message` the latest of its topic."""
        with self._lock:
            self._latest[message.topic] = message
            self._unsent.add(message.topic)

    def take(self, topic: Topic) -> Message | None:
        """The latest message of a topic, if it was not taken before."""
        with self._lock:
            if topic not in self._unsent:
                return None
            self._unsent.discard(topic)
            return self._latest[topic]

    def republish(self) -> None:
        """Offer the messages of `REPUBLISHED` again, and nothing else but events: replies would come too late."""
        with self._lock:
            self._replies.clear()
            self._unsent.clear()
        self.renew()

    def renew(self) -> None:
        """Offer the messages of `REPUBLISHED` again, and keep what waits."""
        with self._lock:
            self._unsent.update(topic for topic in REPUBLISHED if topic in self._latest)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._events and not self._unsent and not self._replies

    def _shorten(self) -> None:
        while len(self._events) > self._size:
            self._events.popleft()
            self._lost += 1
