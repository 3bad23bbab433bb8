"""Shows what devices publish, from a broker to a terminal."""

from __future__ import annotations

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
from edge.messages.topics import ANY, INFO, SHADOW_STATE, Namespace
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from edge.settings import MqttSettings

RETRY_S = 1.0
"""Pause between two attempts to connect; short, because a user is waiting."""


def watch(
    mqtt: MqttSettings,
    device: str = ANY,
    *,
    out: TextIO | None = None,
    stop_event: threading.Event | None = None,
    raw_lines: bool = False,
    shadow: bool = False,
) -> None:
    """Print what arrives until `stop_event` is set, Ctrl-C is pressed, or the reader of `out` closes it.

    While the broker is away it waits, with one line that says so.

    Args:
        mqtt: settings that say where the broker is, and below which topic devices publish.
        device: the device to watch; `+` for all.
        out: where to print; standard output where None. On a terminal the states stay in the last line.
        stop_event: ends it from another thread.
        raw_lines: print topic and payload unchanged, one message a line; with `shadow`, the counts as JSON.
        shadow: compare shadows with the bundles in use; at the end, a line for each device says how far they agree.

    Raises:
        ConfigError: an argument is not usable.
        PermissionRefusedError: the broker refuses the user, or the subscription.
    """
    address = BrokerAddress.of(mqtt)
    names = Namespace(check_base(mqtt.base), device if device == ANY else check_device(device))
    # Without --shadow: everything under the device's topic except the shadow's states.
    everything = f"{names.base}/{names.device}/{ANY}"
    topics = [names.path(INFO), names.path(SHADOW_STATE)] if shadow else [everything]
    screen = _Screen(out or sys.stdout, names.base, raw_lines=raw_lines, shadow=shadow)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            _receive(address, topics, screen, stop_event)
        finally:
            screen.close()


class _Screen:
    """A terminal or a file: lines scroll, and on a terminal the states stay below them."""

    def __init__(self, out: TextIO, base: str, *, raw_lines: bool, shadow: bool) -> None:
        self._out = out
        self._raw = raw_lines
        self._terminal = out.isatty() and not raw_lines and os.environ.get("TERM") != "dumb"
        colour = self._terminal and not os.environ.get("NO_COLOR")
        self._shadows = ShadowView(base) if shadow else None
        self._view: View | ShadowView = self._shadows or View(base, colour=colour)
        self._status = ""

    def show(self, path: str, payload: bytes) -> None:
        """Show a message."""
        if self._raw:
            text = raw(path, payload) if self._shadows is None else self._shadows.as_json(path, payload)
            if text is not None:
                self.line(text)
            return
        line = self._view.read(path, payload, now=datetime.now().astimezone(), live_state=self._terminal)
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
        try:
            subscriber = Subscriber(address)
        except UnavailableError as error:
            if not waiting:
                screen.line(f"waiting for the broker: {error}")
            waiting = True
        else:
            waiting = False
            with subscriber, suppress(UnavailableError):  # the connection has closed: make another
                subscriber.subscribe(topics)
                while stop_event is None or not stop_event.is_set():
                    for message in subscriber.receive(0.2):
                        screen.show(message.topic, message.payload)
        (stop_event.wait if stop_event else time.sleep)(RETRY_S)
