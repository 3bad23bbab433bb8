"""The retained messages of a fleet become a row for each device, whatever other clients publish."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.fleet.status import STATUS_TOPICS, device_status
from edge.fleet.table import table
from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.topics import AVAILABILITY, HEALTH
from tests.support.fleet_payloads import MODEL, NOW, device_payloads, health, state
from tests.support.watched import anything


def test_a_row_has_the_values_of_the_retained_messages():
    row = device_status("pi", device_payloads(health=health(throttled=True, under_voltage=False)))
    assert (row.known, row.online, row.version, row.model, row.health_model) == (True, True, "0.5.0", MODEL, MODEL)
    assert (row.fps, row.target_fps, row.temperature_c) == (14.9, 15.0, 58.4)
    assert (row.throttled, row.under_voltage, row.expression) == (True, False, "happiness")
    assert (row.problem, row.shadow, row.unreadable) == (None, None, ())


def test_last_seen_is_the_latest_date_of_its_messages():
    row = device_status(
        "pi", device_payloads(availability=OFFLINE, health=health(age_s=120.0), state=state(age_s=600.0))
    )
    seen = datetime.fromisoformat(row.last_seen or "")
    assert abs(NOW - seen - timedelta(seconds=120)) < timedelta(milliseconds=2)
    assert (row.last_seen or "").endswith("Z")


def test_a_device_that_has_reported_nothing_is_unknown():
    row = device_status("attic", {})
    assert (row.known, row.online, row.model) == (False, None, None)


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
def test_an_invalid_payload_is_reported_and_affects_nothing_else(kind: str, payload: bytes):
    row = device_status("pi", device_payloads(**{kind: payload}))
    assert row.unreadable == (kind,)
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
    payload=anything,
)
def test_no_payload_breaks_the_table_or_reaches_the_terminal_as_a_command(kind, device: str, payload: bytes):
    row = device_status(device, device_payloads(**{kind: payload}))
    assert all(line.isprintable() for line in table([row], now=NOW, colour=False))
    assert json.dumps(asdict(row)).isprintable()
    assert json.dumps(asdict(row)).isascii()
