"""Messages become lines for a terminal, and no payload of other clients breaks them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from edge.fleet.lines import View, confidence_bar, raw
from edge.messages import payloads
from edge.messages.payloads import Health, Info, Percentiles
from edge.values import Change, Place
from tests.support.watched import CHANGE, CLOCK, FACE, NOW, anything, event, state


def read(view: View, topic: str, payload: bytes, *, live_state: bool = False) -> str | None:
    return view.read(f"emotion/{topic}", payload, now=NOW, live_state=live_state)


def test_an_event_is_one_line_with_the_important_values():
    line = read(View("emotion", colour=False), "pi/event", event(CHANGE)) or ""
    for part in ("pi", "update", "face 3", "happiness", "87%", "was neutral"):
        assert part in line
    assert "\n" not in line
    assert "{" not in line


def test_the_end_of_a_face_shows_its_last_expression():
    line = read(View("emotion", colour=False), "pi/event", event(Change(3, None, "happiness", 0.87, 0.0, 4.25)))
    assert "face 3  left, was happiness for 4.2 s" in (line or "")


def test_a_known_distance_is_shown():
    place = Place(0.5, 0.5, 1.26)
    view = View("emotion", colour=False)
    line = read(view, "pi/event", event(replace(CHANGE, place=place))) or ""
    assert "87%  1.3 m  was neutral" in line
    assert "face 3 happiness █████████░  87%  1.3 m" in (
        read(view, "pi/state", state(replace(FACE, place=place))) or ""
    )
    assert " m " not in (read(view, "pi/event", event(CHANGE)) or "")


def test_a_person_who_walks_makes_no_lines():
    view = View("emotion", colour=False)
    assert read(view, "pi/state", state(replace(FACE, place=Place(0.5, 0.5, 1.0))))
    assert read(view, "pi/state", state(replace(FACE, place=Place(0.7, 0.5, 3.0)), at=1.0)) is None


@pytest.mark.parametrize(
    ("share", "bar"), [(0.0, "░" * 10), (0.52, "█" * 5 + "░" * 5), (1.0, "█" * 10), (9e9, "█" * 10)]
)
def test_a_confidence_is_a_bar(share: float, bar: str):
    assert confidence_bar(share).startswith(bar + " ")


def test_a_state_is_a_line_only_when_an_expression_changes():
    view = View("emotion", colour=False)
    assert read(view, "pi/state", state(FACE))
    assert read(view, "pi/state", state(FACE, at=1.0)) is None
    assert read(view, "pi/state", state())


def test_on_a_terminal_states_are_the_last_line_and_fit_it():
    view = View("emotion", colour=False)
    assert read(view, "pi/state", state(FACE), live_state=True) is None
    assert read(view, "attic/state", state(), live_state=True) is None
    assert view.status(80) == "attic: no face  ·  pi: face 3 happiness █████████░  87%"
    assert len(view.status(20)) == 20


def test_a_device_that_left_has_no_state():
    view = View("emotion", colour=False)
    read(view, "pi/state", state(FACE), live_state=True)
    assert read(view, "pi/availability", b"offline")
    assert view.status(80) == ""


def test_health_and_info_are_dim_and_shown_only_when_they_change():
    view = View("emotion", colour=True)
    values = Health(
        14.9, 15.0, Percentiles(41, 58), Percentiles(1, 2), 58.4, True, None, 120.0, 0, 2, 0, 1.0, "litert", "m1"
    )
    health = payloads.encode(payloads.health(values, at=0.0, clock=CLOCK))
    info = payloads.encode(payloads.info(Info("pi", {"emotion_edge": "1"}, "m1", None, {}, "demo", [], "bad bundle")))
    line = read(view, "pi/health", health) or ""
    assert line.startswith("\x1b[2m")
    assert "14.9 fps, age 41/58 ms, 58 °C, throttled, queued 2" in line
    assert read(view, "pi/health", health) is None
    assert "PROBLEM: bad bundle" in (read(view, "pi/info", info) or "")


@pytest.mark.parametrize("kind", ["event", "state", "health", "info", "availability", "other"])
@given(payload=anything)
def test_no_payload_breaks_the_view_or_reaches_the_terminal_as_a_command(kind: str, payload: bytes):
    view = View("emotion", colour=False)
    line = read(view, f"pi\x1b[2J/{kind}", payload) or ""
    assert (line + view.status(200) + raw(kind, payload)).isprintable()


@pytest.mark.parametrize(
    "payload",
    [b"[" * 60_000, b"9" * 60_000, b" " * 10_000_000, b"\xff\xfe", b'{"faces": {"a": 1}, "time": 1e999}'],
)
def test_a_hostile_payload_is_no_more_than_a_short_line(payload: bytes):
    assert len(read(View("emotion", colour=False), "pi/state", payload) or "") < 200
