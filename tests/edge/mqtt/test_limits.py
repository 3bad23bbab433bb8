"""Brokers that take only some of what a device publishes: all else arrives, and the log says what is left out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest

from edge.messages.commands import NAMES
from edge.mqtt.client import V5, V311
from edge.mqtt.inbox import Inbox
from edge.mqtt.publisher import Publisher
from edge.settings import MqttSettings
from tests.support.broker import Listener, Mosquitto, retained, until
from tests.support.scripted_broker import (
    ACCEPT_311,
    ACCEPT_NEW,
    ACCEPT_NO_WILDCARDS,
    PUBLISH,
    SUBSCRIBE,
    ScriptedBroker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from paho.mqtt.enums import MQTTProtocolVersion

pytest_plugins = ["tests.support.broker"]

ANNOUNCEMENT = "homeassistant/device/emotion-edge_dev/config"


@pytest.fixture
def start() -> Iterator[Callable[..., Publisher]]:
    """Start publishers with info, state and a large announcement, which end with the test."""
    started: list[Publisher] = []

    def make(url: str, protocol: MQTTProtocolVersion = V5) -> Publisher:
        one = Publisher(MqttSettings(url=url, retry_max_s=0.2), "dev", Inbox(time.monotonic))
        one._worker.reconnect.protocol = protocol
        one._worker.session = one._worker._new_session()
        started.append(one)
        one.discovery({"large": "x" * 8000})
        one.info({"who": "me"})
        one.state({"now": 1})
        one.start()
        return one

    yield make
    for each in started:
        each.stop(0.5)


def publish_events(one: Publisher, count: int) -> None:
    for seq in range(1, count + 1):
        one.event({"seq": seq}, time.monotonic())


@pytest.mark.parametrize("protocol", [V5, V311])
def test_a_broker_with_a_packet_limit_gets_all_but_what_is_too_large(new_broker, start, caplog, protocol):
    broker: Mosquitto = new_broker(settings="allow_anonymous true\nmax_packet_size 4096")
    broker.start()
    with Listener(broker.port) as listener:
        one = start(broker.url, protocol)
        until(lambda: "left out" in caplog.text, "the log says what is left out")
        publish_events(one, 20)
        until(lambda: len(listener.seqs()) >= 20, "all events arrive")
        assert listener.seqs() == list(range(1, 21))
    assert retained(broker.port) == {"availability": "online", "info": {"who": "me"}, "state": {"now": 1}}
    (line,) = [record.message for record in caplog.records if "left out" in record.message]
    assert f"{ANNOUNCEMENT} with 8,0" in line
    assert "4,096" in line or protocol is V311
    assert "another client" not in caplog.text


@pytest.mark.parametrize("accepted", [ACCEPT_NEW, ACCEPT_311])
@pytest.mark.parametrize(
    "rejected", [ANNOUNCEMENT, "dev/info", "dev/event", "dev/availability", "homeassistant/status"]
)
def test_a_broker_that_ends_the_connection_for_what_is_not_allowed(start, caplog, rejected, accepted):
    broker = ScriptedBroker(*[accepted] * 20)
    broker.rejected = rejected.encode()
    one = start(broker.url, V5 if accepted is ACCEPT_NEW else V311)
    publish_events(one, 3)
    until(lambda: "left out" in caplog.text, "the log says what is left out")
    wanted = {ANNOUNCEMENT, "dev/info", "dev/state", "dev/event", "dev/availability", "dev/command"} - {rejected}

    def missing() -> set[str]:
        publish_events(one, 1)
        bodies = [body for kind, body in broker.packets[-1] if kind in {PUBLISH, SUBSCRIBE}]
        return {topic for topic in wanted if not any(topic.encode() in body for body in bodies)}

    until(lambda: not missing(), "everything else arrives")
    assert "another client" not in caplog.text
    assert rejected in next(record.message for record in caplog.records if "left out" in record.message)
    broker.close()


def test_without_wildcards_each_command_is_subscribed_to(start):
    broker = ScriptedBroker(ACCEPT_NO_WILDCARDS)
    start(broker.url)
    wanted = [f"emotion/dev/command/{name}".encode() for name in NAMES]

    def found() -> list[bytes]:
        bodies = [body for kind, body in (broker.packets or [[]])[0] if kind == SUBSCRIBE]
        return [topic for topic in wanted if any(topic in body for body in bodies)]

    until(lambda: found() == wanted, "all commands are subscribed to")
    broker.close()


def test_what_the_access_list_forbids_is_named(new_broker, start, caplog, tmp_path: Path):
    access = tmp_path / "access"
    access.write_text("topic read #\ntopic readwrite emotion/dev/availability\ntopic readwrite emotion/dev/health\n")
    broker = new_broker(settings=f"allow_anonymous true\nacl_file {access}")
    broker.start()
    one = start(broker.url)
    until(lambda: one.connected, "it is connected")
    one.reply("pause", {"ok": True})
    publish_events(one, 3)
    ours = [f"emotion/dev/{name}" for name in ("info", "state", "reply/pause", "event")]
    for topic in [ANNOUNCEMENT, *ours]:
        wanted = f"{broker.url} does not let a client without a user name publish {topic} (Not authorized)"
        until(lambda wanted=wanted: wanted in caplog.text, f"the refusal of {topic} is logged")
        assert f"{topic} (Not authorized)" in one.rejected
    until(lambda: one.lost == 3, "the events count as lost")
    assert caplog.text.count("emotion/dev/event") == 1


@pytest.mark.parametrize("protocol", [V5, V311])
def test_what_somebody_removes_comes_back(broker: Mosquitto, start, caplog, protocol):
    caplog.set_level(logging.INFO)
    start(broker.url, protocol)
    expected = {"availability": "online", "info": {"who": "me"}, "state": {"now": 1}}

    def complete() -> bool:
        return expected.items() <= retained(broker.port).items()

    until(complete, "everything is retained")
    for topic, payload in (("availability", ""), ("info", ""), ("availability", "offline")):
        with Listener(broker.port, f"emotion/dev/{topic}") as listener:
            listener.client.publish(f"emotion/dev/{topic}", payload, qos=1, retain=True)
            until(lambda listener=listener: len(listener.messages) >= 3, "it is removed, and comes back")
        until(complete, "everything is retained again")
    assert caplog.text.count("connected to") == 1
