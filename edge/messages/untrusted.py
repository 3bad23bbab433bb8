"""Reads JSON that may come from anybody: nothing in it may break a program, or command a terminal."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

PAYLOAD_MAX = 65_536
"""Bytes; ours are below 2,000."""
_TEXT_MAX = 80


def printable(text: str, limit: int | None = _TEXT_MAX) -> str:
    """Text without anything that a terminal would obey, cut to `limit` characters."""
    text = text if limit is None else text[:limit]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_object(payload: bytes) -> dict[str, Any] | None:
    """The JSON object in a payload; None: it is none, or far too large for one of ours."""
    if len(payload) > PAYLOAD_MAX:
        return None
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def text_of(values: dict[str, Any], key: str) -> str:
    """A value as a person may see it; `?` where it is missing."""
    value = values.get(key, "?")
    return printable(str(value)) if isinstance(value, str | int | float) else "?"


def number_of(values: dict[str, Any], key: str) -> float:
    """A value as a number; 0 where it is missing or none."""
    value = values.get(key)
    try:
        number = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return number if number == number else 0.0  # noqa: PLR0124 - NaN is not equal to itself


def time_of(values: dict[str, Any], fallback: str) -> str:
    """The message's own time, as the watch on the reader's wrist shows it."""
    try:
        return f"{datetime.fromisoformat(text_of(values, 'time')).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return fallback
