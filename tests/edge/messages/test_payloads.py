"""Payloads are valid for any values that the pipeline can produce."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.messages import payloads
from edge.messages.payloads import Health, Info, Percentiles, WallClock
from edge.values import Change, Place, Shown
from tests.support.schemas import schema, validator

CLOCK = WallClock(offset_s=1_700_000_000.0, synchronised=True)

labels = st.sampled_from(["neutral", "happiness", "surprise", "fear", "contempt", "uncertain"])
numbers = st.floats()  # also infinite and NaN: a payload must stay JSON whatever happened upstream
times = st.floats(min_value=0, max_value=1e9)
tracks = st.integers(min_value=0, max_value=2**31)


places = st.none() | st.builds(Place, numbers, numbers, st.none() | numbers)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    previous = draw(st.none() | labels)
    expression = draw(labels if previous is None else st.none() | labels)
    return Change(draw(tracks), expression, previous, draw(numbers), draw(times), draw(numbers), draw(places))


shown = st.builds(
    Shown,
    tracks,
    labels,
    numbers,
    times,
    st.dictionaries(labels, numbers),
    st.floats(min_value=1, max_value=1e4),
    places,
)
percentiles = st.builds(Percentiles, st.none() | numbers, st.none() | numbers)
counts = st.integers(min_value=0)
maybe = st.none() | st.booleans()
healths = st.builds(
    Health, numbers, numbers, percentiles, percentiles, st.none() | numbers, maybe, maybe, numbers,
    counts, counts, counts, numbers, st.just("litert"), st.just("b1"),
)  # fmt: skip
infos = st.builds(
    Info, st.just("pi"), st.dictionaries(st.text(), st.text()), st.none() | st.just("b1"),
    st.none() | st.text(),
    st.dictionaries(st.text(), numbers), st.text(), st.lists(labels), st.none() | st.text(),
    st.none() | st.just("b2"), st.none() | st.text(),
)  # fmt: skip


def check(name: str, payload: payloads.Payload) -> Any:
    """Validate what a subscriber decodes, not what was meant."""
    decoded = json.loads(payloads.encode(payload))
    validator(name).validate(decoded)
    return decoded


@pytest.mark.parametrize("name", ["event", "state", "health", "info", "shadow_state"])
def test_a_schema_is_valid_and_closed_and_its_examples_are_valid(name: str):
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["additionalProperties"] is False
    assert found["examples"]
    for example in found["examples"]:
        validator(name).validate(example)


@pytest.mark.parametrize("name", ["event", "state", "health", "info", "shadow_state"])
def test_every_field_is_described(name: str):
    undescribed = [key for key, field in schema(name)["properties"].items() if "description" not in field]
    assert undescribed == []


@given(changes())
def test_any_change_makes_a_valid_event(change: Change):
    check("event", payloads.event(change, run="r", seq=1, clock=CLOCK, model="m"))


@given(st.lists(shown, max_size=3), times)
def test_anything_shown_makes_a_valid_state(faces: list[Shown], at: float):
    check("state", payloads.state(faces, at=at, clock=CLOCK))


@given(st.lists(shown, max_size=3), st.lists(shown, max_size=3), times)
def test_anything_shown_by_two_bundles_makes_a_valid_shadow_state(faces: list[Shown], beside: list[Shown], at: float):
    payload = payloads.shadow_state(faces, beside, models=("b2", "b1"), at=at, clock=CLOCK)
    decoded = check("shadow_state", payload)
    assert decoded["time"] == payloads.state(beside, at=at, clock=CLOCK)["time"]


@given(healths, times)
def test_any_health_is_valid(values: Health, at: float):
    check("health", payloads.health(values, at=at, clock=CLOCK))


@given(infos)
def test_any_info_is_valid(values: Info):
    check("info", payloads.info(values))


def test_the_end_of_a_face_has_expression_none_and_the_previous_one():
    left = Change(4, None, "happiness", 0.8, 10.0, 2.5)
    event = check("event", payloads.event(left, run="r", seq=9, clock=CLOCK, model="m"))
    assert (event["type"], event["expression"], event["previous"]) == ("end", "none", "happiness")
    assert event["vocabulary"] is None
    assert event["id"] == "r-9"


@pytest.mark.parametrize("label", ["anger", "disgust", "fear", "happiness", "sadness", "surprise"])
def test_basic_emotions_have_a_name_in_emotionml(label: str):
    assert payloads.vocabulary(label) == {
        "category_set": "http://www.w3.org/TR/emotion-voc/xml#big6",
        "category": label,
    }


@pytest.mark.parametrize("label", ["neutral", "contempt", "uncertain", "none"])
def test_other_expressions_have_no_name_in_emotionml(label: str):
    assert payloads.vocabulary(label) is None


@given(st.floats(min_value=0, max_value=1e6))
def test_a_date_is_utc_to_the_millisecond(at: float):
    date = CLOCK.date(at)
    assert date.endswith("Z")
    assert math.isclose(datetime.fromisoformat(date).timestamp(), at + CLOCK.offset_s, abs_tol=0.0011)


def test_the_state_names_the_largest_face():
    far = Shown(1, "anger", 0.9, 0.0, {}, size=50)
    near = Shown(2, "fear", 0.6, 0.0, {}, size=200)
    assert payloads.state([far, near], at=1.0, clock=CLOCK)["expression"] == "fear"


def test_a_shadow_state_has_the_expression_of_the_bundle_in_use_for_each_face():
    shadow = [Shown(1, "anger", 0.9, 0.0, {}, size=50), Shown(2, "fear", 0.6, 0.0, {}, size=20)]
    in_use = [Shown(1, "sadness", 0.9, 0.0, {}, size=50), Shown(3, "neutral", 0.6, 0.0, {}, size=90)]
    payload = payloads.shadow_state(shadow, in_use, models=("b2", "b1"), at=1.0, clock=CLOCK)
    assert [(face["expression"], face["in_use"]) for face in payload["faces"]] == [
        ("anger", "sadness"),
        ("fear", "none"),
    ]
    assert (payload["model"], payload["expression"]) == ("b2", "anger")
    assert payload["in_use"] == {"model": "b1", "expression": "neutral"}


def test_without_a_face_the_state_is_none():
    assert payloads.state([], at=1.0, clock=CLOCK)["expression"] == "none"


def test_a_file_name_that_is_not_utf_8_makes_a_valid_payload():
    assert payloads.encode({"camera": "images:caf\udce9"}) == b'{"camera":"images:caf?"}'


def test_numbers_are_rounded():
    change = Change(1, "fear", None, 1 / 3, 0.0, 0.0)
    assert payloads.event(change, run="r", seq=1, clock=CLOCK, model="m")["confidence"] == 0.3333


PLACE = Place(1 / 3, 0.25, 1.23456)


def test_a_state_says_where_each_face_is():
    shown = [Shown(1, "fear", 0.6, 0.0, {}, 9.0, PLACE), Shown(2, "anger", 0.6, 0.0, {}, 8.0, Place(1.0, 0.0, None))]
    first, second = check("state", payloads.state(shown, at=1.0, clock=CLOCK))["faces"]
    assert (first["position"], first["distance_m"]) == ({"x": 0.3333, "y": 0.25}, 1.23)
    assert (second["position"], second["distance_m"]) == ({"x": 1.0, "y": 0.0}, None)


def test_an_event_says_where_the_face_is():
    change = Change(1, "fear", None, 0.6, 0.0, 0.0, PLACE)
    event = check("event", payloads.event(change, run="r", seq=1, clock=CLOCK, model="m"))
    assert (event["position"], event["distance_m"]) == ({"x": 0.3333, "y": 0.25}, 1.23)


def test_a_shadow_only_compares_expressions():
    shown = [Shown(1, "fear", 0.6, 0.0, {}, 9.0, PLACE)]
    (face,) = payloads.shadow_state(shown, shown, models=("b2", "b1"), at=1.0, clock=CLOCK)["faces"]
    assert not {"position", "distance_m"} & face.keys()


def test_additional_keys_make_a_state_invalid():
    payload = payloads.state([Shown(1, "fear", 0.6, 0.0, {}, size=9)], at=1.0, clock=CLOCK)
    payload["faces"][0]["box"] = [1, 2, 3, 4]
    assert not validator("state").is_valid(payload)
