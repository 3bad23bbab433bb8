"""Commands that arrive over MQTT on `command/<name>`: payloads in, requests or refusals out, and the answers.

Pure but for `Inbox`, where they wait for the loop. `schemas/command.json` and `schemas/reply.json` describe both.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from edge.messages.payloads import SCHEMA, Payload, WallClock

Name: TypeAlias = Literal["pause", "resume", "calibrate", "reload", "identify"]
NAMES: tuple[Name, ...] = get_args(Name)
OPTIONS: dict[Name, dict[str, type]] = {
    "pause": {"paused": bool},
    "resume": {},
    "calibrate": {"clear": bool},
    "reload": {},
    "identify": {},
}
"""Keys that a payload may have besides `id`."""

BYTES_MAX = 1024
"""Of a payload. A command needs fifty."""

_ID = re.compile(r"[ -~]{1,64}")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    name: Name
    id: str | None = None
    """Chosen by whoever asks, and repeated in the answer."""
    paused: bool = True
    """Of `pause`: False means `resume`, for switches that have only one topic."""
    clear: bool = False
    """Of `calibrate`: forget the neutral face instead."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered at once, because it cannot be done."""

    name: str
    id: str | None
    reason: str


def parse(name: str, payload: bytes) -> Request | Refusal | None:
    """Understand a message on `command/<name>`.

    Args:
        name: last level of the topic, whatever it is.
        payload: empty, or a JSON object.

    Returns:
        None: not even an answer is possible, for the name could not be part of a topic of ours.
    """
    if not _TOPIC_NAME.fullmatch(name):
        return None
    if name not in NAMES:
        return Refusal(name, None, f"there is no such command; there are {', '.join(NAMES)}")
    identifier = None
    try:
        values = _object(payload)
        identifier = _identifier(values)
        return Request(name, identifier, **_options(name, values))
    except ValueError as error:
        return Refusal(name, identifier, str(error))


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > BYTES_MAX:
        raise ValueError(f"the payload is longer than {BYTES_MAX} bytes")
    try:
        values = json.loads(payload.decode() or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError("the payload is not JSON in UTF-8; send an object, or nothing") from error
    if not isinstance(values, dict):
        raise ValueError("the payload is no JSON object")  # noqa: TRY004 - the caller knows only this
    return values


def _identifier(values: dict[str, Any]) -> str | None:
    identifier = values.get("id")
    if not (identifier is None or (isinstance(identifier, str) and _ID.fullmatch(identifier))):
        raise ValueError("id has to be a text of 1 to 64 characters of ASCII")
    return identifier


def _options(name: Name, values: dict[str, Any]) -> dict[str, Any]:
    """All but `id`."""
    options = {key: value for key, value in values.items() if key != "id"}
    for key, value in options.items():
        if key not in OPTIONS[name]:
            raise ValueError(f"the payload has a key that is not known; there are {', '.join(['id', *OPTIONS[name]])}")
        if type(value) is not OPTIONS[name][key]:
            raise ValueError(f"{key} has to be true or false")
    return options


def reply(asked: Request | Refusal, *, at: float, clock: WallClock, problem: str = "", message: str = "") -> Payload:
    """The answer to a request, for `reply/<name>`.

    Args:
        asked: what it answers.
        at: s, monotonic.
        clock: dates it.
        problem: why it was not done; empty: it was.
        message: a line on what was done.
    """
    if isinstance(asked, Refusal):
        problem = asked.reason
    return {
        "schema": SCHEMA,
        "id": asked.id,
        "time": clock.date(at),
        "ok": not problem,
        "message": problem or message,
    }
