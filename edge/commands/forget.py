"""`emotion-edge forget`: remove an old device from the broker and from Home Assistant."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge.mqtt.address import BrokerAddress

ANSWER_S = 10.0
"""Time within which the broker acknowledges."""
RETAINED_S = 3.0
"""Time within which it says what it retains, at the longest."""
QUIET_S = 0.3
"""Silence after which it has said everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = "example: emotion-edge forget --mqtt mqtt://homeassistant.local livingroom"
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("device", nargs="?", help="name of the device (default: that of the settings)")
    parser.add_argument(
        "--force", action="store_true", help="also if it is online, or if the broker retains nothing of it"
    )


def run(args: argparse.Namespace) -> int:
    """Clear every retained topic of a device, so that Home Assistant removes its entities."""
    from edge.errors import NoInputError, UnavailableError
    from edge.messages.payloads import ONLINE
    from edge.messages.topics import AVAILABILITY, DISCOVERY, TOPICS, Namespace
    from edge.mqtt.address import BrokerAddress, check_base, check_device

    settings = load_settings(args)
    mqtt, device = settings.mqtt, check_device(settings.device_name if args.device is None else args.device)
    address, names = BrokerAddress.of(mqtt), Namespace(check_base(mqtt.base), device, mqtt.discovery)
    topics = [topic for topic in TOPICS if topic.retained and (topic is not DISCOVERY or mqtt.discovery)]
    # Home Assistant first: it removes the entities before it can miss their states. Availability last: a device that
    # runs publishes everything again when that is gone.
    topics.sort(key=lambda topic: (topic is not DISCOVERY, topic is AVAILABILITY))
    paths = [names.path(topic) for topic in topics]
    retained = _retained(address, paths)
    online = retained.get(names.path(AVAILABILITY)) == ONLINE
    if online and not args.force:
        raise UnavailableError(
            f"device {device!r} is online at {address}, and would be back at once: stop it first; or give --force if "
            "it doesn't exist any more"
        )
    if not retained and not args.force:
        raise NoInputError(
            f"{address} retains nothing of a device {device!r} under {mqtt.base}/ that {address.user} may read: "
            "`emotion-edge status` lists the devices; --force removes it unseen"
        )
    _clear(address, paths)
    print(f"removed {device!r}{'; if it runs, it is back in a moment: stop it first' if online else ''}")
    return 0


def _retained(address: BrokerAddress, paths: Sequence[str]) -> dict[str, bytes]:
    """What the broker retains on some topics."""
    from edge.mqtt.subscriber import Subscriber

    found: dict[str, bytes] = {}
    with Subscriber(address) as subscriber:
        subscriber.subscribe(paths)
        deadline = time.monotonic() + RETAINED_S
        while time.monotonic() < deadline:
            for message in subscriber.receive(0.05):
                if message.retained:
                    found[message.topic] = message.payload
            if subscriber.answered:
                deadline = min(deadline, time.monotonic() + QUIET_S)
    return found


def _clear(address: BrokerAddress, topics: Sequence[str]) -> None:
    from edge.errors import UnavailableError
    from edge.mqtt.client import V311, loop_once, new_client
    from edge.mqtt.subscriber import connect

    client = new_client(address, V311)
    connect(client, address)
    try:
        waiting = {client.publish(topic, b"", qos=1, retain=True).mid for topic in topics}
        client.on_publish = lambda _client, _data, mid, _reason, _properties: waiting.discard(mid)
        deadline = time.monotonic() + ANSWER_S
        while waiting and time.monotonic() < deadline and loop_once(client, 0.2):
            pass
    finally:
        client.disconnect()
    if waiting:
        raise UnavailableError(f"{address} didn't acknowledge everything: try again")
