"""Messages as lines for a terminal. Pure: topics and bytes in, lines out.

Payloads may come from anybody: nothing in them may break the view, or command the terminal.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge.messages.topics import AVAILABILITY, EVENT, HEALTH, INFO, STATE, Namespace
from edge.messages.untrusted import PAYLOAD_MAX, printable, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from edge.messages.topics import Topic
    from edge.messages.untrusted import UntrustedObject

BAR = 10
"""Characters of a confidence bar."""

FACES_MAX = 10
"""Faces of a state that are shown."""

DISTANCE_MAX_M = 100
"""Distance, m, from which a message can't be true."""

CLEAR = "\r\x1b[K"
"""Back to the start of the line, and clear it (ECMA-48 EL)."""

_DIM = "2"
_COLOURS = {
    "happiness": "32",
    "surprise": "33",
    "anger": "31",
    "disgust": "35",
    "contempt": "35",
    "fear": "36",
    "sadness": "34",
}
"""SGR codes of expressions; all others have no colour."""


class View:
    """Turns messages into lines, and remembers what was shown so that only changes become lines."""

    def __init__(self, base: str, *, colour: bool) -> None:
        """Nothing was shown yet.

        Args:
            base: as in mqtt.base.
            colour: highlight what needs attention.
        """
        self._names = Namespace(base)
        self._colour = colour
        self._shown: dict[str, str] = {}
        """By topic, the text of its last line."""
        self._states: dict[str, str] = {}
        """By device, one phrase."""

    def status(self, width: int) -> str:
        """All devices' states in one line of at most `width` characters; empty while none is known."""
        text = "  ·  ".join(phrase for _, phrase in sorted(self._states.items()))
        return self._paint(text if len(text) <= width else text[: max(0, width - 1)] + "…", _DIM)

    def read(self, path: str, payload: bytes, *, now: datetime, live_state: bool) -> str | None:
        """The line for one message, or None when there is nothing new in it.

        Args:
            path: the topic, as it arrived.
            payload: as it arrived, from anybody.
            now: when it arrived, local time; shown where the message has no time of its own.
            live_state: states only change `status` and make no lines.
        """
        parsed = self._names.parse(path)
        if parsed is None:
            return None
        device, rest, topic = printable(parsed.device), printable(parsed.rest), parsed.topic
        clock = f"{now:%H:%M:%S}"
        if topic is AVAILABILITY:
            text = printable(payload.decode(errors="replace"))
            if text == "offline":
                self._states.pop(device, None)
            return self._changed(path, text, self._paint(f"{clock}  {device}  {text}", _DIM))
        values = read_object(payload)
        if values is None:
            return self._changed(path, "unreadable", self._paint(f"{clock}  {device}  {rest}: unreadable", _DIM))
        if topic is EVENT:
            return f"{local_time(values, clock)}  {device}  {self._event(values)}"
        if topic is STATE:
            phrase = _state(values)
            self._states[device] = f"{device}: {phrase}"
            key = " ".join(f"{face.shown('track')}={face.shown('expression')}" for face in _faces(values))
            line = self._changed(path, key, f"{local_time(values, clock)}  {device}  now {phrase}")
            return None if live_state else line
        text = _other(topic, values)
        return self._changed(path, text, self._paint(f"{clock}  {device}  {rest}  {text}", _DIM))

    def _event(self, values: UntrustedObject) -> str:
        kind, track = values.shown("type"), values.shown("track")
        expression, previous = values.shown("expression"), values.shown("previous")
        bar = confidence_bar(values.number("confidence") or 0.0)
        painted = self._paint(f"{expression:<10}", _COLOURS.get(expression))
        if kind == "end":
            return f"{kind:<6}  face {track}  left, was {previous} for {values.number('duration_s') or 0.0:.1f} s"
        before = "" if kind == "new" else self._paint(f"  was {previous}", _DIM)
        return f"{kind:<6}  face {track}  {painted}  {bar}{_distance(values)}{before}"

    def _changed(self, path: str, key: str, line: str) -> str | None:
        if self._shown.get(path) == key:
            return None
        self._shown[path] = key
        return line

    def _paint(self, text: str, code: str | None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code and text else text


def raw(path: str, payload: bytes) -> str:
    """Topic and payload in one line; bytes that aren't text are escaped."""
    text = payload[:PAYLOAD_MAX].decode(errors="backslashreplace")
    return f"{printable(path, limit=None)} {printable(text, limit=None)}"


def confidence_bar(share: float) -> str:
    """0..1 as a bar and a percentage."""
    share = min(1.0, max(0.0, share))
    full = round(share * BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {share:4.0%}"


def local_time(values: UntrustedObject, fallback: str) -> str:
    """The message's own time, in the time zone of the person who reads it."""
    date = values.date("time")
    try:
        return fallback if date is None else f"{date.astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # a year that this clock doesn't know
        return fallback


def _faces(values: UntrustedObject) -> Iterable[UntrustedObject]:
    return values.objects("faces", FACES_MAX)


def _state(values: UntrustedObject) -> str:
    faces = [
        f"face {face.shown('track')} {face.shown('expression')} {confidence_bar(face.number('confidence') or 0.0)}"
        f"{_distance(face)}"
        for face in _faces(values)
    ]
    return ", ".join(faces) or "no face"


def _distance(face: UntrustedObject) -> str:
    """The distance of a face, with the space before it; empty if it is unknown."""
    metres = face.number("distance_m")
    return f"  {metres:.1f} m" if metres is not None and 0 <= metres < DISTANCE_MAX_M else ""


def _other(topic: Topic | None, values: UntrustedObject) -> str:
    """The text for health, info, and messages of other publishers."""
    if topic is HEALTH:
        return _health(values)
    return _info(values) if topic is INFO else printable(json.dumps(values.raw))


def _health(values: UntrustedObject) -> str:
    parts = [f"{values.number('fps') or 0.0:.1f} fps"]
    age = values.object("frame_age_ms")
    if age.raw:
        parts.append(f"age {age.number('p50') or 0.0:.0f}/{age.number('p95') or 0.0:.0f} ms")
    if (temperature_c := values.number("cpu_temperature_c")) is not None:
        parts.append(f"{temperature_c:.0f} °C")
    parts += [name.replace("_", "-") for name in ("throttled", "under_voltage") if values.flag(name)]
    parts += [
        f"{name} {values.shown(key)}"
        for name, key in (("queued", "queued"), ("lost", "lost_events"))
        if values.number(key)
    ]
    return ", ".join(parts)


def _info(values: UntrustedObject) -> str:
    model, versions = values.object("model"), values.object("versions")
    parts = [f"camera {values.shown('camera')}"]
    if versions.raw:
        parts.insert(0, f"emotion-edge {versions.shown('emotion_edge')}")
    if model.raw:
        parts.append(f"model {model.shown('id')}")
    if values.text("shadow"):
        parts.append(f"shadow {values.shown('shadow')}")
    if values.text("problem"):
        parts.append(f"PROBLEM: {values.shown('problem')}")
    if values.text("shadow_problem"):
        parts.append(f"PROBLEM: no shadow, {values.shown('shadow_problem')}")
    return ", ".join(parts)
