"""One MQTT session over as many connections as it takes, on paho-mqtt, driven by the caller's thread.

Every event arrives at most once. QoS 1 can't promise that: a broker that was frozen reads what is left in the old
connection's buffer, and then the same message again on the new connection. So events use QoS 2, and the session (packet
identifiers and the state of each delivery) outlives a connection. It must not outlive the program, because the next run
counts packet identifiers from 1 again: the first connection of a run starts a clean session.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from edge.messages.payloads import OFFLINE
from edge.messages.topics import AVAILABILITY
from edge.mqtt.client import (
    V5,
    V311,
    connect_and_wait,
    connect_properties,
    disconnect_properties,
    loop_once,
    new_client,
    packet_size,
    publish_properties,
    topic_of,
)
from edge.mqtt.in_flight import InFlight
from edge.mqtt.reasons import (
    KEEP_ALIVE_TIMEOUT,
    PACKET_IDENTIFIER_NOT_FOUND,
    REJECTIONS,
    WILL_QOS_REFUSED,
    WILL_RETAIN_REFUSED,
    Cause,
    DisconnectReason,
    UnderWay,
)
from edge.mqtt.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.enums import MQTTProtocolVersion
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.messages.topics import Namespace, Topic
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.outbox import Message
    from edge.mqtt.subscriptions import Subscription

IN_FLIGHT_MAX = 8
"""Messages in flight at a time. All others wait in the outbox, which is bounded and knows their age."""

UNANSWERED_S = 5.0
"""Time for which a message with QoS 0 may be the reason why the broker ends the connection."""

CLOSED = "the connection closed"
"""All that is known of a connection that ends without a word."""


class Session:
    """A session with a broker. Only one thread may use it."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        names: Namespace,
        subscriptions: Sequence[Topic],
        on_message: Callable[[str, bytes, bool], None],
        protocol: MQTTProtocolVersion,
        keepalive_s: int,
        expiry_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a session; nothing is sent yet.

        Args:
            address: the broker.
            client_id: the same for every run of a device: a new run then ends the connection of a dead one.
            names: the device's topics.
            subscriptions: topics to subscribe to.
            on_message: called with topic, payload, and whether the broker had retained the message.
            protocol: V5 or V311.
            keepalive_s: a connection that is silent for so long is tested, and given up after as long again.
            expiry_s: events expire at this age, and the broker may forget the session after as long without us.
            clock: monotonic, s.
        """
        self.protocol: Final = protocol
        self.connected = False
        """The broker has accepted the connection, and it still stands."""
        self.established = False
        """The broker has accepted a connection of this session at least once."""
        self.disconnect_reason: DisconnectReason | None = None
        """Why the connection ended; None while it stands or is being made."""
        self.publish_refused: list[tuple[Message, str]] = []
        """Messages that the broker doesn't let us publish, and why; whoever reads them clears the list."""
        self.packet_max: int | None = None
        """Largest packet that the broker takes, in bytes; None: it has named no limit."""
        self.careful = False
        """Whether only one thing at a time is sent: what is under way when the connection ends is the reason then."""
        self.subscriptions: Final = Subscriptions(subscriptions, names)
        self._address = address
        self._client_id = client_id
        self._names = names
        self._received = on_message
        self._keepalive_s = keepalive_s
        self._expiry_s = expiry_s
        self._clock = clock
        self._unanswered: tuple[Message, float] | None = None
        """The last message with QoS 0, which no broker answers, and when it was sent."""
        self._qos_max = 2
        self._retain = True
        self._in_flight_max = IN_FLIGHT_MAX
        self._will_qos = AVAILABILITY.qos
        self._client = self._new_client(clean=False)
        self.in_flight: Final = InFlight(self._client, expiry_s, clock)

    @property
    def send_quota(self) -> int:
        """How many more messages may be published now (MQTT 5, section 4.9)."""
        # Bytes that wait for the network mean that it is stuck: messages had better wait in the outbox.
        stuck = not self.connected or self._client.want_write()
        busy = self.careful and self.subscriptions.asked
        return 0 if stuck or busy else max(0, (1 if self.careful else self._in_flight_max) - len(self.in_flight))

    def connect(self, answer_timeout_s: float) -> None:
        """Ask the broker for a connection; `loop_once` then sets `connected` or `disconnect_reason`.

        Blocks for the name and the TCP connection; with MQTT 3.1.1, the first time also for an answer, for at most
        `answer_timeout_s` seconds.

        Raises:
            OSError: the connection can't be made.
        """
        self.connected, self.disconnect_reason = False, None
        self.publish_refused.clear()
        if self.protocol is V311 and not self.established and not self._clear(answer_timeout_s):
            return
        self.in_flight.prepare_resumption()
        self._set_will(self._client)
        options: dict[str, Any] = {}
        if self.protocol is V5:
            options = {"clean_start": not self.established, "properties": connect_properties(self._expiry_s)}
        self._client.connect_async(self._address.host, self._address.port, self._keepalive_s, **options)
        self._client.reconnect()

    def loop_once(self, timeout_s: float, wake: int) -> None:
        """Wait for the network for at most `timeout_s` seconds, or until `wake` is readable; then read and write."""
        if not loop_once(self._client, timeout_s, wake) and self.disconnect_reason is None:
            self.disconnect_reason = DisconnectReason(Cause.CLOSED, CLOSED, under_way=self._under_way())
        if self.disconnect_reason is not None:
            self.connected = False

    def publish(self, message: Message) -> None:
        """Publish a message. Call it only while `send_quota` is above 0."""
        topic = message.topic
        expires = topic.expires and self.protocol is V5
        properties = publish_properties(self.in_flight.remaining_s(message)) if expires else None
        qos = min(topic.qos, self._qos_max)
        path = self._names.path(topic, message.command)
        sent = self._client.publish(path, message.payload, qos, topic.retained and self._retain, properties)
        if qos:
            self.in_flight.add(sent.mid, message)
        else:
            self._unanswered = message, self._clock()

    def fits(self, message: Message) -> bool:
        """Whether the broker takes a message of that size."""
        return self.packet_max is None or self.packet_size(message) <= self.packet_max

    def packet_size(self, message: Message) -> int:
        """The most bytes that a message takes."""
        return packet_size(self._names.path(message.topic, message.command), message.payload)

    def subscribe(self, allowed: Callable[[Subscription], bool]) -> None:
        """Go on with the subscriptions; those that are not allowed are left out."""
        if self.connected and not (self.careful and len(self.in_flight)):
            self.subscriptions.ask(self._client, self.protocol, allowed, one=self.careful)

    def disconnect(self) -> None:
        """Disconnect cleanly: the broker drops the last will and the session."""
        self._client.disconnect(properties=disconnect_properties() if self.protocol is V5 else None)
        self.connected = False

    def drop(self, reason: DisconnectReason) -> None:
        """Cut the connection without DISCONNECT, as if the network had done it."""
        if self.disconnect_reason is None:
            self.disconnect_reason = reason
        self.connected = False
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    # paho.

    def _new_client(self, *, clean: bool) -> Client:
        client = new_client(self._address, self.protocol, client_id=self._client_id, clean=clean)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _set_will(self, client: Client) -> None:
        client.will_set(self._names.path(AVAILABILITY), OFFLINE, self._will_qos, self._retain)

    def _clear(self, answer_timeout_s: float) -> bool:
        """Throw away what an earlier run left at the broker; MQTT 3.1.1 takes a connection for that.

        Returns:
            Whether it worked; if not, `disconnect_reason` says why.
        """
        client = self._new_client(clean=True)
        self._set_will(client)  # amqtt takes parts of a session's will from its first connection
        client.on_disconnect = None
        answer = connect_and_wait(client, self._address, self._keepalive_s, answer_timeout_s)
        if answer is None:
            self.disconnect_reason = DisconnectReason(Cause.UNANSWERED, "no answer")
        elif answer.is_failure:
            self.disconnect_reason = DisconnectReason(Cause.REASON_CODE, str(answer), answer.value)
        client.disconnect()
        return self.disconnect_reason is None

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        """Runs inside `loop_once`, before paho repeats what is in flight."""
        if reason.is_failure:
            if reason.value in {WILL_QOS_REFUSED, WILL_RETAIN_REFUSED}:
                self._will_qos, self._retain = 0, reason.value != WILL_RETAIN_REFUSED and self._retain
            self.disconnect_reason = DisconnectReason(Cause.REASON_CODE, str(reason), reason.value)
            return
        self._qos_max = getattr(properties, "MaximumQoS", 2)
        self._retain = bool(getattr(properties, "RetainAvailable", 1))
        self.packet_max = getattr(properties, "MaximumPacketSize", None)
        self._in_flight_max = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        if flags.session_present:
            self.in_flight.resume()
        else:
            self.in_flight.abandon()
        self.connected = self.established = True
        self._unanswered = None
        self.subscriptions.begin(wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)))

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self.subscriptions.answered(mid, reasons)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if (topic := topic_of(message)) is not None:
            self._received(topic, bytes(message.payload), message.retain)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.disconnect_reason is not None:
            return
        if flags.is_disconnect_packet_from_server:
            under_way = self._under_way() if reason.value in REJECTIONS else None
            self.disconnect_reason = DisconnectReason(Cause.REASON_CODE, str(reason), reason.value, under_way)
        else:
            # Without a packet from the broker, paho knows no more than whether the keepalive ran out.
            silent = reason.value == KEEP_ALIVE_TIMEOUT
            text = str(reason).replace("Unspecified error", CLOSED)
            under_way = None if silent else self._under_way()
            self.disconnect_reason = DisconnectReason(Cause.CLOSED, text, under_way=under_way)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        message = self.in_flight.acknowledge(mid)
        # The broker may have finished the delivery of an event before the connection was resumed.
        finished = reason.value == PACKET_IDENTIFIER_NOT_FOUND
        if message is None or not reason.is_failure or finished:
            return
        self.publish_refused.append((message, str(reason)))

    def _under_way(self) -> UnderWay | None:
        """What the broker may have rejected by ending the connection: the first that it hasn't answered."""
        if not self.connected:
            return None
        asked, message = self.subscriptions.asked, self.in_flight.oldest
        count = len(self.in_flight) + len(asked)
        if self._unanswered is not None and self._clock() - self._unanswered[1] < UNANSWERED_S:
            count, message = count + 1, message or self._unanswered[0]
        if message is not None:
            path = self._names.path(message.topic, message.command)
            line = f"{path} with {self.packet_size(message):,} bytes was under way"
            return UnderWay(f"publish {message.topic.name}", line, count == 1, path)
        if not asked:
            return None
        return UnderWay(asked[0].name, f"a subscription to {asked[0].path} was under way", count == 1, asked[0].path)
