"""Asks a broker what it retains of the devices of a fleet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.fleet.status import STATUS_TOPICS
from edge.messages.topics import AVAILABILITY, Namespace, Topic
from edge.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.mqtt.address import BrokerAddress

QUIET_S = 0.3
"""Silence after which a broker that has answered has sent all that it retains."""


def read(
    address: BrokerAddress, base: str, devices: Sequence[str], *, wait_s: float
) -> tuple[dict[str, dict[Topic, bytes]], bool]:
    """What is retained of some devices, or of all.

    Only `availability` is subscribed to with a wildcard, and the rest for one device after the other: of a large fleet,
    a broker retains more than it sends to one subscriber at once, and it drops the excess without a word.

    Args:
        address: the broker.
        base: as in mqtt.base.
        devices: their names; empty: all.
        wait_s: how long the broker may be silent before it has answered all subscriptions.

    Returns:
        Payloads by device and topic, and whether that is all: False where the broker fell silent.

    Raises:
        UnavailableError: the broker is away.
        PermissionRefusedError: the broker refuses the user, or a subscription.
    """
    found: dict[str, dict[Topic, bytes]] = {device: {} for device in devices}
    with Subscriber(address) as subscriber:
        complete, topics = True, list(STATUS_TOPICS)
        if not devices:
            subscriber.subscribe([Namespace(base).path(AVAILABILITY)])
            complete = _gather(subscriber, base, found, wait_s)
            topics.remove(AVAILABILITY)
        subscriber.subscribe([Namespace(base, device).path(topic) for device in found for topic in topics])
        complete &= _gather(subscriber, base, found, wait_s)
    return found, complete


def status_topic(path: str, base: str) -> tuple[str, Topic] | None:
    """Device and topic, where it is one of `STATUS_TOPICS`; None for any other."""
    parsed = Namespace(base).parse(path)
    return (parsed.device, parsed.topic) if parsed is not None and parsed.topic in STATUS_TOPICS else None


def _gather(subscriber: Subscriber, base: str, found: dict[str, dict[Topic, bytes]], wait_s: float) -> bool:
    """Receive until the broker has sent everything; False: it fell silent before."""
    answered, silent_since = False, time.monotonic()
    while time.monotonic() - silent_since < (QUIET_S if answered else wait_s):
        news = False
        for message in subscriber.receive(0.05):
            news = news or message.retained
            if (status := status_topic(message.topic, base)) is not None:
                device, topic = status
                found.setdefault(device, {})[topic] = message.payload
        if news or subscriber.answered != answered:
            answered, silent_since = subscriber.answered, time.monotonic()
    return answered
