"""Publishes a message as a device would, and sees whether it comes back: a broker may accept a user and forbid all."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from edge.errors import PermissionRefusedError, UnavailableError
from edge.messages.topics import REPLY
from edge.mqtt.client import connect_and_wait, loop_once, new_client

if TYPE_CHECKING:
    from paho.mqtt.enums import MQTTProtocolVersion
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.messages.topics import Namespace
    from edge.mqtt.address import BrokerAddress

KEEPALIVE_S = 60
COMMAND = "doctor"
"""Command to which the message is a reply. There is no such command, so nobody waits for that."""


def probe(address: BrokerAddress, protocol: MQTTProtocolVersion, names: Namespace, *, answer_s: float) -> None:
    """Publish on a topic of a device, and wait until the message is back.

    Args:
        address: the broker.
        protocol: the one that it speaks.
        names: the device's topics.
        answer_s: time for each answer of the broker.

    Raises:
        PermissionRefusedError: it takes no such message, or doesn't deliver it.
        UnavailableError: it doesn't answer any more.
    """
    path, payload = names.path(REPLY, COMMAND), secrets.token_hex(8).encode()
    client = new_client(address, protocol)
    seen: set[bytes] = set()
    refusals: list[str] = []
    answered: set[int] = set()

    def note(mid: int, reason: ReasonCode) -> None:
        answered.add(mid)
        if reason.is_failure:
            refusals.append(str(reason))

    client.on_subscribe = lambda _client, _data, mid, reasons, _properties: note(mid, reasons[0])
    client.on_publish = lambda _client, _data, mid, reason, _properties: note(mid, reason)
    client.on_message = lambda _client, _data, message: seen.add(bytes(message.payload))
    hint = f"allow {address.user} to publish and to read {names.path(REPLY)} in the access list of the broker"
    try:
        if connect_and_wait(client, address, KEEPALIVE_S, answer_s) is None:
            raise UnavailableError(f"{address} does not answer any more: try again")
        for publish in (False, True):
            wanted = client.publish(path, payload, 1).mid if publish else client.subscribe(path, 1)[1]
            deadline, stands = time.monotonic() + answer_s, True
            while stands and wanted not in answered and time.monotonic() < deadline:
                stands = loop_once(client, 0.1)
            if not stands:
                raise PermissionRefusedError(f"{address} ends the connection when {path} is used: {hint}")
            if refusals:
                raise PermissionRefusedError(
                    f"{address} does not let {address.user} use {path} ({refusals[0]}): {hint}"
                )
        deadline = time.monotonic() + answer_s
        while payload not in seen and time.monotonic() < deadline and loop_once(client, 0.1):
            pass
    finally:
        client.disconnect()
    if payload not in seen:
        raise PermissionRefusedError(f"{address} does not deliver what is published on {path}: {hint}")
