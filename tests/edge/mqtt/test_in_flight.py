"""Messages in flight when a connection breaks, seen packet by packet by a broker that follows a script."""

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
    SAY_311_ONLY,
    SAY_BUSY,
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
    """The broker delivered it, and only the last packet was lost: a second PUBLISH would be a second event."""
    script = ScriptedBroker(ACCEPT_NEW, None, None, None, ACCEPT_RESUMED)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: len(script.packets) == 5 and script.kinds(4), "the last connection hears of it")
    until(lambda: not publisher.queued, "the hand-over is complete")
    assert script.kinds(0) == [PUBLISH, PUBREL]
    assert script.kinds(4) == [PUBREL]


def test_a_released_event_is_given_up_when_the_broker_forgot_it(run: Callable[[ScriptedBroker], Publisher]):
    """Nobody knows whether it arrived: it counts as lost, because a second one would be worse."""
    script = ScriptedBroker(ACCEPT_NEW, ACCEPT_NEW)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: publisher.lost == 1, "it is counted")
    assert publisher.queued == 0
    assert script.kinds(1) == []


def test_an_event_that_was_not_released_is_published_anew_in_a_new_session(
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
    """Packet identifiers start from 1 in every run: a broker must not take a new event for an old one."""
    script = ScriptedBroker(SAY_BUSY, ACCEPT_NEW, ACCEPT_RESUMED)
    script.breaks = {1: PUBLISH}
    run(script)
    until(lambda: len(script.packets) == 3 and script.packets[2], "the third connection is made")
    assert [connection[0][1][7] & 2 for connection in script.packets] == [2, 2, 0]


def test_a_broker_that_says_it_knows_only_311_is_spoken_to_in_311(run: Callable[[ScriptedBroker], Publisher]):
    script = ScriptedBroker(SAY_311_ONLY, ACCEPT_311, ACCEPT_311)
    publisher = run(script)
    until(lambda: publisher.connected and not publisher.queued, "the event is delivered")
    versions = [body[6] for connection in script.packets for kind, body in connection if kind == CONNECT]
    clean = [body[7] & 2 for connection in script.packets for kind, body in connection if kind == CONNECT]
    assert versions == [5, 4, 4]
    assert clean[1:] == [2, 0], "what an earlier run left is cleared before a session begins"


@pytest.mark.parametrize("nonsense", [b"\xff\x01x", b"\x20\xff\xff\xff\xff\x01", b"\x20\x02\x00\x77"])
def test_something_that_is_no_broker_is_only_an_outage(run: Callable[[ScriptedBroker], Publisher], nonsense: bytes):
    script = ScriptedBroker(*[nonsense] * 20)
    publisher = run(script)
    until(lambda: len(script.packets) >= 4, "it is tried again")
    assert publisher._worker._thread.is_alive()
    assert publisher.queued == 1
    assert publisher.problem is None
