"""A connection that subscribes, and may publish. Speaks MQTT 3.1.1, which every broker understands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import PermissionRefusedError, UnavailableError
from edge.mqtt.client import V311, connect_and_wait, connect_error, loop_once, new_client, topic_of
from edge.mqtt.reasons import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.mqtt.address import BrokerAddress

ANSWER_S = 5.0
"""Time for a broker to accept a connection."""

KEEPALIVE_S = 15
"""Keepalive of the connection."""

TOPICS_MAX = 300
"""Topics in one SUBSCRIBE. Each may have a retained message, a broker may be busy with two SUBSCRIBEs at a time, and
mosquitto drops the messages beyond 1,000 that wait for a client (mosquitto.conf(5), max_queued_messages)."""

_MARKER = "emotion-edge/marker"
"""Topic without subscribers: unsubscribing from it does nothing but make the broker answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker."""

    topic: str
    payload: bytes
    retained: bool
    """Whether it was published before we subscribed."""


class Subscriber:
    """Receives until it is closed; a context manager that closes itself."""

    def __init__(self, address: BrokerAddress) -> None:
        """Connect.

        Raises:
            UnavailableError: no MQTT broker answers there.
            PermissionRefusedError: the broker refuses the user.
        """
        self._address = address
        self._received: list[Received] = []
        self._waiting: deque[list[tuple[str, int]]] = deque()
        """Topics of the next SUBSCRIBEs, each sent when the one before has been answered."""
        self._unanswered: set[int | None] = set()
        self._refused = False
        self._client = new_client(address, V311)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_unsubscribe
        connect(self._client, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()

    @property
    def answered(self) -> bool:
        """Whether the broker has answered every request, and all that it sent before has been received.

        mosquitto sends retained messages before it answers the request after their SUBSCRIBE. The standard doesn't
        demand that, and brokers that look them up in another thread may send them later.
        """
        return not self._unanswered and not self._waiting

    def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to any number of topics; `receive` returns what is retained there, and then what is published."""
        # QoS 0: with QoS 1, mosquitto queues no more than 1,000 retained messages for a subscriber.
        wanted = [(topic, 0) for topic in topics]
        self._waiting.extend(wanted[i : i + TOPICS_MAX] for i in range(0, len(wanted), TOPICS_MAX))
        self._ask()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a message that is not retained; `receive` sends what can't be sent at once."""
        self._client.publish(topic, payload, qos=1)

    def receive(self, timeout_s: float) -> list[Received]:
        """Wait for messages for at most `timeout_s` seconds, and return those that have arrived.

        Raises:
            UnavailableError: the connection has ended.
            PermissionRefusedError: the broker refuses a subscription.
        """
        connected = loop_once(self._client, timeout_s)
        if self._refused:
            line = f"{self._address} does not let {self._address.user} subscribe"
            raise PermissionRefusedError(f"{line}; check the access list of the broker")
        received, self._received = self._received, []
        if not connected and not received:
            raise UnavailableError(f"{self._address} has closed the connection: check the broker, and try again")
        return received

    def _ask(self) -> None:
        """Send the next SUBSCRIBE, and with the last one the marker, unless an answer is still due."""
        if self._waiting and not self._unanswered:
            self._unanswered.add(self._client.subscribe(self._waiting.popleft())[1])
            if not self._waiting:
                self._unanswered.add(self._client.unsubscribe(_MARKER)[1])

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if (topic := topic_of(message)) is not None:
            self._received.append(Received(topic, bytes(message.payload), message.retain))

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._refused = self._refused or any(reason.is_failure for reason in reasons)
        self._unanswered.discard(mid)
        self._ask()

    def _on_unsubscribe(
        self, _client: Client, _data: object, mid: int, _reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._unanswered.discard(mid)
        self._ask()


def connect(client: Client, address: BrokerAddress) -> None:
    """Connect a client from `new_client` and wait until the broker has accepted it.

    Raises:
        UnavailableError: no MQTT broker answers there.
        PermissionRefusedError: the broker refuses the user.
    """
    try:
        answer = connect_and_wait(client, address, KEEPALIVE_S, ANSWER_S)
    except OSError as error:
        raise UnavailableError(
            f"{address} does not answer ({connect_error(error)}): start the broker, or name another with --mqtt"
        ) from None
    if answer is None:
        raise UnavailableError(f"{address} accepts connections but does not speak MQTT: check mqtt.url")
    if answer.value in REFUSALS:
        hint = "check mqtt.username and mqtt.password_file"
        raise PermissionRefusedError(f"{address} refuses {address.user} ({answer}); {hint}")
    if answer.is_failure:
        raise UnavailableError(f"{address} accepts no connection now ({answer}): try again later")
