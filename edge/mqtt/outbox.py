"""What waits to be published: a bounded queue of events, and the newest state, info and health.

The one object that the daemon's thread and the publisher's thread share, and therefore the one with a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Topic: TypeAlias = Literal["availability", "state", "event", "health", "info", "shadow/state", "discovery", "reply"]
"""What follows the device in a topic; `discovery` has a place of its own, and a reply one more level."""

Newest: TypeAlias = Literal["state", "health", "info", "shadow/state", "discovery"]
"""The topics of which only the newest message matters."""

LASTING: tuple[Newest, ...] = ("discovery", "info", "state")
"""Those of which it matters even after the broker was away."""

REPLIES_MAX = 16
"""Answers that wait; no more commands do."""


@dataclass(frozen=True, slots=True)
class Message:
    """A payload on its way to the broker."""

    topic: Topic
    payload: bytes
    born_at: float
    """s, monotonic: when what it tells happened."""
    level: str = ""
    """Last level of the topic of a reply: what it answers."""


class Outbox:
    """Keeps at most `size` events, each for at most `life_s` seconds; the oldest is dropped first."""

    def __init__(self, *, size: int, life_s: float) -> None:
        self._size = size
        self._life_s = life_s
        self._events: deque[Message] = deque()
        self._replies: deque[Message] = deque(maxlen=REPLIES_MAX)
        self._newest: dict[Newest, Message] = {}
        self._unsent: set[Newest] = set()
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
        """Queue events again that the broker did not take, before all others; they keep their order."""
        with self._lock:
            self._events.extendleft(reversed(list(messages)))
            self._shorten()

    def next_event(self, now: float) -> Message | None:
        """Take the oldest event that is not too old at `now` (s, monotonic)."""
        with self._lock:
            while self._events:
                message = self._events.popleft()
                if now - message.born_at < self._life_s:
                    return message
                self._lost += 1
            return None

    def add_reply(self, message: Message) -> None:
        """Queue an answer; nobody waits for the oldest of many."""
        with self._lock:
            self._replies.append(message)

    def next_reply(self) -> Message | None:
        """Take the oldest answer."""
        with self._lock:
            return self._replies.popleft() if self._replies else None

    def count_lost(self, events: int) -> None:
        """Count events of which nobody knows whether they arrived."""
        with self._lock:
            self._lost += events

    def replace(self, topic: Newest, message: Message) -> None:
        """Make `message` the newest of its topic."""
        with self._lock:
            self._newest[topic] = message
            self._unsent.add(topic)

    def take(self, topic: Newest) -> Message | None:
        """The newest message of a topic, if it was not taken before."""
        with self._lock:
            if topic not in self._unsent:
                return None
            self._unsent.discard(topic)
            return self._newest[topic]

    def renew(self) -> None:
        """Offer what lasts again: a broker that was away may have forgotten it. Answers come too late now."""
        with self._lock:
            self._replies.clear()
            self._unsent = {topic for topic in LASTING if topic in self._newest}

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._events and not self._unsent and not self._replies

    def _shorten(self) -> None:
        while len(self._events) > self._size:
            self._events.popleft()
            self._lost += 1
