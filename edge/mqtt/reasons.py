"""Why a connection to the broker ended, and the reason codes of MQTT 5 that call for more than another attempt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

UNSUPPORTED_PROTOCOL: Final = 0x84
KEEP_ALIVE_TIMEOUT: Final = 0x8D
SESSION_TAKEN_OVER: Final = 0x8E
PACKET_IDENTIFIER_NOT_FOUND: Final = 0x92
WILL_RETAIN_REFUSED: Final = 0x9A
WILL_QOS_REFUSED: Final = 0x9B
"""Reason codes of MQTT 5, section 2.4; paho translates those of 3.1.1 to these."""

REFUSALS: Final = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Reason codes that another attempt wouldn't change: client id, user or password, authorisation, ban, method."""

REJECTIONS: Final = frozenset({0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9E, 0xA1, 0xA2})
"""Reason codes of a DISCONNECT by which a broker rejects what it was sent."""


class Cause(Enum):
    """What ended a connection, or kept it from being made."""

    UNREACHABLE = auto()
    """No TCP, TLS or websocket connection."""
    UNANSWERED = auto()
    """The broker didn't answer CONNECT in time. It may still find that packet later."""
    CLOSED = auto()
    """The connection ended without a reason code."""
    REASON_CODE = auto()
    """The broker said why."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What the broker had received, or was about to, and had not answered when it ended the connection."""

    name: str
    """What it was, such as `publish state`: the same in every connection."""
    line: str
    """The same for the log, with the topic and the size of the message."""
    alone: bool
    """Whether nothing else was unanswered, so that only this can be the reason."""
    path: str = ""
    """Its topic."""


@dataclass(frozen=True, slots=True)
class DisconnectReason:
    """Why a connection ended."""

    cause: Cause
    text: str
    """The reason in a few words, for the log."""
    code: int | None = None
    """Reason code of MQTT 5; None unless the cause is `REASON_CODE`."""
    under_way: UnderWay | None = None
    """What may have made the broker end it; None: nothing was unanswered, or the broker had another reason."""
