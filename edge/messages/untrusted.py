"""Reads JSON that may come from anybody: nothing in it may break a program, fill its memory, or command a terminal.

Everything that arrives over MQTT, or that another program has written, is read here. What is made of it is for the
caller to say, who asks for values by their type.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYLOAD_MAX: Final = 65_536
"""Largest payload that is read, in bytes. Ours are below 2,000."""

TEXT_MAX: Final = 80
"""Characters of a value that a person sees."""

MISSING: Final = "?"
"""What a person sees of a value that is missing."""


class UntrustedObject:
    """A JSON object of which nothing is known. A value of another type than the one asked for counts as missing."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def raw(self) -> Mapping[str, Any]:
        """All keys with their values, whatever they are."""
        return self._values

    def text(self, key: str) -> str | None:
        """A text that isn't empty; it may hold any characters, see `printable`."""
        value = self._values.get(key)
        return value if isinstance(value, str) and value else None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._values.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """A finite number."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    def date(self, key: str) -> datetime | None:
        """A date with a time zone, in ISO 8601; in UTC."""
        try:
            date = datetime.fromisoformat(self.text(key) or "")
            in_utc = date.astimezone(UTC)
        except (ValueError, OverflowError, OSError):  # the last two: a year that no clock knows
            return None
        return None if date.tzinfo is None else in_utc

    def object(self, key: str) -> UntrustedObject:
        """An object; where it is missing, one without keys."""
        value = self._values.get(key)
        return UntrustedObject(value if isinstance(value, dict) else {})

    def objects(self, key: str, count_max: int) -> list[UntrustedObject]:
        """The objects among the first `count_max` values of a list."""
        values = self._values.get(key)
        found = values[:count_max] if isinstance(values, list) else []
        return [UntrustedObject(value) for value in found if isinstance(value, dict)]

    def shown(self, key: str) -> str:
        """A text or number as a person may see it, in at most `TEXT_MAX` printable characters."""
        value = self._values.get(key, MISSING)
        return printable(str(value)) if isinstance(value, str | int | float) else MISSING


def parse_object(payload: bytes, size_max: int = PAYLOAD_MAX) -> UntrustedObject:
    """The JSON object in a payload.

    Args:
        payload: as it arrived.
        size_max: bytes that it may have.

    Raises:
        ValueError: it is too long, not JSON in UTF-8, or not an object; the message is one line.
    """
    if len(payload) > size_max:
        raise ValueError(f"the payload is longer than {size_max} bytes")
    try:
        values = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("the payload is not JSON in UTF-8; send an object, or nothing") from error
    if not isinstance(values, dict):
        raise ValueError("the payload is not a JSON object")  # noqa: TRY004 - a fault of the payload, like the others
    return UntrustedObject(values)


def read_object(payload: bytes) -> UntrustedObject | None:
    """The JSON object in a payload; None: it holds none, or is far too large for one of ours."""
    try:
        return parse_object(payload)
    except ValueError:
        return None


def printable(text: str, limit: int | None = TEXT_MAX) -> str:
    """Text without anything that a terminal would obey, cut to `limit` characters."""
    text = text if limit is None else text[:limit]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
