"""The queue of events is limited in number and age, and counts dropped events."""

from __future__ import annotations

from edge.messages.topics import EVENT, HEALTH, INFO, SHADOW_STATE, STATE
from edge.mqtt.outbox import Message, Outbox


def event(number: int, *, at: float = 0.0) -> Message:
    return Message(EVENT, b"%d" % number, at)


def drain(outbox: Outbox, now: float = 0.0) -> list[int]:
    taken = []
    while message := outbox.next_event(now):
        taken.append(int(message.payload))
    return taken


def test_events_are_taken_in_order():
    outbox = Outbox(size=10, expiry_s=60)
    for number in range(5):
        outbox.add_event(event(number))
    assert drain(outbox) == [0, 1, 2, 3, 4]


def test_the_oldest_is_dropped_first_and_counted():
    outbox = Outbox(size=3, expiry_s=60)
    for number in range(5):
        outbox.add_event(event(number))
    assert (drain(outbox), outbox.lost) == ([2, 3, 4], 2)


def test_expired_events_are_dropped_and_counted():
    outbox = Outbox(size=10, expiry_s=60)
    outbox.add_event(event(1, at=0.0))
    outbox.add_event(event(2, at=50.0))
    assert (drain(outbox, now=60.0), outbox.lost) == ([2], 1)


def test_events_that_are_put_back_come_first_and_in_order():
    outbox = Outbox(size=10, expiry_s=60)
    outbox.add_event(event(3))
    outbox.put_back([event(1), event(2)])
    assert drain(outbox) == [1, 2, 3]


def test_putting_back_into_a_full_queue_drops_the_oldest():
    outbox = Outbox(size=2, expiry_s=60)
    outbox.add_event(event(3))
    outbox.put_back([event(1), event(2)])
    assert (drain(outbox), outbox.lost) == ([2, 3], 1)


def test_only_the_newest_state_is_taken_and_only_once():
    outbox = Outbox(size=2, expiry_s=60)
    for number in (1, 2):
        outbox.replace(Message(STATE, b"%d" % number, 0.0))
    taken = [outbox.take(STATE), outbox.take(STATE)]
    assert [message and message.payload for message in taken] == [b"2", None]


def test_a_new_connection_gets_state_and_info_again_but_no_momentary_messages():
    outbox = Outbox(size=2, expiry_s=60)
    for topic in (STATE, INFO, HEALTH, SHADOW_STATE):
        outbox.replace(Message(topic, b"x", 0.0))
        outbox.take(topic)
    outbox.republish()
    offered = [bool(outbox.take(topic)) for topic in (STATE, INFO, HEALTH, SHADOW_STATE)]
    assert offered == [True, True, False, False]
