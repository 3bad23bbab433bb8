"""The thread that owns the session: connects, delivers what waits in the outbox, receives, and connects again."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Final

from edge.errors import EdgeError, PermissionRefusedError
from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.topics import AVAILABILITY, COMMAND, HOME_ASSISTANT_STATUS, INFO
from edge.mqtt import notices
from edge.mqtt.client import V5, connect_error
from edge.mqtt.delivery import Delivery
from edge.mqtt.outbox import Message
from edge.mqtt.reasons import Cause, DisconnectReason
from edge.mqtt.reconnect import Notice, Reconnect
from edge.mqtt.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.messages.topics import Namespace
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.inbox import Inbox
    from edge.mqtt.outbox import Outbox
    from edge.mqtt.reconnect import Decision
    from edge.settings import MqttSettings

log = logging.getLogger(__name__)

LOOP_S = 0.5
"""Longest wait for the network. Keepalive and a request to stop are looked at in between."""

LOOP_LIMIT_S = 10.0
"""Longest iteration of a thread that is well. It waits for `LOOP_S` at most and then works without waiting; one that
takes twenty times as long hangs, however busy the machine is."""

CONNECT_LIMIT_S = 300.0
"""Longest attempt to connect of a thread that is well. Resolving the name takes longest: glibc asks up to 3 servers
twice, for 5 s each, for the name itself and with each of up to 6 search domains (resolv.conf(5)): 210 s. Then come
`client.CONNECT_TIMEOUT_S` for each address, and `reconnect.ANSWER_S` with MQTT 3.1.1."""


class Worker:
    """Keeps a session with the broker. `wake`, `stop` and the properties are for other threads."""

    def __init__(
        self,
        settings: MqttSettings,
        address: BrokerAddress,
        names: Namespace,
        *,
        outbox: Outbox,
        inbox: Inbox | None,
        clock: Callable[[], float],
    ) -> None:
        """Prepare a session; nothing is sent before `start`.

        Args:
            settings: the section [mqtt].
            address: the broker.
            names: the device's topics.
            outbox: messages to deliver.
            inbox: takes the commands that arrive; None: the device subscribes to none.
            clock: monotonic, s.
        """
        self._settings = settings
        self._address = address
        self._names = names
        self._outbox = outbox
        self._inbox = inbox
        self._clock = clock
        self._client_id = f"emotion-edge-{names.device}"
        self._own = {names.path(AVAILABILITY), names.path(INFO)}
        """Topics of ours that we watch."""
        self.reconnect: Final = Reconnect(retry_max_s=settings.retry_max_s, now=clock())
        self._delivery: Final = Delivery(address, names, outbox=outbox, reconnect=self.reconnect, clock=clock)
        self.session = self._new_session()
        self._serving = False
        self._problem: EdgeError | None = None
        self._stopping = threading.Event()
        self._deliver_until = self._stop_at = 0.0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._thread: Final = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._alive_until = float("inf")
        """When the thread has got on at the latest, if it is well; s, monotonic."""
        self.trouble = ""
        """Why the last connection ended or failed, in a few words; empty: none has."""

    @property
    def serving(self) -> bool:
        """Whether a connection delivers what is put into the outbox from now on."""
        return self._serving and self.session.connected

    @property
    def problem(self) -> EdgeError | None:
        """Reason why retrying is pointless; None while it is not."""
        return self._problem

    @property
    def rejected(self) -> str:
        """One line on what the broker does not take of us; empty: it takes everything."""
        return self._delivery.rejected

    @property
    def alive(self) -> bool:
        """Whether the thread gets on, or waits for something that may take its time; False: it hangs."""
        return self._clock() < self._alive_until

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._alive_for(LOOP_LIMIT_S)
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now."""
        with contextlib.suppress(BlockingIOError):  # full: the thread is bound to wake up
            self._wake_sender.send(b"\0")

    def stop(self, timeout_s: float) -> None:
        """Deliver what waits, publish `offline`, disconnect; give up after `timeout_s`. Call it once."""
        now = self._clock()
        self._deliver_until, self._stop_at = now + timeout_s / 2, now + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s + LOOP_S)

    # Everything below runs in the thread.

    def _new_session(self) -> Session:
        subscriptions = [AVAILABILITY, INFO] if self._inbox is None else [COMMAND, AVAILABILITY, INFO]
        if self._names.discovery:
            subscriptions.append(HOME_ASSISTANT_STATUS)
        return Session(
            self._address,
            client_id=self._client_id,
            names=self._names,
            subscriptions=subscriptions,
            on_message=self._receive,
            protocol=self.reconnect.protocol,
            keepalive_s=self._settings.keepalive_s,
            expiry_s=self._settings.expiry_s,
            clock=self._clock,
        )

    def _receive(self, path: str, payload: bytes, retained: bool) -> None:
        if path == self._names.path(HOME_ASSISTANT_STATUS):
            if payload == ONLINE:  # Home Assistant has started, and knows no device yet
                self._outbox.renew()
        elif path in self._own:
            # Somebody has removed it, or the last will of our own previous connection has come late.
            if not retained and payload != ONLINE and (not payload or path == self._names.path(AVAILABILITY)):
                self._delivery.renew()
        elif self._inbox is not None and (found := self._names.parse(path)) and found.topic is COMMAND:
            self._inbox.put(found.command, payload, retained=retained)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._problem is None:
                reason = self._connect_and_serve()
                if reason is not None and not self._stopping.is_set():
                    self._recover(reason, self.reconnect.disconnected(reason, self._clock()))
        except Exception as error:
            # A silent death of this thread would look like a broker that is away.
            log.debug("the MQTT thread failed", exc_info=error)
            self._problem = EdgeError(f"talking to the broker {self._address} failed unexpectedly: {error!r}")

    def _connect_and_serve(self) -> DisconnectReason | None:
        """One connection, from its beginning to its end; why it ended, None: we ended it."""
        session, timeout_s = self.session, self.reconnect.answer_timeout_s
        self._serving = False
        try:
            self._alive_for(CONNECT_LIMIT_S)
            session.connect(timeout_s)
            self._alive_for(LOOP_LIMIT_S)
            self._await_answer(session, timeout_s)
            if session.connected:
                self._serve(session)
        except OSError as error:
            return DisconnectReason(Cause.UNREACHABLE, connect_error(error))
        return session.disconnect_reason

    def _await_answer(self, session: Session, timeout_s: float) -> None:
        deadline = self._clock() + timeout_s
        while session.disconnect_reason is None and not session.connected and not self._stopping.is_set():
            self._loop_once(0.1)
            if not session.connected and self._clock() > deadline:
                session.drop(DisconnectReason(Cause.UNANSWERED, "no answer"))

    def _serve(self, session: Session) -> None:
        """Deliver and receive until the connection ends, or until we end it."""
        self._on_connected(session)
        while session.disconnect_reason is None and not self._done(session):
            self._delivery.step(session)
            self._loop_once(LOOP_S)
            try:
                self._delivery.check_refusals(session)
            except PermissionRefusedError as error:
                self._problem = error
        if session.disconnect_reason is None:
            self._disconnect(session)

    def _loop_once(self, timeout_s: float) -> None:
        self.session.loop_once(timeout_s, self._wake_receiver.fileno())
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(4096)
        self._alive_for(LOOP_LIMIT_S)

    def _alive_for(self, limit_s: float) -> None:
        self._alive_until = self._clock() + limit_s

    def _on_connected(self, session: Session) -> None:
        """Say that the connection stands, and publish `online`."""
        down_s = self.reconnect.connected(self._clock())
        self._delivery.begin(session)
        version = "MQTT 5" if session.protocol is V5 else "MQTT 3.1.1"
        if down_s is None:
            log.info("connected to %s (%s)", self._address, version)
        else:
            waiting = len(self._outbox)
            log.info("connected to %s after %.0f s (%s), %d events waited", self._address, down_s, version, waiting)
        self._serving = True  # not before: `begin` drops what is of no use after an interruption
        self._delivery.publish(session, Message(AVAILABILITY, ONLINE, self._clock()))

    def _done(self, session: Session) -> bool:
        """Whether to disconnect: all is delivered, half of the time for it is over, or waiting is pointless."""
        delivered = self._outbox.empty and not session.in_flight
        late = self._clock() > self._deliver_until
        return self._problem is not None or (self._stopping.is_set() and (delivered or late))

    def _disconnect(self, session: Session) -> None:
        """Publish `offline` and wait for its acknowledgement, or the broker has to publish the last will."""
        self._delivery.publish(session, Message(AVAILABILITY, OFFLINE, self._clock()))
        while session.disconnect_reason is None and AVAILABILITY in session.in_flight and self._clock() < self._stop_at:
            self._loop_once(0.1)
        if AVAILABILITY in session.in_flight:
            session.drop(DisconnectReason(Cause.CLOSED, "the broker did not acknowledge `offline`"))
        else:
            session.disconnect()

    def _recover(self, reason: DisconnectReason, decision: Decision) -> None:
        """Do what was decided: log it, change the session, and wait; or give up."""
        if decision.new_session:
            self.session.in_flight.abandon()
            self._delivery.requeue(self.session)
            self.session = self._new_session()
        if decision.give_up:
            hint = "check mqtt.username and mqtt.password_file, and what the broker allows"
            line = f"{self._address} refuses {self._address.user} ({reason.text})"
            self._problem = PermissionRefusedError(f"{line}; {hint}")
            return
        self.trouble = reason.text
        if decision.notice is Notice.LEFT_OUT and reason.under_way is not None:
            self._delivery.leave_out(reason.under_way.path)
        if decision.notice is not None:
            line = notices.line(
                decision.notice,
                reason,
                self._address,
                client_id=self._client_id,
                retry_max_s=self._settings.retry_max_s,
            )
            log.warning("%s", line)
            if decision.notice in {Notice.TAKEN_OVER, Notice.LEFT_OUT}:
                self.trouble = line
        self._alive_for(decision.pause_s + LOOP_LIMIT_S)
        self._stopping.wait(decision.pause_s)
