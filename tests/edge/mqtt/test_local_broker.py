"""The local broker, and the publisher with a broker that supports MQTT 3.1.1 only."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import UnavailableError
from edge.mqtt import local_broker
from edge.mqtt.client import V311
from edge.mqtt.local_broker import ensure_broker
from edge.mqtt.publisher import Publisher
from edge.settings import MqttSettings
from tests.support.broker import Listener, free_port, retained, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.broker import Mosquitto

pytest_plugins = ["tests.support.broker"]

needs_amqtt = pytest.mark.skipif(
    importlib.util.find_spec("amqtt") is None, reason="amqtt is missing (pip install amqtt)"
)


@pytest.fixture(params=["mosquitto", pytest.param("amqtt", marks=needs_amqtt)])
def kind(request, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which program is the broker."""
    if request.param == "amqtt":
        monkeypatch.setattr(local_broker, "mosquitto", lambda: None)
    elif local_broker.mosquitto() is None:
        pytest.skip("mosquitto is missing (Debian: sudo apt install mosquitto)")
    return str(request.param)


@pytest.fixture
def amqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no mosquitto."""
    monkeypatch.setattr(local_broker, "mosquitto", lambda: None)


@pytest.fixture
def local(kind: str) -> Iterator[int]:  # noqa: ARG001
    """The port of a local broker."""
    port = free_port()
    with ensure_broker(f"mqtt://localhost:{port}") as started:
        assert started
        yield port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def children(port: int) -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if str(port) in child.cmdline()]


def test_a_running_broker_is_used(broker: Mosquitto):
    with ensure_broker(broker.url) as started:
        assert not started
        assert children(broker.port) == []


def test_for_another_machine_no_broker_is_started():
    with ensure_broker("mqtt://192.0.2.1") as started:
        assert not started


@pytest.mark.usefixtures("amqtt")
def test_without_a_broker_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with (
        pytest.raises(UnavailableError, match="apt install mosquitto") as error,
        ensure_broker(f"mqtt://localhost:{free_port()}"),
    ):
        pass
    assert error.value.exit_status == 69


@pytest.mark.usefixtures("kind")
def test_it_ends_with_its_context():
    port = free_port()
    with ensure_broker(f"mqtt://localhost:{port}"):
        assert answers(port)
    assert not answers(port)


def test_it_ends_when_its_parent_is_killed(kind: str):
    port = free_port()
    program = (
        "import time; from edge.mqtt import local_broker; from edge.mqtt.local_broker import ensure_broker\n"
        f"if {kind == 'amqtt'}: local_broker.mosquitto = lambda: None\n"
        f"with ensure_broker('mqtt://localhost:{port}'): time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: answers(port), "the broker answers")
    parent.kill()
    parent.wait()
    until(lambda: not answers(port), "the broker has ended")


@pytest.mark.usefixtures("kind")
def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]):
    port = free_port()
    with ensure_broker(f"mqtt://localhost:{port}"), Listener(port):
        pass
    assert capfd.readouterr() == ("", "")


@needs_amqtt
@pytest.mark.parametrize("kind", ["amqtt"], indirect=True)
def test_the_publisher_falls_back_to_311_and_remembers_it(local: int):
    publisher = Publisher(MqttSettings(url=f"mqtt://127.0.0.1:{local}", keepalive_s=1, retry_max_s=0.5), "dev")
    with Listener(local) as listener:
        publisher.start()
        publisher.info({"who": "me"})
        for seq in range(1, 11):
            publisher.event({"seq": seq}, time.monotonic())
        until(lambda: len(listener.seqs()) >= 10, "all events arrive")
        (child,) = children(local)
        # Frozen for longer than the keepalive, so that the next connection resumes the session.
        os.kill(child.pid, signal.SIGSTOP)
        for seq in range(11, 31):
            publisher.event({"seq": seq}, time.monotonic())
        until(lambda: not publisher.connected, "the keepalive runs out")
        os.kill(child.pid, signal.SIGCONT)
        until(lambda: 30 in listener.seqs(), "the other events arrive")
        assert listener.seqs() == list(range(1, 31))
        assert publisher._worker.session.protocol is V311
    assert retained(local) == {"availability": "online", "info": {"who": "me"}}
    publisher.stop(2)
    assert retained(local)["availability"] == "offline"


def test_it_retains_the_last_will(local: int):
    program = (
        "import time; from edge.mqtt.publisher import Publisher; from edge.settings import MqttSettings;"
        f"p = Publisher(MqttSettings(url='mqtt://127.0.0.1:{local}'), 'dev'); p.start(); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: retained(local).get("availability") == "online", "the child is online")
    child.kill()
    child.wait()
    until(lambda: retained(local).get("availability") == "offline", "the last will is retained")


def received(port: int, topic: str, client_id: str = "") -> list[tuple[str, str]]:
    """What a client receives of a topic until its own marker arrives."""
    client = Client(CallbackAPIVersion.VERSION2, client_id)
    found: list[tuple[str, str]] = []
    client.on_message = lambda _client, _data, message: found.append((message.topic, message.payload.decode()))
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe([("own/marker", 1), (topic, 1)])
    client.publish("own/marker", "end", 1)
    until(lambda: ("own/marker", "end") in found, "the marker arrives")
    client.disconnect()
    client.loop_stop()
    return [message for message in found if message[0] != "own/marker"]


def test_each_client_gets_what_it_has_subscribed_to_and_once(local: int):
    with Listener(local, "#") as everything, Listener(local, "a/#") as only_a:
        for topic in ("a/1", "b/1"):
            everything.client.publish(topic, "retained", 1, retain=True)
        until(lambda: len(everything.messages) >= 2, "both are retained")
        assert received(local, "b/#") == [("b/1", "retained")]
        assert received(local, "b/#", client_id="with an id") == [("b/1", "retained")]
        assert received(local, "c/#") == []
        assert [message.topic for message in only_a.messages] == ["a/1"]
