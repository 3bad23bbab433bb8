"""A broker that follows a script and records every packet of a publisher."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import BinaryIO

CONNECT, PUBLISH, PUBREL, SUBSCRIBE, PINGREQ = 1, 3, 6, 8, 12
"""Types of packets (MQTT 5, section 2.1.2)."""

ACCEPT_NEW = b"\x20\x03\x00\x00\x00"
ACCEPT_RESUMED = b"\x20\x03\x01\x00\x00"
ACCEPT_NO_WILDCARDS = b"\x20\x05\x00\x00\x02\x28\x00"
REFUSE_BUSY = b"\x20\x03\x00\x89\x00"
REFUSE_MQTT_5 = b"\x20\x02\x00\x01"
ACCEPT_311 = b"\x20\x02\x00\x00"
"""CONNACKs: flags, reason code, and with MQTT 5 the length of the properties."""


class ScriptedBroker:
    """A broker with a scripted answer to the CONNECT of each connection, and normal answers to other packets."""

    def __init__(self, *answers: bytes | None, suback: int = 0) -> None:
        """Listen on a free port of loopback.

        Args:
            answers: CONNACK for each connection; None: close it.
            suback: reason code for each topic of a SUBSCRIBE.
        """
        self._answers = list(answers)
        self._suback = suback
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self.packets: list[list[tuple[int, bytes]]] = []
        """Packets of each connection: type and body."""
        self.breaks: dict[int, int] = {}
        """Connection -> type of the packet of an event that is not answered and closes the connection."""
        self.rejected = b""
        """Part of a packet that is not answered and closes the connection, as some brokers do what isn't allowed."""
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def kinds(self, connection: int) -> list[int]:
        """Types of the packets of events, in order."""
        return [kind for kind, body in self.packets[connection] if kind == PUBREL or b"/event" in body]

    def _run(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            # A publisher that ends during a handshake resets the connection.
            with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as stream:
                self.packets.append([])
                while packet := self._read(stream):
                    self.packets[-1].append(packet)
                    reply = answer if packet[0] == CONNECT else self._reply(*packet)
                    breaking = self.breaks.get(len(self.packets) - 1)
                    rejected = self.rejected and packet[0] != CONNECT and self.rejected in packet[1]
                    if reply is None or breaking in self.kinds(-1) or rejected:
                        break
                    connection.sendall(reply)

    def _read(self, stream: BinaryIO) -> tuple[int, bytes] | None:
        head = stream.read(2)
        if len(head) < 2:
            return None
        length, shift = head[1] & 127, 7
        while head[-1] & 128:
            head += stream.read(1)
            length |= (head[-1] & 127) << shift
            shift += 7
        return head[0] >> 4, stream.read(length)

    def _reply(self, kind: int, body: bytes) -> bytes:
        if kind == PUBLISH:
            topic = 2 + int.from_bytes(body[:2], "big")
            mid = body[topic : topic + 2]
            return (b"\x50\x02" if b"/event" in body else b"\x40\x02") + mid
        if kind == PUBREL:
            return b"\x70\x02" + body[:2]
        if kind == SUBSCRIBE:
            # Packet identifier, no properties, and a reason code for each topic; each topic has two bytes of length
            # before it and one byte of options after it.
            codes, at = b"", 3
            while at < len(body):
                at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
                codes += bytes([self._suback])
            return bytes([0x90, 3 + len(codes)]) + body[:2] + b"\x00" + codes
        return b"\xd0\x00" if kind == PINGREQ else b""
