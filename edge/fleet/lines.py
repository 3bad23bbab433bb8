"""Messages as a person likes to read them in a terminal. Pure: topics and bytes in, lines out.

Payloads may come from anybody: nothing in them may break the view, or command the terminal.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge.messages.untrusted import PAYLOAD_MAX, number_of, printable, read_object, text_of, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


BAR = 10
"""Characters of a confidence bar."""

CLEAR = "\r\x1b[K"
"""Back to the start of the line, and wipe it (ECMA-48 EL)."""

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
"""SGR codes; whatever is not here stays as it is."""


class View:
    """Turns messages into lines, and remembers what was shown so that only changes become lines."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._shown: dict[str, str] = {}
        """By topic, what a line was last printed for."""
        self._states: dict[str, str] = {}
        """By device, one phrase."""

    def status(self, width: int) -> str:
        """All devices' states in one line of at most `width` characters; empty while none is known."""
        text = "  ·  ".join(phrase for _, phrase in sorted(self._states.items()))
        return self._paint(text if len(text) <= width else text[: max(0, width - 1)] + "…", _DIM)

    def read(self, topic: str, payload: bytes, *, now: datetime, live_state: bool) -> str | None:
        """The line for one message, or None when there is nothing new in it.

        Args:
            topic: ends with `<device>/<kind>`.
            payload: as it arrived, from whomever.
            now: when it arrived, local time; shown where the message has no time of its own.
            live_state: states only change `status` and make no lines.
        """
        head, _, kind = topic.rpartition("/")
        device = printable(head.rpartition("/")[2])
        clock = f"{now:%H:%M:%S}"
        if kind == "availability":
            text = printable(payload.decode(errors="replace"))
            if text == "offline":
                self._states.pop(device, None)
            return self._changed(topic, text, self._paint(f"{clock}  {device}  {text}", _DIM))
        values = read_object(payload)
        if values is None:
            return self._changed(
                topic, "unreadable", self._paint(f"{clock}  {device}  {printable(kind)}: unreadable", _DIM)
            )
        if kind == "event":
            return f"{time_of(values, clock)}  {device}  {self._event(values)}"
        if kind == "state":
            phrase = self._state(values)
            self._states[device] = f"{device}: {phrase}"
            key = " ".join(f"{track}={expression}" for track, expression, _ in _faces(values))
            line = self._changed(topic, key, f"{time_of(values, clock)}  {device}  now {phrase}")
            return None if live_state else line
        text = {"health": _health, "info": _info}.get(kind, _other)(values)
        return self._changed(topic, text, self._paint(f"{clock}  {device}  {printable(kind)}  {text}", _DIM))

    def _event(self, values: dict[str, Any]) -> str:
        kind, track = text_of(values, "type"), text_of(values, "track")
        expression, previous = text_of(values, "expression"), text_of(values, "previous")
        bar = confidence_bar(number_of(values, "confidence"))
        painted = self._paint(f"{expression:<10}", _COLOURS.get(expression))
        if kind == "end":
            return f"{kind:<6}  face {track}  left, was {previous} for {number_of(values, 'duration_s'):.1f} s"
        before = "" if kind == "new" else self._paint(f"  was {previous}", _DIM)
        return f"{kind:<6}  face {track}  {painted}  {bar}{before}"

    def _state(self, values: dict[str, Any]) -> str:
        faces = [f"face {track} {expression} {confidence_bar(share)}" for track, expression, share in _faces(values)]
        return ", ".join(faces) or "no face"

    def _changed(self, topic: str, key: str, line: str) -> str | None:
        if self._shown.get(topic) == key:
            return None
        self._shown[topic] = key
        return line

    def _paint(self, text: str, code: str | None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code and text else text


def raw(topic: str, payload: bytes) -> str:
    """Topic and payload in one line; what is not text is escaped."""
    text = payload[:PAYLOAD_MAX].decode(errors="backslashreplace")
    return f"{printable(topic, limit=None)} {printable(text, limit=None)}"


def confidence_bar(share: float) -> str:
    """0..1 as a bar and a percentage."""
    share = min(1.0, max(0.0, share))
    full = round(share * BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {share:4.0%}"


def _faces(values: dict[str, Any]) -> Iterable[tuple[str, str, float]]:
    faces = values.get("faces")
    for face in faces[:10] if isinstance(faces, list) else []:
        if isinstance(face, dict):
            yield text_of(face, "track"), text_of(face, "expression"), number_of(face, "confidence")


def _health(values: dict[str, Any]) -> str:
    parts = [f"{number_of(values, 'fps'):.1f} fps"]
    age = values.get("frame_age_ms")
    if isinstance(age, dict):
        parts.append(f"age {number_of(age, 'p50'):.0f}/{number_of(age, 'p95'):.0f} ms")
    if values.get("cpu_temperature_c") is not None:
        parts.append(f"{number_of(values, 'cpu_temperature_c'):.0f} °C")
    parts += [name.replace("_", "-") for name in ("throttled", "under_voltage") if values.get(name) is True]
    parts += [
        f"{name} {text_of(values, key)}"
        for name, key in (("queued", "queued"), ("lost", "lost_events"))
        if values.get(key)
    ]
    return ", ".join(parts)


def _info(values: dict[str, Any]) -> str:
    model, versions = values.get("model"), values.get("versions")
    parts = [f"camera {text_of(values, 'camera')}"]
    if isinstance(versions, dict):
        parts.insert(0, f"emotion-edge {text_of(versions, 'emotion_edge')}")
    if isinstance(model, dict):
        parts.append(f"model {text_of(model, 'id')}")
    if values.get("shadow"):
        parts.append(f"shadow {text_of(values, 'shadow')}")
    if values.get("problem"):
        parts.append(f"PROBLEM: {text_of(values, 'problem')}")
    if values.get("shadow_problem"):
        parts.append(f"PROBLEM: no shadow, {text_of(values, 'shadow_problem')}")
    return ", ".join(parts)


def _other(values: dict[str, Any]) -> str:
    return printable(json.dumps(values))
