"""Commands that arrive over MQTT: payloads in, requests or refusals out, and the replies to them.

Pure. `schemas/command.json` and `schemas/reply.json` describe both kinds of payload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from edge.messages.payloads import SCHEMA, Payload, WallClock
from edge.messages.untrusted import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

Name: TypeAlias = Literal["pause", "resume", "calibrate", "reload", "identify"]
NAMES: tuple[Name, ...] = get_args(Name)
OPTIONS: dict[Name, dict[str, type]] = {
    "pause": {"paused": bool},
    "resume": {},
    "calibrate": {"clear": bool},
    "reload": {},
    "identify": {},
}
"""Keys that a payload may have besides `id`, and their types."""

BYTES_MAX = 1024
"""Largest payload of a command, in bytes. A command needs fifty."""

_ID = re.compile(r"[ -~]{1,64}")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """A command that was understood."""

    name: Name
    id: str | None = None
    """Chosen by the sender, and repeated in the reply."""
    paused: bool = True
    """For `pause`: False means `resume`, for switches that have only one topic."""
    clear: bool = False
    """For `calibrate`: forget the neutral baseline instead."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that can't be carried out, and is answered at once."""

    name: str
    id: str | None
    reason: str


def parse(name: str, payload: bytes) -> Request | Refusal | None:
    """Understand a command.

    Args:
        name: last level of the topic, whatever it is.
        payload: empty, or a JSON object.

    Returns:
        The request, or a refusal with the reason; None: no reply is possible, because the name couldn't be part of a
        topic.
    """
    if not _TOPIC_NAME.fullmatch(name):
        return None
    if name not in NAMES:
        return Refusal(name, None, f"unknown command; choose {', '.join(NAMES)}")
    identifier = None
    try:
        values = parse_object(payload, BYTES_MAX).raw if payload else {}
        identifier = _identifier(values)
        return Request(name, identifier, **_options(name, values))
    except ValueError as error:
        return Refusal(name, identifier, str(error))


def _identifier(values: Mapping[str, Any]) -> str | None:
    identifier = values.get("id")
    if not (identifier is None or (isinstance(identifier, str) and _ID.fullmatch(identifier))):
        raise ValueError("id must be text of 1 to 64 ASCII characters")
    return identifier


def _options(name: Name, values: Mapping[str, Any]) -> dict[str, Any]:
    """All keys but `id`."""
    options = {key: value for key, value in values.items() if key != "id"}
    for key, value in options.items():
        if key not in OPTIONS[name]:
            raise ValueError(f"the payload has an unknown key; choose {', '.join(['id', *OPTIONS[name]])}")
        if type(value) is not OPTIONS[name][key]:
            raise ValueError(f"{key} must be true or false")
    return options


def reply(asked: Request | Refusal, *, at: float, clock: WallClock, problem: str = "", message: str = "") -> Payload:
    """The reply to a command.

    Args:
        asked: the command.
        at: time of the reply, s, monotonic.
        clock: turns it into a date.
        problem: why the command wasn't carried out; empty: it was.
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
