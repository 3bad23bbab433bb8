"""What is under way when a connection breaks: seen packet by packet from a broker that follows a script."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

import pytest

from edge.mqtt.publisher import Publisher
from edge.settings import MqttSettings
from tests.support.broker import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECT, PUBLISH, PUBREL, PINGREQ = 1, 3, 6, 12
ACCEPT_NEW = b"\x20\x03\x00\x00\x00"
ACCEPT_RESUMED = b"\x20\x03\x01\x00\x00"
SAY_BUSY = b"\x20\x03\x00\x89\x00"
SAY_311_ONLY = b"\x20\x02\x00\x01"
ACCEPT_311 = b"\x20\x02\x00\x00"
"""CONNACK: flags, reason, and with MQTT 5 the length of the properties."""


class Script:
    """A broker that gives each connection, in turn, one of the `answers` to CONNECT, and then behaves."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self.packets: list[list[tuple[int, bytes]]] = []
        """For each connection, the packets that came: type and body."""
        self.breaks: dict[int, int] = {}
        """By connection: the type of the packet of an event that closes it instead of being answered."""
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def kinds(self, connection: int) -> list[int]:
        """The types of the packets of events, in their order."""
        return [kind for kind, body in self.packets[connection] if kind == PUBREL or b"/event" in body]

    def _run(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            # A publisher that ends in the middle of something resets the connection.
            with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as stream:
                self.packets.append([])
                while packet := self._read(stream):
                    self.packets[-1].append(packet)
                    reply = answer if packet[0] == CONNECT else self._reply(*packet)
                    breaking = self.breaks.get(len(self.packets) - 1)
                    if reply is None or breaking in self.kinds(-1):
                        break
                    connection.sendall(reply)

    def _read(self, stream: BinaryIO) -> tuple[int, bytes] | None:
        head = stream.read(2)
        if len(head) < 2:
            return None
        length, shift = head[1] & 127, 7
        while head[-1] & 128:
            head += stream.read(1)
            length |= (head[-1] & 127) << shift
            shift += 7
        return head[0] >> 4, stream.read(length)

    def _reply(self, kind: int, body: bytes) -> bytes:
        if kind == PUBLISH:
            topic = 2 + int.from_bytes(body[:2], "big")
            mid = body[topic : topic + 2]
            return (b"\x50\x02" if b"/event" in body else b"\x40\x02") + mid
        if kind == PUBREL:
            return b"\x70\x02" + body[:2]
        return b"\xd0\x00" if kind == PINGREQ else b""


@pytest.fixture
def run() -> Iterator[Callable[[Script], Publisher]]:
    running: list[tuple[Publisher, Script]] = []

    def start(script: Script) -> Publisher:
        publisher = Publisher(MqttSettings(url=script.url, retry_max_s=0.05), "dev")
        running.append((publisher, script))
        publisher.event({"seq": 1}, time.monotonic())
        publisher.start()
        return publisher

    yield start
    for publisher, script in running:
        publisher.stop(0.2)
        script.close()


def test_a_released_event_is_not_published_again_after_failed_attempts(run: Callable[[Script], Publisher]):
    """The broker delivered it and only its last word was lost: a second PUBLISH would be a second event."""
    script = Script(ACCEPT_NEW, None, None, None, ACCEPT_RESUMED)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: len(script.packets) == 5 and script.kinds(4), "the last connection hears of it")
    until(lambda: not publisher.queued, "the hand-over is complete")
    assert script.kinds(0) == [PUBLISH, PUBREL]
    assert script.kinds(4) == [PUBREL]


def test_a_released_event_is_given_up_when_the_broker_forgot_it(run: Callable[[Script], Publisher]):
    """Nobody knows whether it arrived: it counts as lost, because a second one would be worse."""
    script = Script(ACCEPT_NEW, ACCEPT_NEW)
    script.breaks = {0: PUBREL}
    publisher = run(script)
    until(lambda: publisher.lost == 1, "it is counted")
    assert publisher.queued == 0
    assert script.kinds(1) == []


def test_an_event_that_was_not_released_is_published_anew_in_a_new_session(
    run: Callable[[Script], Publisher],
):
    script = Script(ACCEPT_NEW, ACCEPT_NEW)
    script.breaks = {0: PUBLISH}
    publisher = run(script)
    until(lambda: len(script.packets) == 2 and PUBREL in script.kinds(1), "it is published and released")
    until(lambda: not publisher.queued, "it is acknowledged")
    assert script.kinds(0) == [PUBLISH]
    assert script.kinds(1) == [PUBLISH, PUBREL]
    assert publisher.lost == 0


def test_only_the_first_connection_of_a_run_starts_a_clean_session(run: Callable[[Script], Publisher]):
    """Packet identifiers start from 1 in every run: a broker must not take a new event for an old one."""
    script = Script(SAY_BUSY, ACCEPT_NEW, ACCEPT_RESUMED)
    script.breaks = {1: PUBLISH}
    run(script)
    until(lambda: len(script.packets) == 3 and script.packets[2], "the third connection is made")
    assert [connection[0][1][7] & 2 for connection in script.packets] == [2, 2, 0]


def test_a_broker_that_says_it_knows_only_311_is_spoken_to_in_311(run: Callable[[Script], Publisher]):
    script = Script(SAY_311_ONLY, ACCEPT_311, ACCEPT_311)
    publisher = run(script)
    until(lambda: publisher.connected and not publisher.queued, "the event is delivered")
    versions = [body[6] for connection in script.packets for kind, body in connection if kind == CONNECT]
    clean = [body[7] & 2 for connection in script.packets for kind, body in connection if kind == CONNECT]
    assert versions == [5, 4, 4]
    assert clean[1:] == [2, 0], "what an earlier run left is cleared before a session begins"


@pytest.mark.parametrize("nonsense", [b"\xff\x01x", b"\x20\xff\xff\xff\xff\x01", b"\x20\x02\x00\x77"])
def test_something_that_is_no_broker_is_only_an_outage(run: Callable[[Script], Publisher], nonsense: bytes):
    script = Script(*[nonsense] * 20)
    publisher = run(script)
    until(lambda: len(script.packets) >= 4, "it is tried again")
    assert publisher._worker._thread.is_alive()
    assert publisher.queued == 1
    assert publisher.problem is None
