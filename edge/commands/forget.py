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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = "example: emotion-edge forget --mqtt mqtt://homeassistant.local livingroom"
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("device", nargs="?", default="", help="name of the device (default: that of the settings)")


def run(args: argparse.Namespace) -> int:
    """Clear every retained topic of a device, so that Home Assistant removes its entities."""
    from edge.messages.topics import DISCOVERY, TOPICS, Namespace
    from edge.mqtt.address import BrokerAddress, check_base, check_device

    settings = load_settings(args)
    mqtt, device = settings.mqtt, check_device(args.device or settings.device_name)
    names = Namespace(check_base(mqtt.base), device, mqtt.discovery)
    retained = [topic for topic in TOPICS if topic.retained and (topic is not DISCOVERY or mqtt.discovery)]
    # Home Assistant first: it removes the entities before it can miss their states.
    retained.sort(key=lambda topic: topic is not DISCOVERY)
    _clear(BrokerAddress.of(mqtt), [names.path(topic) for topic in retained])
    print(f"removed {device!r}; if it still runs, its next message brings it back")
    return 0


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
