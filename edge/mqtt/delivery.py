"""Hands to a session what waits in the outbox, and learns what the broker doesn't take: all else goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.errors import PermissionRefusedError
from edge.messages.payloads import ONLINE
from edge.messages.topics import AVAILABILITY, COMMAND, EVENT, HEALTH, HOME_ASSISTANT_STATUS, SHADOW_STATE
from edge.mqtt import notices
from edge.mqtt.outbox import REPUBLISHED, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.messages.topics import Namespace
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.outbox import Outbox
    from edge.mqtt.reconnect import Reconnect
    from edge.mqtt.session import Session

log = logging.getLogger(__name__)

RENEW_S = 1.0
"""Time from the removal of a retained message to its return: whoever removes one topic removes the others as well."""


class Delivery:
    """Everything that a device sends, over all of its connections. Only the worker's thread uses it."""

    def __init__(
        self,
        address: BrokerAddress,
        names: Namespace,
        *,
        outbox: Outbox,
        reconnect: Reconnect,
        clock: Callable[[], float],
    ) -> None:
        """Nothing is known of the broker yet.

        Args:
            address: the broker, for messages.
            names: the device's topics.
            outbox: messages to deliver.
            reconnect: knows what is left out.
            clock: monotonic, s.
        """
        self._address = address
        self._names = names
        self._outbox = outbox
        self._reconnect = reconnect
        self._clock = clock
        self._refused: dict[str, str] = {}
        """Topic -> why the broker does not take it, as far as it is known of this connection."""
        self._left_out: dict[str, str] = {}
        """Topic -> why it is left out, although the broker may take it by now."""
        self._renew_at: float | None = None
        """When to publish again what somebody has removed from the broker; None: it is all there."""

    @property
    def rejected(self) -> str:
        """One line on what the broker does not take of us; empty: it takes everything. Other threads may ask."""
        found = {**self._left_out, **self._refused}
        rejected = ", ".join(f"{path} ({why})" for path, why in sorted(found.items()))
        return f"the broker rejects {rejected}" if rejected else ""

    def begin(self, session: Session) -> None:
        """Start a connection: subscribe, and let all be published again that a broker may have forgotten."""
        self._refused.clear()
        self._renew_at = None
        self.requeue(session)
        self._outbox.republish()
        session.careful = self._reconnect.is_careful(self._clock())
        if not session.careful:  # before anybody sees that we are online, and sends a command
            self._subscribe(session)

    def step(self, session: Session) -> None:
        """Publish what waits, as far as the send quota goes: info and state first, one at a time."""
        now = self._clock()
        session.careful = self._reconnect.is_careful(now)
        self._subscribe(session)
        if self._renew_at is not None and now >= self._renew_at and session.send_quota:
            self._renew_at = None
            self._outbox.renew()
            self.publish(session, Message(AVAILABILITY, ONLINE, now))
        for topic in (*REPUBLISHED, SHADOW_STATE):
            if session.send_quota and topic not in session.in_flight and (message := self._outbox.take(topic)):
                self.publish(session, message)
        while session.send_quota and (message := self._outbox.next_reply()):
            self.publish(session, message)
        # With QoS 0, it needs no quota; but alone it can be told whether the broker rejects it.
        if (session.send_quota or not session.careful) and (message := self._outbox.take(HEALTH)):
            self.publish(session, message)
        while session.send_quota and (message := self._outbox.next_event(self._clock())):
            if not self.publish(session, message):
                self._outbox.count_lost(1)

    def publish(self, session: Session, message: Message) -> bool:
        """Publish a message, unless the broker is known to reject it.

        Returns:
            Whether it was published.
        """
        path = self._names.path(message.topic, message.command)
        if self._reconnect.leaves_out(f"publish {message.topic.name}", self._clock()):
            return False
        if session.packet_max is not None and not session.fits(message):
            size = session.packet_size(message)
            line = notices.too_large(self._address, path, size, session.packet_max)
            self._refuse(path, f"larger than {session.packet_max:,} bytes", line)
            return False
        self._left_out.pop(path, None)
        session.publish(message)
        return True

    def renew(self) -> None:
        """Publish again, soon, what somebody has removed from the broker."""
        self._renew_at = self._renew_at or self._clock() + RENEW_S

    def requeue(self, session: Session) -> None:
        """Take back from a session what it couldn't deliver."""
        undelivered, unconfirmed = session.in_flight.take_undelivered()
        self._outbox.put_back(undelivered)
        self._outbox.count_lost(unconfirmed)

    def leave_out(self, path: str) -> None:
        """Remember a topic because of which the broker ends connections."""
        self._left_out[path] = "it ends the connection"

    def check_refusals(self, session: Session) -> None:
        """Look at what the broker doesn't let us do, although it lets us connect.

        Raises:
            PermissionRefusedError: it is to say that we are online, on the first connection.
        """
        for subscription, reason in session.subscriptions.refused:
            if subscription.topic in {COMMAND, HOME_ASSISTANT_STATUS}:  # the others are of use only to repair
                self._refuse(subscription.path, reason, self._refusal(f"subscribe to {subscription.path} ({reason})"))
        session.subscriptions.refused.clear()
        if not session.publish_refused and AVAILABILITY not in session.in_flight:
            self._reconnect.authorise()
        for message, reason in session.publish_refused:
            path = self._names.path(message.topic, message.command)
            line = self._refusal(f"publish {path} ({reason})")
            if message.topic is AVAILABILITY and not self._reconnect.authorised:
                raise PermissionRefusedError(line)
            self._refuse(path, reason, line)
            self._outbox.count_lost(int(message.topic is EVENT))
        session.publish_refused.clear()

    def _subscribe(self, session: Session) -> None:
        now = self._clock()
        session.subscribe(lambda subscription: not self._reconnect.leaves_out(subscription.name, now))

    def _refusal(self, what: str) -> str:
        return f"{self._address} does not let {self._address.user} {what}; check the access list of the broker"

    def _refuse(self, path: str, why: str, line: str) -> None:
        """Remember what the broker does not take, and log it once in a connection."""
        if path not in self._refused:
            log.warning("%s", line)
        self._refused[path] = why
