"""Commands are parsed as the schema says, refused in one line, or dropped and counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.messages import commands
from edge.messages import payloads as messages
from edge.messages.commands import Refusal, Request
from tests.support.schemas import schema, validator

COMMANDS, REPLY = schema("command"), validator("reply")
CLOCK = messages.WallClock(offset_s=1_700_000_000.0, synchronised=True)

ids = st.none() | st.text(max_size=70) | st.from_regex(r"[ -~]{1,64}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
flags = st.booleans() | values
objects = st.fixed_dictionaries({}, optional={"id": ids | values, "paused": flags, "clear": flags, "more": values})
payloads = st.one_of(
    st.binary(max_size=1100),
    values.map(lambda value: json.dumps(value).encode()),
    objects.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"",
            b"{}",
            b"PRESS",
            b'{"id": "a\\n"}',
            b"[" * 1000,
            b"9" * 1024,
            b'{"id": "\\ud800"}',
            b"\xef\xbb\xbf{}",
            b"nul",
        ]
    ),
)


def fits(name: str, payload: bytes) -> bool:
    """Whether the schema allows a payload; independent of `parse`."""
    if len(payload) > 1024:
        return False
    try:
        value = json.loads(payload.decode("utf-8")) if payload else {}
    except (ValueError, RecursionError):
        return False
    return validator("command", name).is_valid(value)


@given(st.sampled_from(commands.NAMES), payloads)
def test_random_payloads_are_accepted_exactly_if_the_schema_allows_them(name: commands.Name, payload: bytes):
    asked = commands.parse(name, payload)
    assert isinstance(asked, Request) == fits(name, payload)
    answer = commands.reply(asked, at=1.0, clock=CLOCK, message="done")
    decoded = json.loads(messages.encode(answer))
    REPLY.validate(decoded)
    assert decoded["ok"] == isinstance(asked, Request)
    assert decoded["message"].isprintable()


def test_the_schemas_are_valid_and_their_examples_fit():
    Draft202012Validator.check_schema(COMMANDS)
    Draft202012Validator.check_schema(schema("reply"))
    assert set(COMMANDS["$defs"]) == {*commands.NAMES, "id"}
    for name in commands.NAMES:
        assert COMMANDS["$defs"][name]["examples"]
        for example in COMMANDS["$defs"][name]["examples"]:
            assert isinstance(commands.parse(name, json.dumps(example).encode()), Request)
    for example in schema("reply")["examples"]:
        REPLY.validate(example)


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "ü", "pause\x00", "#"])
def test_a_name_that_cannot_be_answered_is_dropped(name):
    assert commands.parse(name, b"") is None


def test_the_reply_to_an_unknown_command_lists_the_known_ones():
    asked = commands.parse("shutdown", b"")
    assert isinstance(asked, Refusal)
    assert "pause, resume" in asked.reason


def test_pause_and_resume_may_share_a_topic():
    assert commands.parse("pause", b'{"paused": false, "id": "7"}') == Request("pause", "7", paused=False)
    assert commands.parse("pause", b"") == Request("pause")


def test_a_calibration_is_measured_or_cleared():
    assert commands.parse("calibrate", b"{}") == Request("calibrate")
    assert commands.parse("calibrate", b'{"clear": true, "id": "7"}') == Request("calibrate", "7", clear=True)
    asked = commands.parse("calibrate", b'{"paused": true}')
    assert isinstance(asked, Refusal)
    assert asked.reason.endswith("choose id, clear")
