"""What the daemon publishes. Publishing only fills an outbox; a thread of its own, the worker, talks to the broker."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING

from edge.messages.payloads import Payload, encode
from edge.messages.topics import DISCOVERY, EVENT, HEALTH, INFO, REPLY, SHADOW_STATE, STATE, Namespace, Topic
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.outbox import Message, Outbox
from edge.mqtt.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.errors import EdgeError
    from edge.mqtt.inbox import Inbox
    from edge.settings import MqttSettings

log = logging.getLogger(__name__)


class Publisher:
    """The MQTT side of the daemon. Every method but `stop` returns at once, whatever the broker does."""

    def __init__(
        self,
        settings: MqttSettings,
        device: str,
        inbox: Inbox | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the settings; nothing is sent before `start`.

        Args:
            settings: the section [mqtt].
            device: second level of every topic, and part of the client id.
            inbox: takes the commands that arrive; None: the device takes no commands.
            clock: monotonic, s.

        Raises:
            ConfigError: URL, password file, device or base are not usable.
        """
        self._settings = settings
        self._clock = clock
        if settings.discovery:
            check_base(settings.discovery, "mqtt.discovery")
        self._names = Namespace(check_base(settings.base), check_device(device), settings.discovery)
        self._address = BrokerAddress.of(settings)
        self._outbox = Outbox(size=settings.queue, expiry_s=settings.expiry_s)
        self._worker = Worker(settings, self._address, self._names, outbox=self._outbox, inbox=inbox, clock=clock)

    @property
    def connected(self) -> bool:
        """Whether the broker takes messages right now."""
        return self._worker.serving

    @property
    def broker(self) -> str:
        """Address of the broker, without user and password."""
        return str(self._address)

    @property
    def trouble(self) -> str:
        """Why there is no connection, in a few words; empty: there is one, or the first attempt is under way."""
        return "" if self.connected else self._worker.trouble

    @property
    def queued(self) -> int:
        """Events that the broker hasn't acknowledged yet."""
        return len(self._outbox) + self._worker.session.in_flight.events

    @property
    def lost(self) -> int:
        """Events given up: too old, too many, or interrupted, so that their delivery is unknown."""
        return self._outbox.lost

    @property
    def problem(self) -> EdgeError | None:
        """Reason why retrying is pointless; None while it is not."""
        return self._worker.problem

    @property
    def rejected(self) -> str:
        """One line on what the broker does not take of us; empty: it takes everything."""
        return self._worker.rejected

    @property
    def alive(self) -> bool:
        """Whether the thread gets on, or waits for something that may take its time; False: it hangs."""
        return self._worker.alive

    def serves(self, settings: MqttSettings, device: str) -> bool:
        """Whether other settings lead to the very session that this publisher has.

        Raises:
            ConfigError: they are not usable.
        """
        ours = self._settings
        # These two are the daemon's: the session knows nothing of them.
        same = dataclasses.replace(
            settings, state_interval_s=ours.state_interval_s, health_interval_s=ours.health_interval_s
        )
        address = BrokerAddress.of(settings)  # read again: the password may be another in the same file
        return (same, device, address) == (ours, self._names.device, self._address)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._worker.start()

    def event(self, payload: Payload, at: float) -> None:
        """Publish an event that happened `at` (s, monotonic); it waits while the broker is away."""
        self._outbox.add_event(Message(EVENT, encode(payload), at))
        self._worker.wake()

    def state(self, payload: Payload) -> None:
        """Publish the state; only the latest one waits."""
        self._replace(STATE, payload)

    def info(self, payload: Payload) -> None:
        """Publish what runs here; it is published again on every connection."""
        self._replace(INFO, payload)

    def discovery(self, payload: Payload | None) -> None:
        """Announce the device to Home Assistant, on every connection and whenever that starts; None: remove it."""
        if self._settings.discovery:
            self._replace(DISCOVERY, payload)

    def reply(self, command: str, payload: Payload) -> None:
        """Answer a command."""
        self._outbox.add_reply(Message(REPLY, encode(payload), self._clock(), command))
        self._worker.wake()

    def health(self, payload: Payload) -> None:
        """Publish the health if the broker is there; old health is of no use."""
        if self.connected:
            self._replace(HEALTH, payload)

    def shadow_state(self, payload: Payload) -> None:
        """Publish what a shadow would show if the broker is there; like health it tells of this moment alone."""
        if self.connected:
            self._replace(SHADOW_STATE, payload)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Deliver what waits, publish `offline`, disconnect; give up after `timeout_s`. Call it once.

        When time runs out, the connection is cut, and the broker publishes `offline` as our last will.
        """
        self._worker.stop(timeout_s)
        if self.queued:
            log.warning("stopped before %d events were delivered", self.queued)

    def _replace(self, topic: Topic, payload: Payload | None) -> None:
        self._outbox.replace(Message(topic, b"" if payload is None else encode(payload), self._clock()))
        self._worker.wake()
