"""Publishes what the daemon says, and keeps doing so through everything that happens to a broker.

One thread of its own owns the connection. The daemon only fills an outbox, so it never waits for the broker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from edge.errors import EdgeError, PermissionRefusedError
from edge.messages.payloads import OFFLINE, ONLINE, Payload, encode
from edge.messages.topics import (
    AVAILABILITY,
    COMMAND,
    DISCOVERY,
    EVENT,
    HEALTH,
    HOME_ASSISTANT_STATUS,
    INFO,
    REPLY,
    SHADOW_STATE,
    STATE,
    Namespace,
    Topic,
)
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.client import REFUSALS, SESSION_TAKEN_OVER, UNSUPPORTED_PROTOCOL, V5, V311, End, why_not
from edge.mqtt.outbox import REPUBLISHED, Message, Outbox
from edge.mqtt.session import Link

if TYPE_CHECKING:
    from paho.mqtt.enums import MQTTProtocolVersion

    from edge.mqtt.inbox import Inbox
    from edge.settings import MqttSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
"""Between the first two attempts to connect; each further pause is twice as long."""

FIRST_ANSWER_S = 2.0
ANSWER_S = 10.0
"""How long a broker may take to answer. Short at first: some that know only 3.1.1 never answer MQTT 5."""

STEADY_S = 5.0
"""A connection that held for so long was a good one: pauses start from the shortest again."""

TAKEN_OVER_PAUSE_S = 120.0
"""After another client came with our id. Coming back at once would start a fight that neither can win."""

CLOSED_MAX = 3
"""So many connections in a row, closed without a reason by a broker that takes the next one at once, mean the
same: with MQTT 3.1.1, and of mosquitto 2.0.11, that is all one gets to see."""

_TURN_S = 0.5
"""The longest wait for the network; keepalive and a stop are looked at in between."""

TURN_LIMIT_S = 10.0
"""A turn waits for `_TURN_S` at most and then works without waiting. One that takes twenty times as long hangs,
however busy the machine is."""

CONNECT_LIMIT_S = 300.0
"""An attempt to connect waits for others, without a word in between. The name takes longest: glibc asks up to 3
servers twice, for 5 s each, and that for the name itself and with each of up to 6 search domains (resolv.conf(5)):
210 s. Then come CONNECT_TIMEOUT_S for each address, and ANSWER_S with MQTT 3.1.1."""


class Publisher:
    """The MQTT side of the daemon. Every method but `stop` returns at once, whatever the broker does."""

    def __init__(self, settings: MqttSettings, device: str, inbox: Inbox | None = None) -> None:
        """Check the settings; nothing is sent before `start`.

        Args:
            settings: the section [mqtt].
            device: second level of every topic, and part of the client id.
            inbox: takes the commands that arrive; None: nobody listens to any.

        Raises:
            ConfigError: URL, password file, device or base are not usable.
        """
        self._settings = settings
        self._device = check_device(device)
        if settings.discovery:
            check_base(settings.discovery, "mqtt.discovery")
        self._names = Namespace(check_base(settings.base), device, settings.discovery)
        self._address = BrokerAddress.of(settings)
        self._inbox = inbox
        self._outbox = Outbox(size=settings.queue, life_s=settings.expiry_s)
        self._link = self._new_link(V5)
        self._problem: EdgeError | None = None
        self._stopping = threading.Event()
        self._deliver_until = self._stop_at = 0.0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._thread: Final = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._good = False
        """The broker has let us connect and publish before."""
        self._attempts = 0
        self._unanswered = 0
        """Connections without an answer since the last good one; a broker may still find their ghosts."""
        self._closed = 0
        self._down_since = time.monotonic()
        self._turns_by = float("inf")
        """When the thread has turned again at the latest, if it is well; s, monotonic."""
        self._told: set[str] = set()
        """What the log knows about this outage, so that it hears it once."""

    @property
    def connected(self) -> bool:
        """Whether the broker takes messages right now."""
        return self._link.up

    @property
    def queued(self) -> int:
        """Events that the broker has not acknowledged yet."""
        return len(self._outbox) + self._link.events_under_way

    @property
    def lost(self) -> int:
        """Events given up: too old, too many, or cut off so that nobody knows whether they arrived."""
        return self._outbox.lost

    @property
    def problem(self) -> EdgeError | None:
        """Why it is no use to go on; None while there is hope."""
        return self._problem

    @property
    def alive(self) -> bool:
        """Whether the thread turns, or waits for something that may take its time; False: it hangs."""
        return time.monotonic() < self._turns_by

    def serves(self, settings: MqttSettings, device: str) -> bool:
        """Whether other settings lead to the very session that this publisher has.

        Raises:
            ConfigError: they are not usable.
        """
        ours = self._settings
        # These two are the daemon's: the session knows nothing of them.
        same = dataclasses.replace(
            settings, state_interval_s=ours.state_interval_s, health_interval_s=ours.health_interval_s
        )
        address = BrokerAddress.of(settings)  # read again: the password may be another in the same file
        return (same, device, address) == (ours, self._device, self._address)

    def start(self) -> None:
        """Start to connect, in the background."""
        self._turns_within(TURN_LIMIT_S)
        self._thread.start()

    def event(self, payload: Payload, at: float) -> None:
        """Publish an event that happened `at` (s, monotonic); it waits while the broker is away."""
        self._outbox.add_event(Message(EVENT, encode(payload), at))
        self._wake()

    def state(self, payload: Payload) -> None:
        """Publish the state; only the newest one waits."""
        self._replace(STATE, payload)

    def info(self, payload: Payload) -> None:
        """Publish what runs here; it is repeated on every connection."""
        self._replace(INFO, payload)

    def discovery(self, payload: Payload | None) -> None:
        """Announce the device to Home Assistant, on every connection and whenever that starts; None: take it back."""
        if self._settings.discovery:
            self._replace(DISCOVERY, payload)

    def reply(self, name: str, payload: Payload) -> None:
        """Answer the command of this name."""
        self._outbox.add_reply(Message(REPLY, encode(payload), time.monotonic(), name))
        self._wake()

    def health(self, payload: Payload) -> None:
        """Publish the health if the broker is there; old health is of no use."""
        if self._link.up:
            self._replace(HEALTH, payload)

    def shadow_state(self, payload: Payload) -> None:
        """Publish what a shadow would show if the broker is there; like health it tells of this moment alone."""
        if self._link.up:
            self._replace(SHADOW_STATE, payload)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Deliver what waits, say `offline`, disconnect; give up after `timeout_s`. Call it once.

        When time runs out, the connection is cut, and the broker says `offline` in our name.
        """
        now = time.monotonic()
        self._deliver_until, self._stop_at = now + timeout_s / 2, now + timeout_s
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s + _TURN_S)
        if self.queued:
            log.warning("stopped before %d events were delivered", self.queued)

    def _replace(self, topic: Topic, payload: Payload | None) -> None:
        self._outbox.replace(Message(topic, b"" if payload is None else encode(payload), time.monotonic()))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the thread is bound to wake up
            self._wake_sender.send(b"\0")

    # Everything below runs in the thread.

    def _new_link(self, protocol: MQTTProtocolVersion) -> Link:
        return Link(
            self._address,
            client_id=f"emotion-edge-{self._device}",
            names=self._names,
            listen=self._topics(),
            hear=self._hear,
            protocol=protocol,
            keepalive_s=self._settings.keepalive_s,
            life_s=self._settings.expiry_s,
        )

    def _topics(self) -> dict[str, int]:
        """What we listen to, with the QoS."""
        topics = [] if self._inbox is None else [COMMAND]
        if self._names.discovery:
            topics.append(HOME_ASSISTANT_STATUS)
        return {self._names.path(topic): topic.qos for topic in topics}

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic == self._names.path(HOME_ASSISTANT_STATUS):
            if payload == ONLINE:  # Home Assistant has started, and knows nobody yet
                self._outbox.republish()
        elif self._inbox is not None and (found := self._names.parse(topic)) and found.topic is COMMAND:
            self._inbox.put(found.command, payload, retained=retained)

    def _run(self) -> None:
        try:
            self._keep_connected()
        except Exception as error:
            # A silent death of this thread would look like a broker that is away.
            log.debug("the MQTT thread failed", exc_info=error)
            self._problem = EdgeError(f"talking to the broker {self._address} failed unexpectedly: {error!r}")

    def _keep_connected(self) -> None:
        while not self._stopping.is_set() and self._problem is None:
            answer_s = ANSWER_S if self._link.begun else min(ANSWER_S, FIRST_ANSWER_S * (1 + self._unanswered))
            try:
                self._turns_within(CONNECT_LIMIT_S)
                self._link.connect(answer_s)
                self._turns_within(TURN_LIMIT_S)
                end = self._serve(answer_s)
                other = not self._link.begun and end.code is None
            except OSError as error:
                end, other = End(why_not(error)), False
                self._closed = 0
            if not self._stopping.is_set():
                pause = self._recover(end, other_protocol=other)
                self._turns_within(pause + TURN_LIMIT_S)
                self._stopping.wait(pause)

    def _serve(self, answer_s: float) -> End:
        """Work on one connection until it ends."""
        link = self._link
        deadline = time.monotonic() + answer_s
        while link.end is None and not link.up and not self._stopping.is_set():
            self._turn(0.1)
            if not link.up and time.monotonic() > deadline:
                self._unanswered += 1
                link.drop("no answer")
        if link.up:
            up_at = time.monotonic()
            self._greet(link)
            while link.end is None and not self._done(link):
                self._feed(link)
                self._turn(_TURN_S)
                self._check_refusal(link)
            if link.end is None:
                self._say_goodbye(link)
            self._down_since = time.monotonic()
            if self._down_since - up_at > STEADY_S:
                self._attempts = self._unanswered = self._closed = 0
            if link.end is not None and link.end.code is None:
                self._closed += 1
        return link.end or End("stopped")

    def _turn(self, timeout_s: float) -> None:
        self._link.turn(timeout_s, self._wake_receiver.fileno())
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(4096)
        self._turns_within(TURN_LIMIT_S)

    def _turns_within(self, limit_s: float) -> None:
        self._turns_by = time.monotonic() + limit_s

    def _greet(self, link: Link) -> None:
        """Start every connection with `online`, and with all that a broker may have forgotten."""
        self._collect(link)
        version = "MQTT 5" if link.protocol is V5 else "MQTT 3.1.1"
        if self._told:
            away_s, waiting = time.monotonic() - self._down_since, len(self._outbox)
            log.info("connected to %s after %.0f s (%s), %d events waited", self._address, away_s, version, waiting)
        else:
            log.info("connected to %s (%s)", self._address, version)
        self._told.clear()
        self._outbox.republish()
        link.publish(Message(AVAILABILITY, ONLINE, time.monotonic()))

    def _feed(self, link: Link) -> None:
        """Hand over what waits, as far as there is room: info and state first, one at a time."""
        for topic in (*REPUBLISHED, SHADOW_STATE):
            if link.room and not link.under_way(topic) and (message := self._outbox.take(topic)):
                link.publish(message)
        while link.room and (message := self._outbox.next_reply()):
            link.publish(message)
        if message := self._outbox.take(HEALTH):
            link.publish(message)
        while link.room and (message := self._outbox.next_event(time.monotonic())):
            link.publish(message)

    def _collect(self, link: Link) -> None:
        """Take back from a session what it could not deliver."""
        self._outbox.put_back(link.returned)
        self._outbox.count_lost(link.uncertain)
        link.returned, link.uncertain = [], 0

    def _check_refusal(self, link: Link) -> None:
        """A broker may let us connect and yet not publish, or not listen."""
        if link.deaf:
            self._tell("deaf", f"{self._address} does not let {self._address.user} hear commands ({link.deaf})")
        if link.refusal is None:
            self._good = self._good or not link.under_way(AVAILABILITY)
            return
        topic, reason = link.refusal
        link.refusal = None
        line = f"{self._address} does not let {self._address.user} publish {self._names.path(topic)} ({reason})"
        if topic is AVAILABILITY and not self._good:
            self._problem = PermissionRefusedError(f"{line}; check the access list of the broker")
        else:
            self._tell(topic.name, line)

    def _done(self, link: Link) -> bool:
        """Whether to leave: all is delivered, half of the time for it is over, or there is no point."""
        delivered = self._outbox.empty and not link.busy
        late = time.monotonic() > self._deliver_until
        return self._problem is not None or (self._stopping.is_set() and (delivered or late))

    def _say_goodbye(self, link: Link) -> None:
        """`offline` must have arrived before the connection ends, or the broker has to say it."""
        link.publish(Message(AVAILABILITY, OFFLINE, time.monotonic()))
        while link.end is None and link.under_way(AVAILABILITY) and time.monotonic() < self._stop_at:
            self._turn(0.1)
        if link.under_way(AVAILABILITY):
            link.drop("the broker did not acknowledge the goodbye")
        else:
            link.close()

    def _recover(self, end: End, *, other_protocol: bool) -> float:
        """Learn from how a connection ended.

        Returns:
            The pause before the next, in s.
        """
        first_of_two = self._link.protocol is V5
        if end.code == UNSUPPORTED_PROTOCOL or other_protocol:
            self._link.abandon()
            self._collect(self._link)
            self._link = self._new_link(V311 if first_of_two else V5)
            if first_of_two:
                return 0.0
        if end.code in REFUSALS:
            line = f"{self._address} refuses {self._address.user} ({end.text})"
            if not self._good:
                hint = "check mqtt.username and mqtt.password_file, and what the broker allows"
                self._problem = PermissionRefusedError(f"{line}; {hint}")
                return 0.0
            self._tell("refused", f"{line}; trying again now and then")
        elif self._closed >= CLOSED_MAX or (end.code == SESSION_TAKEN_OVER and not self._unanswered):
            self._closed = 0
            self._tell(
                "taken over",
                f"another client connects to {self._address} as emotion-edge-{self._device}: each device"
                f" needs a device.name of its own; trying again in {TAKEN_OVER_PAUSE_S:.0f} s",
            )
            return TAKEN_OVER_PAUSE_S
        elif not self._told:
            pauses = f"trying again, with pauses of up to {self._settings.retry_max_s:g} s"
            self._tell("away", f"no connection to the broker {self._address} ({end.text}); {pauses}")
        return self._pause()

    def _pause(self) -> float:
        """The next pause in s: growing, and never the same for two devices that lost the same broker."""
        longest = min(self._settings.retry_max_s, FIRST_PAUSE_S * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def _tell(self, what: str, line: str) -> None:
        """Log a line once per outage."""
        if what not in self._told:
            log.warning("%s", line)
        self._told.add(what)
