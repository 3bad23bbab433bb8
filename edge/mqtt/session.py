"""One MQTT session over as many connections as it takes, on paho-mqtt, driven by the caller's thread.

Every event arrives at most once. QoS 1 cannot promise that: a broker that was frozen reads what lies in the
old connection's buffer and then the repetition on the new one. So events use QoS 2, and the session (packet
identifiers and the state of each hand-over) outlives a connection. It must not outlive the program, because
the next run counts packet identifiers from 1 again: the first connection of a run starts a clean session.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.enums import MessageState, MQTTProtocolVersion

from edge.messages.payloads import OFFLINE
from edge.messages.topics import AVAILABILITY, EVENT
from edge.mqtt.client import (
    V5,
    V311,
    WILL_QOS_REFUSED,
    WILL_RETAIN_REFUSED,
    End,
    connect_properties,
    disconnect_properties,
    first_answer,
    new_client,
    publish_properties,
    topic_of,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.messages.topics import Namespace, Topic
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.outbox import Message


WINDOW = 8
"""Messages under way at a time; all others stay in the outbox, which is bounded and knows their age."""

EXACTLY_ONCE = 2
"""The QoS whose hand-over has a state that is worth resuming."""


class Link:
    """A session with a broker. Only one thread may use it."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        names: Namespace,
        listen: Mapping[str, int],
        hear: Callable[[str, bytes, bool], None],
        protocol: MQTTProtocolVersion,
        keepalive_s: int,
        life_s: int,
    ) -> None:
        """Prepare a session; nothing is sent yet.

        Args:
            address: the broker.
            client_id: the same for every run of a device: a new run then ends the connection of a dead one.
            names: of the device's topics.
            listen: topics that are subscribed to, with their QoS.
            hear: is given topic and payload of what comes, and whether the broker had kept it.
            protocol: V5 or V311.
            keepalive_s: a connection that is silent for so long is tested, and given up after as long again.
            life_s: events expire at this age, and the broker may forget the session after as long without us.
        """
        self.protocol: Final = protocol
        self.up = False
        """The broker accepted the connection and it still stands."""
        self.begun = False
        """The broker accepted a connection of this session at least once."""
        self.end: End | None = None
        """Why the connection ended; None while it stands or is being made."""
        self.refusal: tuple[Topic, str] | None = None
        """A topic that the broker does not let us publish on, and its reason."""
        self.returned: list[Message] = []
        """Events that the broker did not take before it forgot the session: they are to be queued again."""
        self.deaf = ""
        """Why the broker does not let us listen; empty: it does."""
        self.uncertain = 0
        """Events given up because they may or may not have arrived."""
        self._address = address
        self._client_id = client_id
        self._names = names
        self._listen = dict(listen)
        self._hear = hear
        self._keepalive_s = keepalive_s
        self._life_s = life_s
        self._under_way: dict[int, Message] = {}
        self._qos_max = 2
        self._retain = True
        self._window = WINDOW
        self._will_qos = 1
        self._client = self._new_client(clean=False)

    @property
    def room(self) -> int:
        """How many messages may still be handed over."""
        # Bytes that wait for the network mean that it is stuck: what waits shall do so in the outbox.
        stuck = not self.up or self._client.want_write()
        return 0 if stuck else max(0, self._window - len(self._under_way))

    @property
    def events_under_way(self) -> int:
        """Events handed over but not yet acknowledged."""
        # list() copies in one step: the daemon's thread asks while this session's thread works.
        return sum(message.topic is EVENT for message in list(self._under_way.values()))

    @property
    def busy(self) -> bool:
        """Whether anything is not acknowledged yet."""
        return bool(self._under_way)

    def under_way(self, topic: Topic) -> bool:
        """Whether a message of this topic is not acknowledged yet."""
        return any(message.topic is topic for message in self._under_way.values())

    def connect(self, answer_s: float) -> None:
        """Ask the broker for a connection; `turn` then brings `up` or `end`.

        Blocks for the name and the TCP connection; with MQTT 3.1.1, the first time also for an answer, at most
        for `answer_s` seconds.

        Raises:
            OSError: nobody answers there.
        """
        self.up, self.end, self.refusal = False, None, None
        if self.protocol is V311 and not self.begun and not self._clear(answer_s):
            return
        self._prepare_resumption()
        self._set_will(self._client)
        options: dict[str, Any] = {}
        if self.protocol is V5:
            options = {"clean_start": not self.begun, "properties": connect_properties(self._life_s)}
        self._client.connect_async(self._address.host, self._address.port, self._keepalive_s, **options)
        self._client.reconnect()

    def turn(self, timeout_s: float, wake: int) -> None:
        """Wait for the network at most `timeout_s` seconds, or until `wake` is readable; then work."""
        if not turn(self._client, timeout_s, wake) and self.end is None:
            self.end = End("the connection closed")
        if self.end is not None:
            self.up = False

    def publish(self, message: Message) -> None:
        """Hand a message over. Call it while there is room."""
        topic = message.topic
        properties = None
        if topic.expires and self.protocol is V5:
            properties = publish_properties(self._remaining_s(message))
        qos = min(topic.qos, self._qos_max)
        path = self._names.path(topic, message.command)
        sent = self._client.publish(path, message.payload, qos, topic.retained and self._retain, properties)
        if qos:
            self._under_way[sent.mid] = message

    def close(self) -> None:
        """Say goodbye: the broker drops the last will and the session."""
        self._client.disconnect(properties=disconnect_properties() if self.protocol is V5 else None)
        self.up = False

    def drop(self, reason: str) -> None:
        """Cut the connection without a goodbye, as if the network had done it."""
        if self.end is None:
            self.end = End(reason)
        self.up = False
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def abandon(self) -> None:
        """Give the session up: what was under way goes to `returned` and `uncertain`."""
        self._start_over()

    # How a session is resumed.

    def _prepare_resumption(self) -> None:
        """Leave to paho only the hand-overs that it must resume, each in a state from which it can."""
        for mid, pending in list(self._pending()):
            if pending.qos < EXACTLY_ONCE:
                # Repeating it could put an old state over a newer one, or bring an event twice.
                self._forget(mid)
            elif pending.state == MessageState.MQTT_MS_RESEND_PUBREL:
                # paho 2.x takes a second failed attempt in this state for "not sent yet" and publishes again.
                pending.state = MessageState.MQTT_MS_WAIT_FOR_PUBCOMP

    def _start_over(self) -> None:
        """The broker knows nothing of this session: sort what was under way by what may have become of it."""
        released = {MessageState.MQTT_MS_RESEND_PUBREL, MessageState.MQTT_MS_WAIT_FOR_PUBCOMP}
        for mid, pending in list(self._pending()):
            message = self._under_way.get(mid)
            resumable = pending.qos == EXACTLY_ONCE and pending.state not in released
            if message is not None and resumable:
                # A broker delivers once the publisher has released the message. It was not, so nobody has it.
                self.returned.append(self._under_way.pop(mid))
            self._forget(mid)

    def _renew_expiry(self) -> None:
        """Hand-overs that paho is about to repeat have less life left than when they began, or none."""
        for mid, pending in list(self._pending()):
            message = self._under_way.get(mid)
            if message is None or time.monotonic() - message.born_at >= self._life_s:
                self._forget(mid)
            elif pending.properties is not None:
                pending.properties.MessageExpiryInterval = self._remaining_s(message)

    def _pending(self) -> Iterator[tuple[int, MQTTMessage]]:
        """What paho has not seen acknowledged, oldest first. Its interface has no way to look at it."""
        yield from self._client._out_messages.items()  # noqa: SLF001

    def _forget(self, mid: int) -> None:
        self._client._out_messages.pop(mid, None)  # noqa: SLF001 - see _pending
        message = self._under_way.pop(mid, None)
        if message is not None and message.topic is EVENT:
            self.uncertain += 1

    def _remaining_s(self, message: Message) -> int:
        return max(1, round(self._life_s - (time.monotonic() - message.born_at)))

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

    def _clear(self, answer_s: float) -> bool:
        """Throw away what an earlier run left at the broker; MQTT 3.1.1 takes a connection for that.

        Returns:
            Whether it worked; if not, `end` says why.
        """
        client = self._new_client(clean=True)
        self._set_will(client)  # amqtt takes some of a session's will from its first connection
        client.on_disconnect = None
        answer = first_answer(client, self._address, self._keepalive_s, answer_s)
        if answer is None:
            self.end = End("no answer")
        elif answer.is_failure:
            self.end = End(str(answer), answer.value)
        client.disconnect()
        return self.end is None

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        """Runs inside `turn`, before paho repeats what is under way."""
        if reason.is_failure:
            if reason.value in {WILL_QOS_REFUSED, WILL_RETAIN_REFUSED}:
                self._will_qos, self._retain = 0, reason.value != WILL_RETAIN_REFUSED and self._retain
            self.end = End(str(reason), reason.value)
            return
        self._qos_max = getattr(properties, "MaximumQoS", 2)
        self._retain = bool(getattr(properties, "RetainAvailable", 1))
        self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        if flags.session_present:
            self._renew_expiry()
        else:
            self._start_over()
        self.up = self.begun = True
        if self._listen:
            self._client.subscribe(list(self._listen.items()))

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self.deaf = next((str(reason) for reason in reasons if reason.is_failure), "")

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if (topic := topic_of(message)) is not None:
            self._hear(topic, bytes(message.payload), message.retain)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.end is None:
            # Without a packet from the broker, paho knows no more than whether the keepalive ran out.
            text = str(reason).replace("Unspecified error", "the connection closed")
            self.end = End(text, reason.value if flags.is_disconnect_packet_from_server else None)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        message = self._under_way.pop(mid, None)
        if message is not None and message.topic is not EVENT and reason.is_failure:
            self.refusal = (message.topic, str(reason))
