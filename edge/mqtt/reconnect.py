"""Rules for reconnecting: after which pause, with which protocol, and when to give up.

Pure: times come in and decisions go out. Nothing here reads a clock, waits, or talks to a broker.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from paho.mqtt.enums import MQTTProtocolVersion

from edge.mqtt.reasons import REFUSALS, SESSION_TAKEN_OVER, UNSUPPORTED_PROTOCOL, Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.mqtt.reasons import DisconnectReason, UnderWay

FIRST_PAUSE_S = 0.5
"""Pause before the second attempt to connect; each further pause is twice as long."""

FIRST_ANSWER_S = 2.0
"""Time in which a broker has to answer the first CONNECT. Short, because some that know only MQTT 3.1.1 never answer
that of MQTT 5. Each connection without an answer makes it longer, up to `ANSWER_S`."""

ANSWER_S = 10.0
"""Time in which a broker has to answer CONNECT once it has accepted a connection of this session."""

STABLE_S = 5.0
"""Lifetime of a connection after which pauses start from the shortest again."""

TAKEN_OVER_PAUSE_S = 120.0
"""Pause after another client has connected with our client id. Coming back at once would start a fight that neither
can win."""

CLOSED_MAX = 3
"""Connections in a row that a broker accepted and then closed without a reason code. If nothing was under way, that
many mean another client with our id: with MQTT 3.1.1, and of mosquitto 2.0.11, one sees no more of it than that. If it
was the same message each time, the broker rejects that message: it is too large, or not allowed."""

LEFT_OUT_S = 3600.0
"""Time for which a message is left out that made the broker end `CLOSED_MAX` connections in a row. Then it is tried
again, and one more connection that it ends is enough to leave it out for as long again."""

_DOUBLINGS_MAX = 16
"""Doublings of the pause: more of them only overflow."""


class Notice(Enum):
    """What the log should say, once in an outage."""

    AWAY = auto()
    """There is no connection; attempts go on."""
    REFUSED = auto()
    """The broker refuses us, and didn't before; attempts go on."""
    TAKEN_OVER = auto()
    """Another client uses our client id."""
    LEFT_OUT = auto()
    """The broker ends the connection whenever it gets a certain message, which is left out from now on."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the end of a connection."""

    pause_s: float
    """Wait so long before the next attempt."""
    new_session: bool = False
    """Give the session up, and begin one with `Reconnect.protocol`."""
    give_up: bool = False
    """Don't try again: the broker refuses us, and has never let us in."""
    notice: Notice | None = None


