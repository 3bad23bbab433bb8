"""Validates external data, such as a settings file, a recipe or a manifest, and builds frozen dataclasses from it.

The type of a field states what it allows: `fps: Annotated[float, Between(1, 120, "frames/s")]`. Fields may be numbers,
text, booleans, dates, tuples, mappings from text, and dataclasses of these. Every fault raises InvalidError: one line
that names the key, repeats the value and says what is allowed. The caller adds the name of the file.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edge.redaction import without_password, without_passwords

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Instance = TypeVar("Instance", bound=DataclassInstance)
else:
    Instance = TypeVar("Instance")

SHOWN_MAX = 60
"""Maximum number of characters of a value that a message repeats."""


class InvalidError(ValueError):
    """A value is not allowed, or a key is missing or unknown. The message is one line."""


@dataclass(frozen=True, slots=True)
class Between:
    """Allows finite numbers from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    low_allowed: bool = True
    high_allowed: bool = True

    def __contains__(self, value: float) -> bool:
        above = self.low <= value if self.low_allowed else self.low < value
        below = value <= self.high if self.high_allowed else value < self.high
        return above and below and abs(value) != math.inf

    def __str__(self) -> str:
        if self.low_allowed and self.high_allowed and math.inf not in {-self.low, self.high}:
            text = f"{self.low:g} to {self.high:g}"
        else:
            low = f"{'at least' if self.low_allowed else 'more than'} {self.low:g}" if self.low > -math.inf else ""
            high = f"{'at most' if self.high_allowed else 'less than'} {self.high:g}" if self.high < math.inf else ""
            text = " and ".join(part for part in (low, high) if part)
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class OneOf:
    """Allows a fixed set of values."""

    values: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return _listed([f'"{value}"' if isinstance(value, str) else str(value).lower() for value in self.values])


@dataclass(frozen=True, slots=True)
class Text:
    """Allows any text; empty text only if `optional`."""

    meaning: str
    optional: bool = False

    def __contains__(self, value: str) -> bool:
        return self.optional or bool(value.strip())

    def __str__(self) -> str:
        return f"{self.meaning}, or empty" if self.optional else f"{self.meaning}, not empty"


@dataclass(frozen=True, slots=True)
class Matching:
    """Allows text that a regular expression matches completely."""

    pattern: str
    meaning: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value, re.ASCII) is not None

    def __str__(self) -> str:
        return self.meaning


@dataclass(frozen=True, slots=True)
class Items:
    """Allows a list of at least `least` values, without duplicates if `distinct`."""

    least: int = 1
    distinct: bool = False

    def __contains__(self, values: tuple[Any, ...]) -> bool:
        return len(values) >= self.least and not (self.distinct and len(set(values)) < len(values))

    def __str__(self) -> str:
        return f"at least {self.least}" + (", without duplicates" if self.distinct else "")


def allowed(kind: type) -> dict[str, tuple[type, Any]]:
    """The fields of a dataclass: name -> type and rule; the rule may be None."""
    return {name: _parts(hint) for name, hint in _hints(kind).items()}


def build(kind: type[Instance], values: object, key: str = "") -> Instance:
    """Build a dataclass from a JSON object or TOML table. Keys without a field are ignored.

    Args:
        kind: the dataclass.
        values: the object, as parsed.
        key: dotted name of the object, for messages; empty: the top level.

    Raises:
        InvalidError: `values` is not an object, a required field is missing, or a value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise _not_allowed(key or "the top level", values, kind)
    found = {}
    for field in dataclasses.fields(kind):
        name = f"{key}.{field.name}" if key else field.name
        if field.name in values:
            found[field.name] = checked(_hints(kind)[field.name], values[field.name], name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidError(f"{name} is missing")
    return kind(**found)


def update(instance: Instance, changes: Mapping[str, Any]) -> Instance:
    """A copy of a dataclass with some values changed, as by a settings file. Every key must be known.

    Args:
        instance: the current values; fields that are dataclasses are sections.
        changes: the new values, as parsed, with nested sections.

    Raises:
        InvalidError: a key is unknown, in which case the message suggests a known one; or a value is not allowed.
    """
    return _updated(instance, changes, "", type(instance))


def checked(hint: Any, value: Any, key: str) -> Any:
    """Check a value and convert it to the type of its field.

    Raises:
        InvalidError: the value is not allowed. The message names `key`, its dotted name.
    """
    base, rule = _parts(hint)
    origin, arguments = get_origin(base), get_args(base)
    found: Any
    if _is_section(base):
        found = build(base, value, key)
    elif origin in {Union, types.UnionType}:
        found = None if value is None else checked(arguments[0], value, key)
    elif origin is tuple and isinstance(value, list | tuple):
        found = tuple(checked(arguments[0], each, f"{key}[{i}]") for i, each in enumerate(value))
    elif origin is Mapping and isinstance(value, Mapping):
        found = {str(name): checked(arguments[1], each, f"{key}.{_printable(name)}") for name, each in value.items()}
    elif (found := _converted(base, value)) is None:
        raise _not_allowed(key, value, hint)
    if rule is not None and found not in rule:
        raise _not_allowed(key, value, hint)
    return found


def as_json(instance: DataclassInstance) -> dict[str, Any]:
    """The inverse of `build`: an object for `json.dumps`, without fields that have their default."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return as_json(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, tuple):
            return [plain(each) for each in value]
        return {name: plain(each) for name, each in value.items()} if isinstance(value, Mapping) else value

    fields = [(field, getattr(instance, field.name)) for field in dataclasses.fields(instance)]
    return {field.name: plain(value) for field, value in fields if value != field.default}


