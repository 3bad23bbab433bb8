"""Messages in flight: published, and not acknowledged yet. Decides what becomes of them when a connection ends.

paho keeps the state of each delivery and repeats it on the next connection. Not every delivery may be repeated, and
paho has no interface to tell it so: this module is the only one that touches its private queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paho.mqtt.enums import MessageState

from edge.messages.topics import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paho.mqtt.client import Client, MQTTMessage

    from edge.messages.topics import Topic
    from edge.mqtt.outbox import Message

EXACTLY_ONCE: Final = 2
"""QoS whose delivery has a state that is worth resuming."""

_RELEASED: Final = frozenset({MessageState.MQTT_MS_RESEND_PUBREL, MessageState.MQTT_MS_WAIT_FOR_PUBCOMP})
"""States of a delivery after PUBREL, which allows the broker to pass the message on."""


class InFlight:
    """Messages of one session by packet identifier. Only the session's thread changes them."""

    def __init__(self, client: Client, expiry_s: float, clock: Callable[[], float]) -> None:
        """No message is in flight.

        Args:
            client: the session's, whose queue is kept in step.
            expiry_s: age at which events are of no use to anybody.
            clock: monotonic, s.
        """
        self._client = client
        self._expiry_s = expiry_s
        self._clock = clock
        self._messages: dict[int, Message] = {}
        self._undelivered: list[Message] = []
        self._unconfirmed = 0

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, topic: Topic) -> bool:
        return any(message.topic is topic for message in self._messages.values())

    @property
    def oldest(self) -> Message | None:
        """The one that was published first."""
        return next(iter(self._messages.values()), None)

    @property
    def events(self) -> int:
        """How many of them are events. Other threads may ask."""
        # list() copies in one step: a daemon's thread asks while the session's thread works.
        return sum(message.topic is EVENT for message in list(self._messages.values()))

    def add(self, mid: int, message: Message) -> None:
        """A message was published with this packet identifier."""
        self._messages[mid] = message

    def acknowledge(self, mid: int) -> Message | None:
        """The delivery with this packet identifier is over; None: nothing is known of it."""
        return self._messages.pop(mid, None)

    def remaining_s(self, message: Message) -> int:
        """How long a message still has until it expires, in whole seconds: at least 1."""
        return max(1, round(self._expiry_s - (self._clock() - message.created_at)))

    def prepare_resumption(self) -> None:
        """Before a connection: leave to paho only what it must resume, each in a state from which it can."""
        for mid, pending in list(self._pending()):
            if pending.qos < EXACTLY_ONCE:
                # Repeating it could put an old state over a newer one, or deliver an event twice.
                self._forget(mid)
            elif pending.state == MessageState.MQTT_MS_RESEND_PUBREL:
                # paho 2.x takes a second failed attempt in this state for "not sent yet" and publishes again.
                pending.state = MessageState.MQTT_MS_WAIT_FOR_PUBCOMP

    def resume(self) -> None:
        """The broker knows the session: what paho is about to repeat has less time left than at first, or none."""
        for mid, pending in list(self._pending()):
            message = self._messages.get(mid)
            if message is None or self._clock() - message.created_at >= self._expiry_s:
                self._forget(mid)
            elif pending.properties is not None:
                pending.properties.MessageExpiryInterval = self.remaining_s(message)

    def abandon(self) -> None:
        """The broker doesn't know the session: sort the messages by what may have become of them."""
        for mid, pending in list(self._pending()):
            message = self._messages.get(mid)
            if message is not None and pending.qos == EXACTLY_ONCE and pending.state not in _RELEASED:
                # The broker delivers a message once we have released it. We haven't, so no subscriber has it.
                self._undelivered.append(self._messages.pop(mid))
            self._forget(mid)

    def take_undelivered(self) -> tuple[list[Message], int]:
        """Take over the events of sessions that have ended, once.

        Returns:
            Events that were certainly not delivered, to be queued again; and the number of events that were given up
            because their delivery is unknown.
        """
        undelivered, unconfirmed = self._undelivered, self._unconfirmed
        self._undelivered, self._unconfirmed = [], 0
        return undelivered, unconfirmed

    def _pending(self) -> Iterator[tuple[int, MQTTMessage]]:
        """Messages that paho hasn't seen acknowledged, oldest first."""
        yield from self._client._out_messages.items()  # noqa: SLF001

    def _forget(self, mid: int) -> None:
        self._client._out_messages.pop(mid, None)  # noqa: SLF001
        message = self._messages.pop(mid, None)
        if message is not None and message.topic is EVENT:
            self._unconfirmed += 1
