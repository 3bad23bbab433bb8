"""Untrusted JSON: a value has the requested type, or is missing."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.messages.untrusted import MISSING, PAYLOAD_MAX, UntrustedObject, parse_object, printable, read_object

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b" " * (PAYLOAD_MAX + 1), f"longer than {PAYLOAD_MAX} bytes"),
        (b"", "not JSON"),
        (b"nul", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"9" * 60_000, "not JSON"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        ("{}".encode("utf-16"), "not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON in UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
    ],
)
def test_other_payloads_than_objects_are_rejected_in_one_line(payload: bytes, reason: str):
    with pytest.raises(ValueError, match=reason) as error:
        parse_object(payload)
    assert "\n" not in str(error.value)
    assert read_object(payload) is None


def test_each_value_is_read_by_its_type():
    values = UntrustedObject(
        {"text": "a", "number": 1.5, "flag": False, "date": "2025-03-14T16:09:26+01:00", "object": {"text": "b"},
         "list": [{"text": "c"}, 1, {"text": "d"}, {"text": "e"}]}
    )  # fmt: skip
    assert (values.text("text"), values.number("number"), values.flag("flag")) == ("a", 1.5, False)
    assert str(values.date("date")) == "2025-03-14 15:09:26+00:00"
    assert values.object("object").text("text") == "b"
    assert [each.text("text") for each in values.objects("list", 3)] == ["c", "d"]


@pytest.mark.parametrize("value", [None, "", 7, True, [], {}, 10**400, float("nan"), float("inf"), "2025-01-01T00:00"])
def test_a_value_of_another_type_is_missing(value: object):
    values = UntrustedObject({"key": value})
    assert values.text("key") == (value if isinstance(value, str) and value else None)
    assert values.number("key") == (7.0 if value == 7 else None)
    assert values.flag("key") is (True if value is True else None)
    assert values.date("key") is None, "a date needs a time zone"
    assert not values.object("key").raw
    assert values.objects("key", 9) == []


@given(st.dictionaries(st.sampled_from("abc"), anything))
def test_no_object_breaks_the_reader(found: dict):
    values = read_object(json.dumps(found).encode())
    assert values is not None
    for key in "abc":
        assert values.shown(key).isprintable()
        number, date = values.number(key), values.date(key)
        assert number is None or math.isfinite(number)
        assert date is None or date.utcoffset() is not None
        assert len(values.objects(key, 2)) <= 2


def test_shown_values_are_printable_and_short():
    values = UntrustedObject({"escape": "\x1b[2J", "long": "x" * 1000, "number": 1.5, "list": [1]})
    shown = [values.shown(key) for key in ("escape", "long", "number", "list", "none")]
    assert shown == ["\\x1b[2J", "x" * 80, "1.5", MISSING, MISSING]
    assert printable("\x07" * 3, limit=2) == "\\x07\\x07"
    assert len(printable("x" * 1000, limit=None)) == 1000
