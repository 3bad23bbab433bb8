"""Asks a broker what it retains of the devices of a fleet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.fleet.status import KINDS, Kind
from edge.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.mqtt.address import BrokerAddress

QUIET_S = 0.3
"""A broker that has answered and then sends nothing retained for so long has sent it all."""


def read(
    address: BrokerAddress, base: str, devices: Sequence[str], *, wait_s: float
) -> tuple[dict[str, dict[Kind, bytes]], bool]:
    """What is retained of some devices, or of all.

    Only `availability` is asked for with a wildcard, and the rest for one device after the other: of a large fleet a
    broker would retain more than it sends to one subscriber at once, and drop what is too much without a word.

    Args:
        address: the broker.
        base: as in mqtt.base.
        devices: their names; empty: all.
        wait_s: how long the broker may say nothing before it has answered all that it was asked.

    Returns:
        Payloads by device and kind, and whether that is all: False where the broker fell silent.

    Raises:
        UnavailableError: the broker is away.
        PermissionRefusedError: it refuses the user, or does not let them subscribe.
    """
    heard: dict[str, dict[Kind, bytes]] = {device: {} for device in devices}
    with Subscriber(address) as subscriber:
        complete, kinds = True, KINDS
        if not devices:
            subscriber.subscribe([f"{base}/+/{KINDS[0]}"])
            complete, kinds = _gather(subscriber, base, heard, wait_s), KINDS[1:]
        subscriber.subscribe([f"{base}/{device}/{kind}" for device in heard for kind in kinds])
        complete &= _gather(subscriber, base, heard, wait_s)
    return heard, complete


def split(topic: str, base: str) -> tuple[str, Kind] | None:
    """Device and kind of a retained topic; None for any other."""
    device, _, kind = topic.removeprefix(f"{base}/").rpartition("/")
    return (device, kind) if kind in KINDS else None


def _gather(subscriber: Subscriber, base: str, heard: dict[str, dict[Kind, bytes]], wait_s: float) -> bool:
    """Receive until the broker has no more to tell; False: it still had, but fell silent."""
    answered, silent_since = False, time.monotonic()
    while time.monotonic() - silent_since < (QUIET_S if answered else wait_s):
        news = False
        for message in subscriber.receive(0.05):
            news = news or message.retained
            if found := split(message.topic, base):
                device, kind = found
                heard.setdefault(device, {})[kind] = message.payload
        if news or subscriber.answered != answered:
            answered, silent_since = subscriber.answered, time.monotonic()
    return answered
