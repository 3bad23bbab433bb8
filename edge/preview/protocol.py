"""As much of HTTP/1.1 as the page needs (RFC 9112): one request a connection, small ones only."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_MAX = 16_384
"""Bytes of a request before its body. Browsers send about one thousand."""
BODY_MAX = 1024
"""Bytes of a body. The page sends twenty."""

PLAIN = "text/plain; charset=utf-8"

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_ONCE = frozenset({"host", "origin", "content-length", "cookie", "sec-fetch-site"})
"""Two of these in one request would leave open which one counts."""
_LENGTH = re.compile(r"\d{1,9}", re.ASCII)

_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every response. None of them lets another origin read it."""


class RefusedRequestError(Exception):
    """A request that gets a line instead of what it asks for."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    method: str
    path: str
    query: str
    """What stands behind the `?`."""
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes = b""


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request of a connection.

    Args:
        reader: has the limit `HEAD_MAX`.

    Raises:
        RefusedRequestError: it is none, or too large.
        OSError: the other side left without a word.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long") from None
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "the request ends too soon") from None
        raise ConnectionResetError from None
    line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    headers = _headers(lines)
    path, _, query = match[2].partition("?")
    return Request(match[1], path, query, headers, await _body(reader, headers))


def response(
    status: HTTPStatus, body: bytes = b"", kind: str = PLAIN, *, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole response.

    Args:
        status: of it.
        body: of it.
        kind: the media type of the body.
        headers: more of them.
    """
    return head(status, {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}) + body


def head(status: HTTPStatus, headers: Mapping[str, str]) -> bytes:
    """What stands before the body of a response."""
    lines = (f"{name}: {value}\r\n" for name, value in {**_HEADERS, **headers}.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{''.join(lines)}\r\n".encode("latin-1")


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None or (match[1].lower() in headers and match[1].lower() in _ONCE):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "the request has a header that cannot be understood")
        headers[match[1].lower()] = match[2]
    return headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not _LENGTH.fullmatch(length):
        raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED, "the request does not say how long it is")
    if int(length) > BODY_MAX:
        raise RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too long")
    try:
        return await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "the request ends too soon") from None