def _updated(instance: Instance, changes: Mapping[str, Any], section: str, whole: type) -> Instance:
    hints, found = _hints(type(instance)), {}
    for name, value in changes.items():
        hint, is_section = hints.get(name), isinstance(value, Mapping)
        if hint is None or (_is_section(hint) and not is_section):
            raise _unknown(name, section, whole, is_section=is_section)
        if _is_section(hint):
            found[name] = _updated(getattr(instance, name), value, name, whole)
        else:
            found[name] = checked(hint, value, f"{section}.{name}" if section else name)
    return dataclasses.replace(instance, **found)


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _unknown(name: str, section: str, whole: type, *, is_section: bool) -> InvalidError:
    """The error for an unknown name, with the known name that was probably meant."""
    import difflib

    sections = {title: list(_hints(hint)) for title, hint in _hints(whole).items() if _is_section(hint)}
    known = sections[section] if section else list(_hints(whole))
    homes = [f"[{title}]" for title, keys in sections.items() if name in keys]
    if name in sections and not is_section:
        return InvalidError(f"{name!r} is a section, not a key; write [{name}] and its keys below")
    what = f"section [{_printable(name)}]" if is_section else f"key {name!r}"
    where = f" in [{section}]" if section else ""
    if near := difflib.get_close_matches(name.lower(), known, n=1):
        advice = f"did you mean {near[0]!r}?"
    elif homes:
        advice = f"it belongs in {' or '.join(homes)}"
    else:
        advice = f"choose {_listed(known)}"
    return InvalidError(f"unknown {what}{where}; {advice}")


def _listed(choices: list[str]) -> str:
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


_WORDS = {float: "a number", int: "a whole number", str: "text", bool: "true or false", date: "a date"}


def _described(hint: Any) -> str:
    """A description of what a field allows."""
    base, rule = _parts(hint)
    origin, arguments = get_origin(base), get_args(base)
    if origin in {Union, types.UnionType}:
        return _described(arguments[0])
    if origin is tuple:
        return f"a list{'' if rule is None else f' of {rule}'}, each {_described(arguments[0])}"
    if base not in _WORDS:
        return "keys with values"
    if rule is None:
        return _WORDS[base]
    return f"{_WORDS[base]}, {rule}" if base in {int, float} else str(rule)


def _converted(base: Any, value: Any) -> Any:
    """The value, converted to its type; None if that is impossible."""
    if base not in _WORDS or (isinstance(value, bool) and base is not bool):
        return None  # `true` is an int in Python, but not what a user means by a whole number
    if base is float and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if base is date and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, base) else None


def _not_allowed(key: str, value: Any, hint: Any) -> InvalidError:
    return InvalidError(f"{key} = {_shown(value)} is not allowed; give {_described(hint)}")


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = repr(without_password(value) if "://" in value else value)
    else:
        text = str(value).lower() if isinstance(value, bool) else without_passwords(repr(value))
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def _printable(name: object) -> str:
    return repr(str(name))[1:-1]


def _parts(hint: Any) -> tuple[Any, Any]:
    """The type and the rule of a field."""
    if get_origin(hint) is Annotated:
        base, rule, *_ = get_args(hint)
        return base, rule
    return hint, None


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
