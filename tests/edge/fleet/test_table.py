"""The table of a fleet: aligned, with what needs attention, and with times relative to now."""

from __future__ import annotations

import pytest

from edge.fleet.status import device_status
from edge.fleet.table import table
from edge.messages.payloads import OFFLINE
from edge.messages.topics import HEALTH
from tests.support.fleet_payloads import MODEL, NOW, device_payloads, health, info, state


def lines(*rows, colour=False) -> list[str]:
    return table(rows, now=NOW, colour=colour)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_is_aligned():
    head, attic, living_room, empty, summary = lines(
        device_status("attic", device_payloads(health=health(fps=7.25, target_fps=7.5, throttled=True, age_s=12.0),
                                     state=state(None, age_s=12.0))),
        device_status("livingroom", device_payloads(info=info(shadow="next-0a1b2c3d"))),
    )  # fmt: skip
    assert cells(head) == [
        "DEVICE", "ONLINE", "VERSION", "MODEL", "FPS", "EXPRESSION", "TEMPERATURE", "THROTTLED", "LAST SEEN",
    ]  # fmt: skip
    assert cells(attic)[:8] == ["attic", "yes", "0.5.0", MODEL, "7.25/7.5", "none", "58.4 °C", "yes"]
    assert cells(attic)[8] == "12 s ago"
    assert f"{MODEL} (shadow next-0a1b2c3d)" in living_room
    assert {line.index("0.5.0") for line in (attic, living_room)} == {head.index("VERSION")}
    assert (empty, summary) == ("", "2 devices: 2 online")


def test_a_device_that_has_reported_nothing_is_unknown_and_has_a_problem():
    line = lines(device_status("attic", {}))[1]
    assert cells(line)[:2] == ["attic", "unknown"]
    assert line.endswith("it has reported nothing")


def test_a_paused_device_shows_no_expression():
    row = device_status("pi", device_payloads(state=state(None, paused=True)))
    assert row.paused
    assert cells(lines(row)[1])[5] == "paused"


def test_the_last_measurements_of_an_offline_device_are_not_shown():
    row = device_status(
        "pi", device_payloads(availability=OFFLINE, health=health(age_s=7200.0), state=state(age_s=7300.0))
    )
    line, *_, summary = lines(row)[1:]
    assert "happiness" not in line
    assert "14.9" not in line
    assert cells(line)[-1] == "2 h ago"
    assert summary == "1 device: 1 offline"


@pytest.mark.parametrize(
    ("age_s", "shown"), [(3.4, "3 s ago"), (600.0, "10 min ago"), (20 * 3600.0, "20 h ago"), (-5.0, "0 s ago")]
)
def test_last_seen_is_shown_relative_to_now(age_s: float, shown: str):
    row = device_status("pi", {HEALTH: health(age_s=age_s)})
    assert cells(lines(row)[1])[-1] == shown


@pytest.mark.parametrize("age_s", [40 * 86400.0, -86400.0])
def test_last_seen_is_a_date_if_it_is_long_ago_or_in_the_future(age_s: float):
    row = device_status("pi", {HEALTH: health(age_s=age_s)})
    assert (row.last_seen or "?")[:10] in lines(row)[1]


def test_problems_have_a_column_if_there_are_any():
    problem = "model bundle x: the signature is not by a trusted key"
    head, line, *_, summary = lines(
        device_status("pi", device_payloads(info=info(problem=problem, shadow_problem="no such file"), state=b"?"))
    )
    assert cells(head)[-1] == "PROBLEM"
    assert line.endswith(f"{problem}; shadow: no such file; unreadable: state")
    assert summary == "1 device: 1 online, 1 with a problem"


def test_colour_highlights_problems_and_changes_no_text():
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
