"""What the devices of a fleet last said of themselves. Pure: retained payloads in, a row for each device out.

Payloads may come from anybody: what is not of the kind that the schemas promise is taken for unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.untrusted import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["availability", "info", "health", "state"]
"""Last level of a retained topic."""

KINDS: Final[tuple[Kind, ...]] = ("availability", "info", "health", "state")


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device; None stands for whatever it does not tell."""

    device: str
    known: bool
    """Whether anything was heard of it."""
    online: bool | None
    version: str | None
    """Of emotion-edge."""
    model: str | None
    """Id of the bundle in use."""
    shadow: str | None
    """Id of the bundle that runs as its shadow."""
    problem: str | None
    """One line, for instance why a bundle was refused."""
    shadow_problem: str | None
    """One line on why there is no shadow although there should be one."""
    health_model: str | None
    """Id of the bundle with which `fps` was measured."""
    fps: float | None
    """Frames per second that were finished."""
    target_fps: float | None
    """Frames per second that may be looked at: less than `camera.fps` while the processor is hot."""
    expression: str | None
    """Of the nearest face; `none` where there is none."""
    paused: bool | None
    """Its camera is closed."""
    temperature_c: float | None
    throttled: bool | None
    under_voltage: bool | None
    last_seen: str | None
    """The newest date in what it said, by its own clock: RFC 3339, UTC."""
    unreadable: tuple[Kind, ...]
    """Topics whose payload is none of ours."""


def device_status(device: str, payloads: Mapping[Kind, bytes]) -> DeviceStatus:
    """One device's row.

    Args:
        device: its name.
        payloads: what was last published on its topics, as far as it is known.
    """
    objects: dict[Kind, dict[str, Any] | None] = {
        kind: read_object(payload) for kind, payload in payloads.items() if kind != "availability"
    }
    info, health, state = (objects.get(kind) or {} for kind in KINDS[1:])
    online = {ONLINE: True, OFFLINE: False}.get(payloads.get("availability", b""))
    readable: dict[Kind, bool] = {kind: values is not None for kind, values in objects.items()}
    readable["availability"] = online is not None
    dates = filter(None, (_date(values) for values in (health, state)))
    return DeviceStatus(
        device=device,
        known=bool(payloads),
        online=online,
        version=_text(_object(info, "versions"), "emotion_edge"),
        model=_text(_object(info, "model"), "id"),
        shadow=_text(info, "shadow"),
        problem=_text(info, "problem"),
        shadow_problem=_text(info, "shadow_problem"),
        health_model=_text(health, "model"),
        fps=_number(health, "fps"),
        target_fps=_number(health, "target_fps"),
        expression=_text(state, "expression"),
        paused=_flag(state, "paused"),
        temperature_c=_number(health, "cpu_temperature_c"),
        throttled=_flag(health, "throttled"),
        under_voltage=_flag(health, "under_voltage"),
        last_seen=max(dates, default=None),
        unreadable=tuple(kind for kind in KINDS if kind in payloads and not readable[kind]),
    )


def _object(values: dict[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def _flag(values: dict[str, Any], key: str) -> bool | None:
    value = values.get(key)
    return value if isinstance(value, bool) else None


def _number(values: dict[str, Any], key: str) -> float | None:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _date(values: dict[str, Any]) -> str | None:
    """The date of a message in one form, so that dates can be compared as text."""
    try:
        date = datetime.fromisoformat(_text(values, "time") or "")
        in_utc = date.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None if date.tzinfo is None else in_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
