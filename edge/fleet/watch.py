"""Shows what devices say, from a broker to a terminal. Speaks MQTT 3.1.1, which every broker understands."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from edge.errors import UnavailableError
from edge.fleet.agreement import ShadowView
from edge.fleet.lines import CLEAR, View, raw
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.client import V311, loop_once, new_client, topic_of
from edge.mqtt.subscriber import connect

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from paho.mqtt.client import Client, MQTTMessage

    from edge.settings import MqttSettings

RETRY_S = 1.0
"""Between two attempts to connect: somebody sits and waits."""


def watch(
    mqtt: MqttSettings,
    device: str = "+",
    *,
    out: TextIO | None = None,
    stop_event: threading.Event | None = None,
    raw_lines: bool = False,
    shadow: bool = False,
) -> None:
    """Print what arrives until `stop_event` is set, Ctrl-C, or nobody reads `out` any more.

    A broker that is away is waited for, with one line that says so.

    Args:
        mqtt: say where the broker is, and below which topic devices publish.
        device: the device to watch; `+` for all.
        out: where to print; standard output where None. On a terminal the states stay in the last line.
        stop_event: ends it from another thread.
        raw_lines: print topic and payload as they are, one message a line; of shadows, their counts as JSON.
        shadow: compare shadows with the bundles in use; at the end a line for each device says how far they agree.

    Raises:
        ConfigError: an argument is not usable.
        PermissionRefusedError: the broker refuses the user.
    """
    address = BrokerAddress.of(mqtt)
    prefix = f"{check_base(mqtt.base)}/{device if device == '+' else check_device(device)}"
    topics = [f"{prefix}/{kind}" for kind in (("info", "shadow/state") if shadow else ("+",))]
    screen = _Screen(out or sys.stdout, raw_lines=raw_lines, shadow=shadow)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            _receive(address, topics, screen, stop_event)
        finally:
            screen.close()


class _Screen:
    """A terminal or a file: lines go up, and on a terminal the states stay below them."""

    def __init__(self, out: TextIO, *, raw_lines: bool, shadow: bool) -> None:
        self._out = out
        self._raw = raw_lines
        self._terminal = out.isatty() and not raw_lines and os.environ.get("TERM") != "dumb"
        colour = self._terminal and not os.environ.get("NO_COLOR")
        self._shadows = ShadowView() if shadow else None
        self._view: View | ShadowView = self._shadows or View(colour=colour)
        self._status = ""

    def show(self, topic: str, payload: bytes) -> None:
        """Show a message."""
        if self._raw:
            text = raw(topic, payload) if self._shadows is None else self._shadows.as_json(topic, payload)
            if text is not None:
                self.line(text)
            return
        line = self._view.read(topic, payload, now=datetime.now().astimezone(), live_state=self._terminal)
        if line is not None:
            self.line(line)
        elif self._terminal:
            self._draw(None)

    def line(self, text: str) -> None:
        """Print a line above the states."""
        if self._terminal:
            self._draw(text)
        else:
            print(text, file=self._out, flush=True)

    def close(self) -> None:
        """Leave the cursor at the start of an empty line, below the result of a comparison."""
        with suppress(OSError, ValueError):
            if self._status:
                print(CLEAR, end="", file=self._out, flush=True)
            if self._shadows is not None and not self._raw:
                for line in self._shadows.summary():
                    print(line, file=self._out, flush=True)

    def _draw(self, line: str | None) -> None:
        status = self._view.status(shutil.get_terminal_size().columns - 1)
        if line is None and status == self._status:
            return
        above = "" if line is None else f"{line}\n"
        self._status = status
        print(f"{CLEAR}{above}{status}", end="", file=self._out, flush=True)


def _receive(
    address: BrokerAddress, topics: Sequence[str], screen: _Screen, stop_event: threading.Event | None
) -> None:
    """Connect again and again until stopped."""
    waiting = False
    while stop_event is None or not stop_event.is_set():
        client = new_client(address, V311)
        client.on_message = functools.partial(_on_message, screen)
        try:
            connect(client, address)
            waiting = False
            client.subscribe([(topic, 0) for topic in topics])
            while loop_once(client, 0.2) and not (stop_event and stop_event.is_set()):
                pass
        except UnavailableError as error:
            if not waiting:
                screen.line(f"waiting for the broker: {error}")
            waiting = True
        finally:
            client.disconnect()
        (stop_event.wait if stop_event else time.sleep)(RETRY_S)


def _on_message(screen: _Screen, _client: Client, _data: object, message: MQTTMessage) -> None:
    if (topic := topic_of(message)) is not None:
        screen.show(topic, bytes(message.payload))
