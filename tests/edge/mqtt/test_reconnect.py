"""When to connect again, in which protocol, and when to give up: seen from times and reasons alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.client import V5, V311
from edge.mqtt.reasons import REFUSALS, SESSION_TAKEN_OVER, UNSUPPORTED_PROTOCOL, Cause, DisconnectReason, UnderWay
from edge.mqtt.reconnect import (
    ANSWER_S,
    CLOSED_MAX,
    FIRST_ANSWER_S,
    FIRST_PAUSE_S,
    LEFT_OUT_S,
    STABLE_S,
    TAKEN_OVER_PAUSE_S,
    Notice,
    Reconnect,
)

UNREACHABLE = DisconnectReason(Cause.UNREACHABLE, "Connection refused")
UNANSWERED = DisconnectReason(Cause.UNANSWERED, "no answer")
CLOSED = DisconnectReason(Cause.CLOSED, "the connection closed")
NOT_AUTHORISED = DisconnectReason(Cause.REASON_CODE, "Not authorized", 0x87)
BUSY = DisconnectReason(Cause.REASON_CODE, "Server busy", 0x89)
TAKEN_OVER = DisconnectReason(Cause.REASON_CODE, "Session taken over", SESSION_TAKEN_OVER)
NOT_MQTT_5 = DisconnectReason(Cause.REASON_CODE, "Unsupported protocol version", UNSUPPORTED_PROTOCOL)


def rejecting(name: str, *, alone: bool = True) -> DisconnectReason:
    """A connection that the broker closed while something was under way."""
    return DisconnectReason(Cause.CLOSED, "the connection closed", under_way=UnderWay(name, f"{name} ...", alone))


def reconnect(*, retry_max_s: float = 30.0, jitter: float = 1.0) -> Reconnect:
    return Reconnect(retry_max_s=retry_max_s, now=0.0, jitter=lambda: jitter)


def connected_for(rules: Reconnect, seconds: float, reason: DisconnectReason = CLOSED, *, at: float = 100.0):
    """One connection from its beginning to its end; what follows."""
    rules.connected(at)
    return rules.disconnected(reason, at + seconds)


def test_it_begins_with_mqtt_5_and_is_not_authorised():
    rules = reconnect()
    assert (rules.protocol, rules.authorised) == (V5, False)


def test_pauses_double_up_to_the_longest():
    rules = reconnect(retry_max_s=3.0)
    pauses = [rules.disconnected(UNREACHABLE, float(second)).pause_s for second in range(5)]
    assert pauses == [FIRST_PAUSE_S, 1.0, 2.0, 3.0, 3.0]


@given(st.floats(0, 1), st.integers(1, 40), st.floats(0.01, 3600))
def test_a_pause_is_between_half_and_all_of_the_longest(jitter: float, attempts: int, retry_max_s: float):
    rules = reconnect(retry_max_s=retry_max_s, jitter=jitter)
    for _ in range(attempts):
        pause = rules.disconnected(UNREACHABLE, 1.0).pause_s
    longest = min(retry_max_s, FIRST_PAUSE_S * 2.0 ** (attempts - 1))
    assert longest / 2 <= pause <= longest


def test_after_a_stable_connection_pauses_start_from_the_shortest():
    rules = reconnect()
    for _ in range(5):
        rules.disconnected(UNREACHABLE, 1.0)
    assert connected_for(rules, STABLE_S).pause_s > FIRST_PAUSE_S, "too short to be called stable"
    assert connected_for(rules, STABLE_S + 0.1).pause_s == FIRST_PAUSE_S


@pytest.mark.parametrize("reason", [NOT_MQTT_5, UNANSWERED, CLOSED])
def test_a_broker_that_may_not_know_mqtt_5_is_asked_in_311_at_once(reason: DisconnectReason):
    rules = reconnect()
    decision = rules.disconnected(reason, 1.0)
    assert (decision.new_session, decision.pause_s, decision.notice) == (True, 0.0, None)
    assert rules.protocol is V311


@pytest.mark.parametrize("reason", [NOT_MQTT_5, UNANSWERED, CLOSED])
def test_where_neither_protocol_works_the_first_comes_again_after_a_pause(reason: DisconnectReason):
    rules = reconnect()
    rules.disconnected(reason, 1.0)
    decision = rules.disconnected(reason, 2.0)
    assert (decision.new_session, decision.pause_s, decision.notice) == (True, FIRST_PAUSE_S, Notice.AWAY)
    assert rules.protocol is V5


@pytest.mark.parametrize("reason", [UNREACHABLE, BUSY])
def test_what_says_nothing_about_the_protocol_keeps_it(reason: DisconnectReason):
    rules = reconnect()
    assert not rules.disconnected(reason, 1.0).new_session
    assert rules.protocol is V5


@pytest.mark.parametrize("reason", [UNREACHABLE, UNANSWERED, CLOSED, BUSY])
def test_a_session_that_was_established_is_kept(reason: DisconnectReason):
    rules = reconnect()
    connected_for(rules, 60.0)
    assert not rules.disconnected(reason, 200.0).new_session
    assert rules.protocol is V5


def test_a_broker_has_little_time_for_its_first_answer_and_more_after_each_silence():
    rules = reconnect()
    timeouts = [rules.answer_timeout_s]
    for second in range(6):
        rules.disconnected(UNANSWERED, float(second))
        timeouts.append(rules.answer_timeout_s)
    assert timeouts[:3] == [FIRST_ANSWER_S, 2 * FIRST_ANSWER_S, 3 * FIRST_ANSWER_S]
    assert timeouts[-1] == ANSWER_S


def test_a_broker_that_has_accepted_the_session_has_all_the_time_for_an_answer():
    rules = reconnect()
    rules.connected(1.0)
    assert rules.answer_timeout_s == ANSWER_S


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_at_first_is_final(code: int):
    decision = reconnect().disconnected(DisconnectReason(Cause.REASON_CODE, "no", code), 1.0)
    assert (decision.give_up, decision.notice) == (True, Notice.REFUSED)


def test_a_refusal_by_a_broker_that_took_messages_before_may_pass():
    rules = reconnect()
    rules.connected(1.0)
    rules.authorise()
    rules.disconnected(CLOSED, 100.0)
    decisions = [rules.disconnected(NOT_AUTHORISED, 100.0 + second) for second in range(3)]
    assert not any(decision.give_up for decision in decisions)
    assert [decision.notice for decision in decisions] == [Notice.REFUSED, None, None]
    assert [decision.pause_s for decision in decisions] == [1.0, 2.0, 4.0]


def test_a_broker_that_names_another_client_is_believed_at_once():
    decision = connected_for(reconnect(), 1.0, TAKEN_OVER)
    assert (decision.pause_s, decision.notice) == (TAKEN_OVER_PAUSE_S, Notice.TAKEN_OVER)


def test_a_connection_that_was_never_answered_may_be_taken_for_another_client():
    rules = reconnect()
    rules.connected(1.0)
    rules.disconnected(CLOSED, 100.0)
    rules.disconnected(UNANSWERED, 110.0)
    decision = connected_for(rules, 1.0, TAKEN_OVER, at=112.0)
    assert (decision.pause_s, decision.notice) == (2.0, Notice.AWAY), "an ordinary pause"
    assert connected_for(rules, STABLE_S + 1, at=200.0).pause_s == FIRST_PAUSE_S
    assert connected_for(rules, 1.0, TAKEN_OVER, at=300.0).pause_s == TAKEN_OVER_PAUSE_S, "long since read"


def test_connections_that_are_closed_without_a_reason_mean_another_client_too():
    rules = reconnect()
    decisions = [connected_for(rules, 1.0, at=100.0 + number) for number in range(CLOSED_MAX)]
    assert [decision.notice for decision in decisions] == [Notice.AWAY] * (CLOSED_MAX - 1) + [Notice.TAKEN_OVER]
    assert decisions[-1].pause_s == TAKEN_OVER_PAUSE_S
    assert connected_for(rules, 1.0, at=500.0).pause_s < TAKEN_OVER_PAUSE_S, "counted from the start again"


@pytest.mark.parametrize("between", ["an outage", "a stable connection"])
def test_only_connections_in_a_row_are_counted(between: str):
    rules = reconnect()
    for number in range(3 * CLOSED_MAX):
        assert connected_for(rules, 1.0, at=100.0 * number).notice is not Notice.TAKEN_OVER
        if between == "an outage":
            rules.disconnected(UNREACHABLE, 100.0 * number + 50)
        else:
            connected_for(rules, STABLE_S + 1, BUSY, at=100.0 * number + 50)


def test_an_outage_is_told_once_and_its_end_with_its_length():
    rules = reconnect()
    assert rules.connected(10.0) is None, "nobody was told of an outage"
    assert rules.disconnected(CLOSED, 100.0).notice is Notice.AWAY
    assert rules.disconnected(UNREACHABLE, 101.0).notice is None
    assert rules.disconnected(UNREACHABLE, 103.0).notice is None
    assert rules.connected(107.0) == 7.0
    assert rules.disconnected(CLOSED, 200.0).notice is Notice.AWAY


def test_the_first_outage_began_with_the_program():
    rules = Reconnect(retry_max_s=30.0, now=1000.0)
    rules.disconnected(UNREACHABLE, 1000.1)
    assert rules.connected(1060.0) == 60.0


def test_what_is_under_way_each_time_is_left_out_and_blamed_on_no_other_client():
    rules = reconnect()
    decisions = [connected_for(rules, 1.0, rejecting("publish info"), at=100.0 + 5 * n) for n in range(CLOSED_MAX)]
    assert [decision.notice for decision in decisions] == [Notice.AWAY] * (CLOSED_MAX - 1) + [Notice.LEFT_OUT]
    assert max(decision.pause_s for decision in decisions) < TAKEN_OVER_PAUSE_S
    assert rules.leaves_out("publish info", 112.0)
    assert not rules.leaves_out("publish state", 112.0)


def test_what_is_left_out_is_tried_again_and_needs_one_more_rejection():
    rules = reconnect()
    for number in range(CLOSED_MAX):
        connected_for(rules, 1.0, rejecting("publish info"), at=100.0 + 5 * number)
    later = 200.0 + LEFT_OUT_S
    assert not rules.leaves_out("publish info", later)
    assert connected_for(rules, 1.0, rejecting("publish info"), at=later).notice is Notice.LEFT_OUT
    assert rules.leaves_out("publish info", later + 2)


@pytest.mark.parametrize("between", [rejecting("publish state"), CLOSED])
def test_only_the_same_message_in_a_row_is_left_out(between: DisconnectReason):
    rules = reconnect()
    for number in range(3 * CLOSED_MAX):
        reason = between if number % 2 else rejecting("publish info")
        assert connected_for(rules, 1.0, reason, at=100.0 + 5 * number).notice is not Notice.LEFT_OUT


def test_after_a_rejection_one_thing_at_a_time_is_sent_until_the_connection_is_stable():
    rules = reconnect()
    assert not rules.is_careful(0.0)
    connected_for(rules, 1.0, rejecting("publish info", alone=False), at=100.0)
    rules.connected(110.0)
    assert rules.is_careful(110.0 + STABLE_S)
    assert not rules.is_careful(110.1 + STABLE_S)


def test_what_is_not_alone_is_not_blamed_and_its_session_is_given_up_when_it_comes_again():
    rules = reconnect()
    reason = rejecting("publish event", alone=False)
    decisions = [connected_for(rules, 1.0, reason, at=100.0 + 5 * number) for number in range(2 * CLOSED_MAX)]
    assert Notice.LEFT_OUT not in {decision.notice for decision in decisions}
    assert [decision.new_session for decision in decisions] == [False] + [True] * (len(decisions) - 1)
    assert rules.protocol is V5


def test_a_rejection_by_a_broker_that_took_messages_before_is_not_a_refusal_of_the_user():
    rules = reconnect()
    rules.connected(1.0)
    rules.authorise()
    reason = DisconnectReason(Cause.REASON_CODE, "Not authorized", 0x87, UnderWay("publish info", "...", alone=True))
    decision = rules.disconnected(reason, 2.0)
    assert (decision.give_up, decision.notice) == (False, Notice.AWAY)
