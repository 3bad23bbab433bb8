"""What a fleet retains becomes a table, whatever strangers publish among it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.fleet.status import STATUS_TOPICS, device_status
from edge.fleet.table import table
from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.topics import AVAILABILITY, HEALTH
from tests.support.fleet_payloads import MODEL, device_payloads, health, info, state

KEYS = ["schema", "time", "model", "id", "versions", "emotion_edge", "fps", "expression", "problem", "shadow"]


def lines(*rows, colour=False) -> list[str]:
    return table(rows, now=datetime.now().astimezone(), colour=colour)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_device_is_what_its_retained_messages_say():
    row = device_status("pi", device_payloads(health=health(throttled=True, under_voltage=False)))
    assert (row.known, row.online, row.version, row.model, row.health_model) == (True, True, "0.5.0", MODEL, MODEL)
    assert (row.fps, row.target_fps, row.temperature_c) == (14.9, 15.0, 58.4)
    assert (row.throttled, row.under_voltage, row.expression) == (True, False, "happiness")
    assert (row.problem, row.shadow, row.unreadable) == (None, None, ())


def test_last_seen_is_the_newest_of_what_it_said():
    row = device_status(
        "pi", device_payloads(availability=OFFLINE, health=health(age_s=120.0), state=state(age_s=600.0))
    )
    seen = datetime.now(UTC) - datetime.fromisoformat(row.last_seen or "")
    assert timedelta(seconds=119) < seen < timedelta(seconds=300)
    assert row.last_seen == json.loads(health(age_s=120.0))["time"][:10] + (row.last_seen or "")[10:]


def test_a_device_that_has_reported_nothing_is_unknown():
    row = device_status("attic", {})
    assert (row.known, row.online, row.model) == (False, None, None)
    assert cells(lines(row)[1])[:2] == ["attic", "unknown"]
    assert "it has reported nothing" in lines(row)[1]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("info", b"not JSON"),
        ("info", b"[" * 60_000),
        ("health", b"9" * 60_000),
        ("health", b"[1, 2]"),
        ("state", b" " * 10_000_000),
        ("availability", b"maybe"),
    ],
)
def test_a_payload_that_is_not_ours_is_named_and_spoils_nothing_else(kind: str, payload: bytes):
    row = device_status("pi", device_payloads(**{kind: payload}))
    assert row.unreadable == (kind,)
    assert f"unreadable: {kind}" in lines(row)[1]
    known = {"availability": row.online, "info": row.model, "health": row.fps, "state": row.expression}
    assert [name for name, value in known.items() if value is None] == [kind]


@pytest.mark.parametrize(
    "values",
    [
        {"fps": True, "target_fps": "15", "cpu_temperature_c": None, "throttled": 1, "time": 5, "model": 7},
        {"fps": 10**400, "target_fps": [15], "time": "2025-01-01T00:00:00", "model": ""},
        {"fps": float("nan"), "target_fps": float("inf"), "time": "0001-01-01T00:00:00+23:59", "model": {}},
    ],
)
def test_a_value_of_another_type_is_unknown(values: dict):
    row = device_status("pi", {AVAILABILITY: ONLINE, HEALTH: json.dumps(values).encode()})
    assert (row.fps, row.target_fps, row.temperature_c, row.throttled) == (None, None, None, None)
    assert (row.last_seen, row.health_model, row.unreadable) == (None, None, ())


@given(
    kind=st.sampled_from([topic.name for topic in STATUS_TOPICS]),
    device=st.text(max_size=20),
    payload=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_nothing_that_is_published_breaks_the_table_or_commands_the_terminal(kind, device: str, payload: bytes):
    row = device_status(device, device_payloads(**{kind: payload}))
    assert all(line.isprintable() for line in lines(row))
    assert json.dumps(asdict(row)).isprintable()
    assert json.dumps(asdict(row)).isascii()


def test_the_table_is_aligned_and_shows_what_matters():
    head, attic, living_room, empty, summary = lines(
        device_status("attic", device_payloads(health=health(fps=7.25, target_fps=7.5, throttled=True, age_s=12.0),
                                     state=state(None, age_s=12.0))),
        device_status("livingroom", device_payloads(info=info(shadow="next-0a1b2c3d"))),
    )  # fmt: skip
    assert cells(head) == [
        "DEVICE", "ONLINE", "VERSION", "MODEL", "FPS", "EXPRESSION", "TEMPERATURE", "THROTTLED", "LAST SEEN",
    ]  # fmt: skip
    assert cells(attic)[:8] == ["attic", "yes", "0.5.0", MODEL, "7.25/7.5", "none", "58.4 °C", "yes"]
    assert cells(attic)[8].endswith("s ago")
    assert f"{MODEL} (shadow next-0a1b2c3d)" in living_room
    assert {line.index("0.5.0") for line in (attic, living_room)} == {head.index("VERSION")}
    assert (empty, summary) == ("", "2 devices: 2 online")


def test_a_paused_device_shows_no_expression():
    row = device_status("pi", device_payloads(state=state(None, paused=True)))
    assert row.paused
    assert cells(lines(row)[1])[5] == "paused"


def test_what_an_offline_device_measured_last_is_not_shown_as_if_it_were_now():
    row = device_status(
        "pi", device_payloads(availability=OFFLINE, health=health(age_s=7200.0), state=state(age_s=7300.0))
    )
    line, *_, summary = lines(row)[1:]
    assert "happiness" not in line
    assert "14.9" not in line
    assert cells(line)[-1] == "2 h ago"
    assert summary == "1 device: 1 offline"


@pytest.mark.parametrize(
    ("age_s", "shown"), [(3.4, "s ago"), (600.0, "10 min ago"), (20 * 3600.0, "20 h ago"), (-5.0, "0 s ago")]
)
def test_last_seen_is_told_relative_to_now(age_s: float, shown: str):
    row = device_status("pi", {HEALTH: health(age_s=age_s)})
    assert cells(lines(row)[1])[-1].endswith(shown)


@pytest.mark.parametrize("age_s", [40 * 86400.0, -86400.0])
def test_last_seen_is_a_date_where_it_is_long_ago_or_to_come(age_s: float):
    row = device_status("pi", {HEALTH: health(age_s=age_s)})
    assert (row.last_seen or "?")[:10] in lines(row)[1]


def test_problems_have_a_column_where_there_are_any():
    problem = "model bundle x: the signature is not by a trusted key"
    head, line, *_, summary = lines(
        device_status("pi", device_payloads(info=info(problem=problem, shadow_problem="no such file"), state=b"?"))
    )
    assert cells(head)[-1] == "PROBLEM"
    assert line.endswith(f"{problem}; shadow: no such file; unreadable: state")
    assert summary == "1 device: 1 online, 1 with a problem"


def test_colour_makes_what_is_wrong_stand_out_and_changes_no_letter():
    rows = [
        device_status("away", device_payloads(availability=OFFLINE)),
        device_status("hot", device_payloads(health=health(under_voltage=True))),
        device_status("well", device_payloads()),
        device_status("wrong", device_payloads(info=info(problem="no bundle"))),
    ]
    _, away, hot, well, wrong, *_ = lines(*rows, colour=True)
    assert "\x1b[31mno" in away
    assert "\x1b[33munder-voltage" in hot
    assert "\x1b[31m" not in well
    assert "\x1b[33m" not in well
    assert "\x1b[31mno bundle\x1b[0m" in wrong
    for plain, coloured in zip(lines(*rows), lines(*rows, colour=True), strict=True):
        assert "".join(part.partition("m")[2] if i else part for i, part in enumerate(coloured.split("\x1b["))) == plain
