"""paho-mqtt as we use it: second callback interface, no thread of its own, nothing done behind our back."""

from __future__ import annotations

import logging
import select
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paho.mqtt.client import Client, WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.mqtt.address import BrokerAddress

log = logging.getLogger(__name__)

V5: Final = MQTTProtocolVersion.MQTTv5
V311: Final = MQTTProtocolVersion.MQTTv311

CONNECT_TIMEOUT_S = 5.0
"""For the TCP connection, per address of the host."""

PACKET_MAX = 16_384
"""Bytes of a packet that a broker with MQTT 5 may send us; all that we wait for are commands."""

UNSUPPORTED_PROTOCOL = 0x84
SESSION_TAKEN_OVER = 0x8E
WILL_RETAIN_REFUSED = 0x9A
WILL_QOS_REFUSED = 0x9B
"""Reason codes of MQTT 5, section 2.4; paho translates those of 3.1.1 to these."""

REFUSALS = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Client id, user or password, authorisation, ban, method: nothing that another attempt would change."""

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ended."""

    text: str
    code: int | None = None
    """Reason code, where the broker gave one."""


def new_client(
    address: BrokerAddress, protocol: MQTTProtocolVersion, *, client_id: str = "", clean: bool = True
) -> Client:
    """A client that has the credentials and is not connected yet.

    Args:
        address: the broker, for its credentials and certificates.
        protocol: V5 or V311.
        client_id: empty: any.
        clean: for V311, whether the session ends with the connection.
    """
    client = Client(
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
    """MQTT 5: the session outlives its connection by so many seconds."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_expiry_s
    properties.MaximumPacketSize = PACKET_MAX
    return properties


def publish_properties(expiry_s: int) -> Properties:
    """MQTT 5: a message that is of no use after so many seconds."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = expiry_s
    return properties


def disconnect_properties() -> Properties:
    """MQTT 5: the session ends here."""
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    return properties


def first_answer(client: Client, address: BrokerAddress, keepalive_s: int, answer_s: float) -> ReasonCode | None:
    """Connect and wait for what the broker says to that; the client stays connected if it agreed.

    Args:
        client: from `new_client`, not connected; its `on_connect` is taken.
        address: the broker.
        keepalive_s: see MQTT.
        answer_s: how long the broker may take.

    Returns:
        Its answer; None: it gave none.

    Raises:
        OSError: nobody answers there.
    """
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    client.connect(address.host, address.port, keepalive_s)
    deadline = time.monotonic() + answer_s
    while not answers and time.monotonic() < deadline and turn(client, 0.1):
        pass
    return answers[0] if answers else None


def turn(client: Client, timeout_s: float, wake: int | None = None) -> bool:
    """Wait for the network at most `timeout_s` seconds, or until `wake` is readable; then work.

    paho's own thread would do this too, but reconnects by rules of its own.

    Returns:
        Whether the connection stands.
    """
    sock = client.socket()
    if sock is None:
        return False
    # What TLS has decrypted already is no longer to be seen at the socket.
    pending = getattr(sock, "pending", int)() > 0
    poller = select.poll()
    poller.register(sock.fileno(), _READABLE | (select.POLLOUT if client.want_write() else 0))
    if wake is not None:
        poller.register(wake, select.POLLIN)
    happened = dict(poller.poll(0 if pending else timeout_s * 1000)).get(sock.fileno(), 0)
    try:
        if pending or happened & _READABLE:
            client.loop_read()
        if happened & select.POLLOUT:
            client.loop_write()
        client.loop_misc()
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # What Python raises inside paho when a packet is malformed.
        log.debug("what came from the broker is not MQTT", exc_info=error)
        return False
    return client.socket() is not None


def topic_of(message: MQTTMessage) -> str | None:
    """The topic of a message that has arrived; None: it is not text, so it is none of ours."""
    try:
        return message.topic
    except UnicodeDecodeError:
        return None


def why_not(error: OSError) -> str:
    """Why a connection could not be made, in words that say what to do where that is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; see mqtt.ca_file"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS failed: {reason}; check the port in mqtt.url, and mqtt.cert_file if the broker asks for one"
    if isinstance(error, WebsocketConnectionError):
        return f"no websocket: {error}; check port and path in mqtt.url"
    return error.strerror or str(error)
