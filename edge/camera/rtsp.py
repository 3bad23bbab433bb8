"""Finds out why a stream can't be opened, because FFmpeg doesn't say it: asks for its description (RFC 2326)."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from edge.camera.http_authentication import authorization, refused
from edge.camera.unreachable import unreachable
from edge.errors import NoInputError, UnavailableError

if TYPE_CHECKING:
    from edge.camera.address import CameraAddress

_ANSWER_MAX = 65536
"""Longest answer that is read, bytes."""
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
_REDIRECTS = range(300, 400)


def reach(address: CameraAddress, timeout_s: float) -> None:
    """Check that something answers at the port of a camera.

    Args:
        address: of the camera.
        timeout_s: s, the longest wait.

    Raises:
        UnavailableError: nothing answers.
    """
    try:
        socket.create_connection((address.host, address.port), timeout_s).close()
    except OSError as error:
        raise unreachable(address, error, timeout_s) from None


def check(address: CameraAddress, timeout_s: float) -> None:
    """Check that a camera answers, accepts our credentials and has video at an address.

    The password is sent only once: cameras lock an account after a few wrong attempts.

    Args:
        address: of the camera.
        timeout_s: s, the longest wait for each answer.

    Raises:
        ConfigError: the camera refuses user and password, or wants some.
        NoInputError: there is no stream at this address, or one without video.
        UnavailableError: nothing answers, or what answers is not an RTSP server.
    """
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as connection:
            status, reason, headers, body = _describe(connection, address, 1, "")
            if status == _UNAUTHORIZED and address.username:
                challenges = [value for name, value in headers if name == "www-authenticate"]
                credentials = authorization(challenges, "DESCRIBE", address.url, address.username, address.password)
                status, reason, headers, body = _describe(connection, address, 2, credentials)
    except OSError as error:
        raise unreachable(address, error, timeout_s) from None
    if status == _UNAUTHORIZED:
        raise refused(address)
    if status == _NOT_FOUND:
        raise NoInputError(f"camera {address} has no stream at the path in camera.source ({status} {reason})")
    if status != _OK and status not in _REDIRECTS:
        raise UnavailableError(f"camera {address} answers {status} {reason}: check the path in camera.source")
    if status == _OK and not re.search(rb"^m=video\b", body, re.MULTILINE):
        raise NoInputError(f"camera {address} has no video at the path in camera.source")


def _describe(
    connection: socket.socket, address: CameraAddress, number: int, credentials: str
) -> tuple[int, str, list[tuple[str, str]], bytes]:
    """Send a DESCRIBE request. Return status, reason, headers with lower-case names, and body."""
    lines = [
        f"DESCRIBE {address.url} RTSP/1.0",
        f"CSeq: {number}",
        "User-Agent: emotion-edge",
        "Accept: application/sdp",
    ]
    lines += [f"Authorization: {credentials}"] if credentials else []
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(connection, answer, address)
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode(errors="replace").split("\r\n")
    version, _, status_line = first.partition(" ")
    status, _, reason = status_line.partition(" ")
    if not version.startswith("RTSP/") or not status.isdecimal():
        raise _not_rtsp(address)
    split = (line.partition(":") for line in rest)
    headers = [(name.strip().lower(), value.strip()) for name, _, value in split]
    length = next((int(value) for name, value in headers if name == "content-length" and value.isdecimal()), 0)
    while len(body) < length:
        body += _more(connection, body, address)
    printable = "".join(character for character in reason if character.isprintable())
    return int(status), printable, headers, body


def _more(connection: socket.socket, so_far: bytes, address: CameraAddress) -> bytes:
    data = connection.recv(4096)
    if not data or len(so_far) > _ANSWER_MAX:
        raise _not_rtsp(address)
    return data


def _not_rtsp(address: CameraAddress) -> UnavailableError:
    return UnavailableError(f"camera {address} does not speak RTSP: check the port in camera.source")
