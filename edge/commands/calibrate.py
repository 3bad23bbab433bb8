"""`emotion-edge calibrate`: measure the neutral baseline of the person in front of a device."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings
from edge.errors import EdgeError, UnavailableError

if TYPE_CHECKING:
    import argparse

    from edge.messages.topics import Namespace
    from edge.mqtt.subscriber import Subscriber

PRESENT_S = 3.0
"""Time within which the broker says whether the device is online."""
ANSWER_S = 10.0
"""Time within which the device replies, besides the calibration itself."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge calibrate --mqtt mqtt://homeassistant.local --device livingroom\n"
        "         emotion-edge calibrate --device livingroom --clear    # back to no baseline"
    )
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("--device", metavar="NAME", help="name of the device (default: that of the settings)")
    parser.add_argument("--clear", action="store_true", help="clear the neutral baseline instead")


def run(args: argparse.Namespace) -> int:
    """Send the command over the broker and print the reply."""
    from edge.classifier.calibration import CALIBRATION_S
    from edge.messages.topics import AVAILABILITY, REPLY, Namespace
    from edge.mqtt.address import BrokerAddress, check_base, check_device
    from edge.mqtt.subscriber import Subscriber

    settings = load_settings(args)
    address, device = (
        BrokerAddress.of(settings.mqtt),
        check_device(settings.device_name if args.device is None else args.device),
    )
    names = Namespace(check_base(settings.mqtt.base), device)
    with Subscriber(address) as subscriber:
        subscriber.subscribe([names.path(AVAILABILITY), names.path(REPLY, "calibrate")])
        if not _is_there(subscriber, names.path(AVAILABILITY)):
            raise UnavailableError(
                f"device {device!r} is not online at {address}: start it, or name another with --device"
            )
        if not args.clear:
            print(f"look at the camera with a relaxed face for {CALIBRATION_S:g} s", flush=True)
        wait_s = ANSWER_S + (0.0 if args.clear else CALIBRATION_S)
        print(_answer(subscriber, names, clear=args.clear, wait_s=wait_s))
    return 0


def _is_there(subscriber: Subscriber, topic: str) -> bool:
    """Whether the broker says that the device is online."""
    from edge.messages.payloads import ONLINE

    deadline = time.monotonic() + PRESENT_S
    while time.monotonic() < deadline:
        for message in subscriber.receive(0.1):
            if message.topic == topic:
                return message.payload == ONLINE
    return False


def _answer(subscriber: Subscriber, names: Namespace, *, clear: bool, wait_s: float) -> str:
    """Send the command. Return the line that the device replies with.

    Raises:
        EdgeError: the device refuses.
        UnavailableError: the device doesn't reply.
    """
    from edge.messages.payloads import OFFLINE
    from edge.messages.topics import COMMAND
    from edge.messages.untrusted import printable, read_object

    identifier = secrets.token_hex(8)
    request = {"id": identifier, "clear": True} if clear else {"id": identifier}
    topic = names.path(COMMAND, "calibrate")
    subscriber.publish(topic, json.dumps(request).encode())
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        for message in subscriber.receive(0.1):
            if message.payload == OFFLINE:
                raise UnavailableError(f"{names.base}/{names.device} went offline: start it, then calibrate again")
            answer = read_object(message.payload)
            if answer is not None and answer.text("id") == identifier:
                line = printable(answer.text("message") or "", limit=None)
                if answer.flag("ok"):
                    return line
                raise EdgeError(line)
    raise UnavailableError(
        f"{names.base}/{names.device} doesn't reply: check that it runs, and that this user of the broker may "
        f"publish {topic}"
    )
