"""The one subscriber to everything, which counts what a fleet publishes."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import UnavailableError
from edge.mqtt.subscriber import Received, Subscriber

if TYPE_CHECKING:
    from tests.benchmarks.fleet_sim.broker import Broker

PUBLISHED_BYTES, NETWORK_BYTES = "$SYS/broker/publish/bytes/received", "$SYS/broker/bytes/received"
"""Counters of mosquitto (mosquitto(8), broker status): bytes of payload, and all bytes of MQTT. Its counter of messages
misses some of MQTT 5 clients."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All counters at the same time."""

    at: float
    """s, monotonic."""
    cpu_s: float
    """Processor time of the broker."""
    received: int
    """Messages received by the subscriber to everything."""
    received_bytes: int
    """Bytes of their payloads."""
    published_bytes: int
    """Bytes of payloads that the broker has received."""
    network_bytes: int
    """All bytes that the broker has received, the overhead of MQTT included."""


class Everything(threading.Thread):
    """The one subscriber to everything: counts messages until it is told to end."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(daemon=True)
        self.moments: list[Moment] = []
        """One for each time that the broker published its counters, in order with the other messages."""
        self.ended = threading.Event()
        self._broker = broker
        self._received = self._received_bytes = self._network_bytes = 0
        self._subscriber = Subscriber(broker.address)
        self._subscriber.subscribe([PUBLISHED_BYTES, NETWORK_BYTES, "emotion/#"])

    def run(self) -> None:
        # If the broker goes away, this thread ends, and whoever waits for the next moment notices.
        with self._subscriber, contextlib.suppress(UnavailableError):
            while not self.ended.is_set():
                for message in self._subscriber.receive(0.2):
                    self._count(message)

    def _count(self, message: Received) -> None:
        if message.topic == NETWORK_BYTES:
            self._network_bytes = int(message.payload)
        elif message.topic == PUBLISHED_BYTES:
            counters = self._received, self._received_bytes, int(message.payload), self._network_bytes
            self.moments.append(Moment(time.monotonic(), self._broker.cpu_s, *counters))
        else:
            self._received += 1
            self._received_bytes += len(message.payload)
