"""Validation: allowed values are accepted, and all others are rejected in one line that says what is allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping  # noqa: TC003  `build` reads it
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.validation import Between, InvalidError, Items, Matching, OneOf, Text, as_json, build, update


@dataclass(frozen=True)
class Network:
    hidden: Annotated[tuple[Annotated[int, Between(1)], ...], Items()]
    dropout: Annotated[float, Between(0, 1, high_allowed=False)] = 0.5


@dataclass(frozen=True)
class Model:
    name: Annotated[str, Matching("[a-z]+", "lower-case letters")]
    network: Network
    labels: Annotated[tuple[str, ...], Items(2, distinct=True)] = ("yes", "no")
    seed: int = 1
    mirror: bool = False
    size: Annotated[int, OneOf((24, 48))] = 48
    expires: date | None = None
    files: Mapping[str, str] = field(default_factory=dict)


GIVEN = {"name": "mine", "network": {"hidden": [64, 32]}}


def changed(**values: object) -> dict[str, object]:
    return GIVEN | values


def test_an_object_becomes_a_dataclass():
    made = build(Model, changed(seed=3, expires="2027-01-31", files={"a": "b"}, unheard_of=1))
    assert made == Model("mine", Network((64, 32)), seed=3, expires=date(2027, 1, 31), files={"a": "b"})


def test_as_json_and_build_are_inverse():
    made = build(Model, changed(labels=["a", "b"], expires="2027-01-31", files={"a": "b"}, mirror=True))
    assert build(Model, json.loads(json.dumps(as_json(made)))) == made
    assert "seed" not in as_json(made), "defaults are left out"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": {"hidden": [1]}}, "name is missing"),
        (changed(network={}), "network.hidden is missing"),
        (changed(network=3), "network = 3 is not allowed; give keys with values"),
        ([1], "the top level = [1] is not allowed; give keys with values"),
        (changed(name="Mine"), "name = 'Mine' is not allowed; give lower-case letters"),
        (changed(name=1), "name = 1 is not allowed; give lower-case letters"),
        (changed(network={"hidden": 3}), "network.hidden = 3 is not allowed; give a list of at least 1, each a whole"),
        (
            changed(network={"hidden": []}),
            "network.hidden = [] is not allowed; give a list of at least 1, each a whole",
        ),
        (changed(network={"hidden": [4, 0]}), "network.hidden[1] = 0 is not allowed; give a whole number, at least 1"),
        (changed(network={"hidden": [4, "x"]}), "network.hidden[1] = 'x' is not allowed; give a whole number"),
        (changed(labels=["a", "a"]), "labels = ['a', 'a'] is not allowed; give a list of at least 2, without"),
        (changed(seed=True), "seed = true is not allowed; give a whole number"),
        (changed(seed=1.0), "seed = 1.0 is not allowed; give a whole number"),
        (changed(mirror=1), "mirror = 1 is not allowed; give true or false"),
        (changed(size=32), "size = 32 is not allowed; give a whole number, 24 or 48"),
        (changed(expires="soon"), "expires = 'soon' is not allowed; give a date"),
        (changed(files={"a": 1}), "files.a = 1 is not allowed; give text"),
        (changed(files=["a"]), "files = ['a'] is not allowed; give keys with values"),
    ],
)
def test_an_invalid_value_is_reported_with_what_is_allowed(values: object, message: str):
    with pytest.raises(InvalidError) as error:
        build(Model, values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400, -(10**400), 1, 1.5, -1e-9])
def test_a_number_is_finite_and_within_its_limits(number: float):
    with pytest.raises(InvalidError, match=r"network\.dropout = .* give a number, at least 0 and less than 1$"):
        build(Model, changed(network={"hidden": [1], "dropout": number}))


def test_integers_may_be_of_any_size():
    assert build(Model, changed(seed=10**400)).seed == 10**400
    assert build(Model, changed(network={"hidden": [10**400]})).network.hidden == (10**400,)


def test_update_changes_the_given_values_only():
    model = build(Model, changed(seed=3))
    assert update(model, {"network": {"dropout": 0}, "mirror": True}) == build(
        Model, changed(seed=3, mirror=True, network={"hidden": [64, 32], "dropout": 0.0})
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": 3}, "unknown key 'sead'; did you mean 'seed'?"),
        ({"network": {"seed": 3}}, "unknown key 'seed' in [network]; choose hidden or dropout"),
        ({"dropout": 0.1}, "unknown key 'dropout'; it belongs in [network]"),
        ({"network": 1}, "'network' is a section, not a key; write [network] and its keys below"),
        ({"netwrk": {}}, "unknown section [netwrk]; did you mean 'network'?"),
        ({"seed": {"of": 3}}, "seed = {'of': 3} is not allowed; give a whole number"),
    ],
)
def test_an_unknown_key_is_reported_with_the_closest_known_one(changes: dict[str, object], message: str):
    with pytest.raises(InvalidError) as error:
        update(build(Model, GIVEN), changes)
    assert str(error.value) == message


def test_a_rule_describes_what_it_allows():
    assert str(Between(0.5, 100_000, "s")) == "0.5 to 100000 s"
    assert str(Between(0, 1)) == "0 to 1"
    assert str(Between(1, unit="px")) == "at least 1 px"
    assert str(Between(0, low_allowed=False)) == "more than 0"
    assert str(Between(0, 1, low_allowed=False, high_allowed=False)) == "more than 0 and less than 1"
    assert str(OneOf(("a", "b"))) == '"a" or "b"'
    assert str(OneOf((24, 48, 96))) == "24, 48 or 96"
    assert str(Text("a folder", optional=True)) == "a folder, or empty"
    assert str(Text("a folder")) == "a folder, not empty"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("name", "network", "labels", "seed", "mirror", "size", "expires", "files")


@given(st.dictionaries(st.sampled_from(NAMES), json_values) | json_values)
def test_any_value_is_accepted_or_rejected_in_one_line(values: object):
    values = {**GIVEN, **values} if isinstance(values, dict) else values
    try:
        build(Model, values)
    except InvalidError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  both outcomes are right
