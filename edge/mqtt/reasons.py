"""Why a connection to the broker ended, and the reason codes of MQTT 5 that call for more than another attempt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

UNSUPPORTED_PROTOCOL: Final = 0x84
SESSION_TAKEN_OVER: Final = 0x8E
WILL_RETAIN_REFUSED: Final = 0x9A
WILL_QOS_REFUSED: Final = 0x9B
"""Reason codes of MQTT 5, section 2.4; paho translates those of 3.1.1 to these."""

REFUSALS: Final = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Reason codes that another attempt wouldn't change: client id, user or password, authorisation, ban, method."""


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
class DisconnectReason:
    """Why a connection ended."""

    cause: Cause
    text: str
    """The reason in a few words, for the log."""
    code: int | None = None
    """Reason code of MQTT 5; None unless the cause is `REASON_CODE`."""
