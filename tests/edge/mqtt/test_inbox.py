"""Commands wait for the loop: limited in number and rate, and never retained ones."""

from __future__ import annotations

import pytest

from edge.messages.commands import BYTES_MAX, Refusal, Request
from edge.mqtt.inbox import BURST, PER_S, WAITING_MAX, Inbox


def drain(inbox: Inbox) -> int:
    return sum(1 for _ in iter(inbox.take, None))


def test_commands_are_taken_in_order():
    inbox = Inbox(lambda: 0.0)
    inbox.put("pause", b"", retained=False)
    inbox.put("identify", b'{"id": "7"}', retained=False)
    assert [inbox.take(), inbox.take(), inbox.take()] == [Request("pause"), Request("identify", "7"), None]


def test_a_flood_is_dropped_and_counted_and_has_no_aftermath():
    now = 0.0
    inbox = Inbox(lambda: now)
    for _ in range(1000):
        inbox.put("identify", b"", retained=False)
    taken = drain(inbox)
    assert taken == WAITING_MAX
    assert inbox.dropped == 1000 - taken
    now += 60
    inbox.put("pause", b"", retained=False)
    assert inbox.take() == Request("pause")


def test_a_steady_stream_is_limited_to_the_rate():
    now = 0.0
    inbox = Inbox(lambda: now)
    taken = 0
    for second in range(100):
        now = float(second)
        for _ in range(5):
            inbox.put("identify", b"", retained=False)
        taken += drain(inbox)
    assert taken == pytest.approx(BURST + PER_S * 99, abs=1)
    assert inbox.dropped == 500 - taken


def test_an_oversized_message_is_truncated():
    inbox = Inbox(lambda: 0.0)
    inbox.put("pause", b" " * 50_000_000, retained=False)
    assert len(inbox._waiting[0][1]) == BYTES_MAX + 1
    refusal = inbox.take()
    assert isinstance(refusal, Refusal)
    assert "longer than 1024 bytes" in refusal.reason


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "ü", "pause\x00", "#"])
def test_a_name_that_cannot_be_answered_is_dropped_and_counted(name):
    inbox = Inbox(lambda: 0.0)
    inbox.put(name, b"", retained=False)
    assert inbox.take() is None
    assert inbox.dropped == 1


def test_retained_commands_are_dropped():
    inbox = Inbox(lambda: 0.0)
    inbox.put("pause", b"", retained=True)
    assert inbox.take() is None
    assert inbox.dropped == 1