class Reconnect:
    """Learns from how connections begin and end. All times are those of one monotonic clock, in s."""

    def __init__(self, *, retry_max_s: float, now: float, jitter: Callable[[], float] = random.random) -> None:
        """Begin with MQTT 5, and no connection since `now`.

        Args:
            retry_max_s: longest ordinary pause.
            now: the present time.
            jitter: 0..1 at random, so that devices that lost the same broker don't all come back at once.
        """
        self.protocol = MQTTProtocolVersion.MQTTv5
        """The protocol for the next session."""
        self._retry_max_s = retry_max_s
        self._jitter = jitter
        self._attempts = 0
        """Pauses since the last stable connection."""
        self._unanswered = 0
        """Connections without an answer since the last stable one. A broker may still come upon them, and then take
        our next connection for another client's."""
        self._closed = 0
        self._careful = False
        self._suspect, self._suspected = "", 0
        """What was under way when the last connections ended, and how many of them."""
        self._left_out: dict[str, float] = {}
        """What the broker rejects by ending the connection, and until when it is left out."""
        self._established = False
        """The broker has accepted a connection of this session."""
        self._authorised = False
        """The broker has accepted a message of ours."""
        self._connected_at: float | None = None
        self._down_since = now
        self._noticed: set[Notice] = set()

    @property
    def answer_timeout_s(self) -> float:
        """How long the broker may take to answer the next CONNECT."""
        return ANSWER_S if self._established else min(ANSWER_S, FIRST_ANSWER_S * (1 + self._unanswered))

    @property
    def authorised(self) -> bool:
        """Whether the broker has let us publish before, so that a refusal may be a passing one."""
        return self._authorised

    def is_careful(self, now: float) -> bool:
        """Whether only one thing at a time should be sent, to find out which one the broker rejects."""
        return self._careful and (self._connected_at is None or now - self._connected_at <= STABLE_S)

    def leaves_out(self, name: str, now: float) -> bool:
        """Whether something, as `UnderWay` names it, is not to be sent, because the broker would end the connection."""
        return now < self._left_out.get(name, now)

    def connected(self, now: float) -> float | None:
        """The broker has accepted a connection.

        Returns:
            How long there was none, in s; None where the log doesn't know of an outage.
        """
        down_s = now - self._down_since if self._noticed else None
        self._connected_at, self._established = now, True
        self._noticed.clear()
        return down_s

    def authorise(self) -> None:
        """The broker has accepted a message of ours."""
        self._authorised = True

    def disconnected(self, reason: DisconnectReason, now: float) -> Decision:
        """A connection has ended, or couldn't be made."""
        self._count(reason, now)
        repeated = self._careful
        unsupported = reason.code == UNSUPPORTED_PROTOCOL
        # Some brokers close the connection of a protocol that they don't know, or never answer it.
        silent = not self._established and reason.cause in {Cause.UNANSWERED, Cause.CLOSED}
        new_session = unsupported or silent
        if new_session:
            self._established = False
            if self.protocol is MQTTProtocolVersion.MQTTv5:
                self.protocol = MQTTProtocolVersion.MQTTv311
                return Decision(0.0, new_session=True)
            self.protocol = MQTTProtocolVersion.MQTTv5
        if self._rejected(reason.under_way, now):
            return Decision(self._next_pause_s(), new_session=True, notice=Notice.LEFT_OUT)
        # paho repeats what it has in flight all at once, so that nothing would ever be under way alone.
        new_session = new_session or (repeated and reason.under_way is not None and not reason.under_way.alone)
        if reason.code in REFUSALS and not (self._authorised and reason.under_way):
            if not self._authorised:
                return Decision(0.0, new_session, give_up=True, notice=Notice.REFUSED)
            return Decision(self._next_pause_s(), new_session, notice=self._once(Notice.REFUSED))
        # Our own connections that were never answered look like another client's when the broker finds them.
        taken_over = reason.code == SESSION_TAKEN_OVER and not self._unanswered
        if taken_over or self._closed >= CLOSED_MAX:
            self._closed = 0
            return Decision(TAKEN_OVER_PAUSE_S, new_session, notice=self._once(Notice.TAKEN_OVER))
        notice = None if self._noticed else self._once(Notice.AWAY)
        return Decision(self._next_pause_s(), new_session, notice=notice)

    def _rejected(self, under_way: UnderWay | None, now: float) -> bool:
        """Whether something has now ended so many connections that it is left out."""
        if under_way is None:
            self._suspect = ""
            return False
        self._careful = True
        if not under_way.alone:
            return False
        self._suspected = self._suspected + 1 if under_way.name == self._suspect else 1
        self._suspect = under_way.name
        if self._suspected < CLOSED_MAX and under_way.name not in self._left_out:
            return False
        self._suspect, self._left_out[under_way.name] = "", now + LEFT_OUT_S
        return True

    def _count(self, reason: DisconnectReason, now: float) -> None:
        if self._connected_at is not None:
            if now - self._connected_at > STABLE_S:
                self._attempts = self._unanswered = self._closed = 0
                self._careful = False
            if reason.cause is Cause.CLOSED and reason.under_way is None:
                self._closed += 1
            self._connected_at, self._down_since = None, now
        if reason.cause is Cause.UNREACHABLE:
            self._closed = 0
        if reason.cause is Cause.UNANSWERED:
            self._unanswered += 1

    def _next_pause_s(self) -> float:
        longest = min(self._retry_max_s, FIRST_PAUSE_S * 2.0 ** min(self._attempts, _DOUBLINGS_MAX))
        self._attempts += 1
        return longest * (0.5 + 0.5 * self._jitter())

    def _once(self, notice: Notice) -> Notice | None:
        """The notice, unless this outage has had it."""
        if notice in self._noticed:
            return None
        self._noticed.add(notice)
        return notice
