"""A real mosquitto on a free loopback port, which tests start, kill, freeze and subscribe to.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

WAIT_S = 15.0


def until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """Wait until `condition` is true and return its value; fail with `what` after the time-out.

    The pauses between the checks grow with the time that a check takes, so that waiting leaves the processor to others.
    """
    deadline = time.monotonic() + timeout_s
    while (started := time.monotonic()) < deadline:
        if value := condition():
            return value
        time.sleep(min(max(0.01, 4 * (time.monotonic() - started)), 0.5))
    pytest.fail(f"not within {timeout_s:.0f} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker that keeps its port and files over several runs."""

    def __init__(self, folder: Path, *, port: int | None = None, settings: str = "allow_anonymous true") -> None:
        self.program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if self.program is None:
            pytest.skip("mosquitto is missing (Debian: sudo apt install mosquitto)")
        self.port = port or free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.log = folder / "mosquitto.log"
        self.config = folder / "mosquitto.conf"
        # When started as root, mosquitto switches to a user that may not read the test's folder.
        user = "user root\n" if os.geteuid() == 0 else ""
        self.config.write_text(f"listener {self.port} 127.0.0.1\n{user}{settings}\nlog_type all\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen([self.program or "", "-c", str(self.config)], stdout=output, stderr=output)
        until(self.answers, f"mosquitto answers; its log: {self.log.read_text()[-500:]}")

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it (SIGKILL): nothing is sent or saved."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it (SIGTERM): a clean end, which saves what the settings demand."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


@pytest.fixture
def new_broker(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Create brokers that are not started yet and that end with the test."""
    brokers: list[Mosquitto] = []

    def make(**options: Any) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path, **options))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(new_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker without access control."""
    broker = new_broker()
    broker.start()
    return broker


class Listener:
    """An independent subscriber that reconnects, and keeps all messages."""

    def __init__(self, port: int, topic: str = "#", **credentials: str) -> None:
        self.messages: list[MQTTMessage] = []
        self.subscribed = False
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        if credentials:
            self.client.username_pw_set(**credentials)
        self.client.reconnect_delay_set(0.1, 0.1)  # type: ignore[arg-type]
        self.client.on_connect = lambda client, *_: client.subscribe(topic, 2)
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.on_disconnect = lambda *_: setattr(self, "subscribed", False)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect_async("127.0.0.1", port, keepalive=60)
        self.client.loop_start()

    def __enter__(self) -> Self:
        until(lambda: self.subscribed, "the listener is subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def payloads(self, level: str) -> list[Any]:
        """All payloads on topics that end with `level`, JSON decoded. `shadow/state` doesn't count as `state`."""
        messages = [message for message in list(self.messages) if message.topic.endswith(f"/{level}")]
        found = [message.payload for message in messages if not message.topic.endswith(f"/shadow/{level}")]
        return [json.loads(payload) if payload.startswith(b"{") else payload.decode() for payload in found]

    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.payloads("event")]


def retained(port: int) -> dict[str, Any]:
    """The retained messages: levels after the device -> payload."""
    with Listener(port) as listener:
        marker = "marker"
        # The broker delivers this message after all retained ones.
        listener.client.publish("test/marker", marker, qos=1)
        until(lambda: marker in listener.payloads("marker"), "the marker arrives")
        levels = [message.topic.split("/", 2)[-1] for message in listener.messages if message.retain]
        return {level: listener.payloads(level)[0] for level in levels}
