"""Messages in flight when a connection breaks, packet by packet, with a scripted broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from edge.mqtt.publisher import Publisher
from edge.settings import MqttSettings
from tests.support.broker import until
from tests.support.scripted_broker import (
    ACCEPT_311,
    ACCEPT_NEW,
    ACCEPT_RESUMED,
    CONNECT,
    PUBLISH,
    PUBREL,
    REFUSE_BUSY,
    REFUSE_MQTT_5,
    ScriptedBroker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def run() -> Iterator[Callable[[ScriptedBroker], Publisher]]:
    running: list[tuple[Publisher, ScriptedBroker]] = []

    def start(script: ScriptedBroker) -> Publisher:
        publisher = Publisher(MqttSettings(url=script.url, retry_max_s=0.05), "dev")
        running.append((publisher, script))
        publisher.event({"seq": 1}, time.monotonic())
        publisher.start()
        return publisher

    yield start
    for publisher, script in running:
        publisher.stop(0.2)
        script.close()


def test_a_released_event_is_not_published_again_after_failed_attempts(run: Callable[[ScriptedBroker], Publisher]):
    """The broker has delivered it, and only the last packet was lost: another PUBLISH would be a duplicate."""
    script = ScriptedBroker(ACCEPT_NEW, None, None, None, ACCEPT_RESUMED)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: len(script.packets) == 5 and script.kinds(4), "the last connection gets packets of the event")
    until(lambda: not publisher.queued, "the handshake is complete")
    assert script.kinds(0) == [PUBLISH, PUBREL]
    assert script.kinds(4) == [PUBREL]


def test_a_released_event_counts_as_lost_when_the_broker_lost_the_session(run: Callable[[ScriptedBroker], Publisher]):
    """It may have arrived, and a duplicate would be worse than a loss."""
    script = ScriptedBroker(ACCEPT_NEW, ACCEPT_NEW)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: publisher.lost == 1, "it is counted")
    assert publisher.queued == 0
    assert script.kinds(1) == []


def test_an_unreleased_event_is_published_again_in_a_new_session(
    run: Callable[[ScriptedBroker], Publisher],
):
    script = ScriptedBroker(ACCEPT_NEW, ACCEPT_NEW)
    script.breaks = {0: PUBLISH}
    publisher = run(script)
    until(lambda: len(script.packets) == 2 and PUBREL in script.kinds(1), "it is published and released")
    until(lambda: not publisher.queued, "it is acknowledged")
    assert script.kinds(0) == [PUBLISH]
    assert script.kinds(1) == [PUBLISH, PUBREL]
    assert publisher.lost == 0


def test_only_the_first_connection_of_a_run_starts_a_clean_session(run: Callable[[ScriptedBroker], Publisher]):
    """Packet identifiers start from 1 in every run, so a broker must not confuse a new event with an old one."""
    script = ScriptedBroker(REFUSE_BUSY, ACCEPT_NEW, ACCEPT_RESUMED)
    script.breaks = {1: PUBLISH}
    run(script)
    until(lambda: len(script.packets) == 3 and script.packets[2], "the third connection is made")
    assert [connection[0][1][7] & 2 for connection in script.packets] == [2, 2, 0]


def test_a_broker_that_supports_only_311_is_connected_in_311(run: Callable[[ScriptedBroker], Publisher]):
    script = ScriptedBroker(REFUSE_MQTT_5, ACCEPT_311, ACCEPT_311)
    publisher = run(script)
    until(lambda: publisher.connected and not publisher.queued, "the event is delivered")
    versions = [body[6] for connection in script.packets for kind, body in connection if kind == CONNECT]
    clean = [body[7] & 2 for connection in script.packets for kind, body in connection if kind == CONNECT]
    assert versions == [5, 4, 4]
    assert clean[1:] == [2, 0], "the session of an earlier run is cleared first"


@pytest.mark.parametrize("nonsense", [b"\xff\x01x", b"\x20\xff\xff\xff\xff\x01", b"\x20\x02\x00\x77"])
def test_a_server_that_is_not_a_broker_counts_as_an_outage(run: Callable[[ScriptedBroker], Publisher], nonsense: bytes):
    script = ScriptedBroker(*[nonsense] * 20)
    publisher = run(script)
    until(lambda: len(script.packets) >= 4, "it tries again")
    assert publisher._worker._thread.is_alive()
    assert publisher.queued == 1
    assert publisher.problem is None
