"""paho-mqtt as we use it: second callback interface, no thread of its own, no reconnecting by itself."""

from __future__ import annotations

import logging
import select
import ssl
import time
from typing import TYPE_CHECKING, Final

from paho.mqtt.client import Client, WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from edge.mqtt.address import BrokerAddress

log = logging.getLogger(__name__)

V5: Final = MQTTProtocolVersion.MQTTv5
V311: Final = MQTTProtocolVersion.MQTTv311

CONNECT_TIMEOUT_S = 5.0
"""Time for the TCP connection to one address of the host."""

PACKET_MAX = 16_384
"""Largest packet that a broker with MQTT 5 may send us, in bytes; we expect nothing but commands."""

_MID_BYTES = 2
_FAILURE = 0x80
"""Least reason code of a failure (MQTT 5, section 2.4)."""

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class _Client(Client):
    """paho passes over the reason code of PUBREC, and goes on with a delivery that the broker has refused."""

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = bytes(self._in_packet["packet"])
        code = packet[2] if self._protocol == V5 and len(packet) > _MID_BYTES else 0
        if code < _FAILURE:
            return super()._handle_pubrec()
        # MQTT 5, section 4.3.3: the delivery has ended.
        mid = int.from_bytes(packet[:_MID_BYTES], "big")
        with self._out_message_mutex:
            if mid not in self._out_messages:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            reason = ReasonCode(PacketTypes.PUBREC, identifier=code)
            return self._do_on_publish(mid, reason, Properties(PacketTypes.PUBREC))  # type: ignore[no-untyped-call]


def new_client(
    address: BrokerAddress, protocol: MQTTProtocolVersion, *, client_id: str = "", clean: bool = True
) -> Client:
    """A client that has the credentials and is not connected yet.

    Args:
        address: the broker, for its credentials and certificates.
        protocol: V5 or V311.
        client_id: empty: the broker chooses one.
        clean: whether the session ends with the connection; for V311 only.
    """
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=clean if protocol is V311 else None,
        protocol=protocol,
        transport=address.transport,
        reconnect_on_failure=False,  # otherwise paho goes on to MQTT 3.1 by itself
    )
    if address.transport == "websockets":
        client.ws_set_options(address.path)
    if address.tls is not None:
        client.tls_set_context(address.tls)
    client.connect_timeout = CONNECT_TIMEOUT_S
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    return client


def connect_properties(session_expiry_s: int) -> Properties:
    """Properties of CONNECT: the session outlives its connection by `session_expiry_s` seconds."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_expiry_s
    properties.MaximumPacketSize = PACKET_MAX
    return properties


def packet_size(path: str, payload: bytes) -> int:
    """The most bytes that PUBLISH takes (MQTT 5, section 3.3), with our properties."""
    head, topic_length, packet_identifier, properties = 5, 2, 2, 1 + 5
    return head + topic_length + len(path.encode()) + packet_identifier + properties + len(payload)


def publish_properties(expiry_s: int) -> Properties:
    """Properties of PUBLISH: the broker drops the message if it can't deliver it within `expiry_s` seconds."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = expiry_s
    return properties


def disconnect_properties() -> Properties:
    """Properties of DISCONNECT: the session ends with the connection."""
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    return properties


def connect_and_wait(
    client: Client, address: BrokerAddress, keepalive_s: int, answer_timeout_s: float
) -> ReasonCode | None:
    """Connect, and wait for the answer; the client stays connected if the broker has accepted it.

    Args:
        client: from `new_client`, not connected; its `on_connect` is replaced.
        address: the broker.
        keepalive_s: longest silence, as MQTT defines it.
        answer_timeout_s: how long the broker may take to answer.

    Returns:
        The reason code in the answer; None: there was no answer.

    Raises:
        OSError: the connection can't be made.
    """
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    client.connect(address.host, address.port, keepalive_s)
    deadline = time.monotonic() + answer_timeout_s
    while not answers and time.monotonic() < deadline and loop_once(client, 0.1):
        pass
    return answers[0] if answers else None


def loop_once(client: Client, timeout_s: float, wake: int | None = None) -> bool:
    """Wait for the network for at most `timeout_s` seconds, or until `wake` is readable; then read and write.

    paho's own thread would do this too, but reconnects by rules of its own.

    Returns:
        Whether the connection stands.
    """
    sock = client.socket()
    if sock is None:
        return False
    # What TLS has decrypted already doesn't make the socket readable.
    pending = getattr(sock, "pending", int)() > 0
    poller = select.poll()
    poller.register(sock.fileno(), _READABLE | (select.POLLOUT if client.want_write() else 0))
    if wake is not None:
        poller.register(wake, select.POLLIN)
    ready = dict(poller.poll(0 if pending else timeout_s * 1000)).get(sock.fileno(), 0)
    try:
        if pending or ready & _READABLE:
            client.loop_read()
        if ready & select.POLLOUT:
            client.loop_write()
        client.loop_misc()
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # What paho raises when a packet is malformed.
        log.debug("the broker sent something that is not MQTT", exc_info=error)
        return False
    return client.socket() is not None


def topic_of(message: MQTTMessage) -> str | None:
    """The topic of a message that has arrived; None: it isn't UTF-8, so it isn't one of ours."""
    try:
        return message.topic
    except UnicodeDecodeError:
        return None


def connect_error(error: OSError) -> str:
    """Why a connection couldn't be made and, if that is known, what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; see mqtt.ca_file"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS failed: {reason}; check the port in mqtt.url, and mqtt.cert_file if the broker asks for one"
    if isinstance(error, WebsocketConnectionError):
        return f"no websocket: {error}; check port and path in mqtt.url"
    return error.strerror or str(error)
