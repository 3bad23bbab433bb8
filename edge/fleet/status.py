"""What the devices of a fleet last reported. Pure: retained payloads in, a row for each device out.

Payloads may come from anybody: a value that isn't of the type that the schemas promise counts as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.topics import AVAILABILITY, HEALTH, INFO, STATE
from edge.messages.untrusted import UntrustedObject, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.messages.topics import Topic

STATUS_TOPICS: Final = (AVAILABILITY, INFO, HEALTH, STATE)
"""Retained topics from which the status of a device is made."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device; None stands for whatever it doesn't report."""

    device: str
    known: bool
    """Whether it has reported anything."""
    online: bool | None
    version: str | None
    """Version of emotion-edge."""
    model: str | None
    """Id of the bundle in use."""
    shadow: str | None
    """Id of the bundle that runs as its shadow."""
    problem: str | None
    """One line, for instance why a bundle was refused."""
    shadow_problem: str | None
    """Reason, in one line, why the configured shadow does not run."""
    health_model: str | None
    """Id of the bundle with which `fps` was measured."""
    fps: float | None
    """Frames per second that were processed."""
    target_fps: float | None
    """Limit of the frame rate: less than `camera.fps` while the processor is hot."""
    expression: str | None
    """Expression of the nearest face; `none` without a face."""
    paused: bool | None
    """Whether its camera is closed."""
    temperature_c: float | None
    """Temperature of the processor in degrees Celsius."""
    throttled: bool | None
    under_voltage: bool | None
    last_seen: str | None
    """Latest date in its messages, by its own clock: RFC 3339, UTC."""
    unreadable: tuple[str, ...]
    """Names of topics whose payload isn't one of ours."""


def device_status(device: str, payloads: Mapping[Topic, bytes]) -> DeviceStatus:
    """One device's row.

    Args:
        device: its name.
        payloads: what was last published on its topics, as far as it is known.
    """
    objects = {topic: read_object(payload) for topic, payload in payloads.items() if topic is not AVAILABILITY}
    info, health, state = (objects.get(topic) or UntrustedObject({}) for topic in (INFO, HEALTH, STATE))
    online = {ONLINE: True, OFFLINE: False}.get(payloads.get(AVAILABILITY, b""))
    readable = {AVAILABILITY: online is not None} | {topic: values is not None for topic, values in objects.items()}
    dates = [date for date in (_utc(health), _utc(state)) if date is not None]
    return DeviceStatus(
        device=device,
        known=bool(payloads),
        online=online,
        version=info.object("versions").text("emotion_edge"),
        model=info.object("model").text("id"),
        shadow=info.text("shadow"),
        problem=info.text("problem"),
        shadow_problem=info.text("shadow_problem"),
        health_model=health.text("model"),
        fps=health.number("fps"),
        target_fps=health.number("target_fps"),
        expression=state.text("expression"),
        paused=state.flag("paused"),
        temperature_c=health.number("cpu_temperature_c"),
        throttled=health.flag("throttled"),
        under_voltage=health.flag("under_voltage"),
        last_seen=max(dates, default=None),
        unreadable=tuple(topic.name for topic in STATUS_TOPICS if topic in payloads and not readable[topic]),
    )


def _utc(values: UntrustedObject) -> str | None:
    """The date of a message in one form, so that dates can be compared as text."""
    date = values.date("time")
    return None if date is None else date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
