"""HTTP/1.1 for the page, parsed and written by h11. A connection carries one small request and its response."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from edge.preview.request import RefusedRequestError, Request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

HEAD_MAX = 16_384
"""Maximum size of a request without its body, bytes. Browsers send about one thousand."""
BODY_MAX = 1024
"""Maximum size of a body, bytes. The page sends fewer than two hundred."""
CHUNK = 1024
"""Bytes read at once. A request may exceed `HEAD_MAX` by less than this."""

PLAIN = "text/plain; charset=utf-8"

_VERSIONS = frozenset({b"1.0", b"1.1"})
_ONCE = frozenset({"origin", "cookie", "sec-fetch-site"})
"""Headers that a request may have only once, because duplicates are ambiguous. h11 checks Host and Content-Length."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response. None of them lets another origin read it."""


class Exchange:
    """One request and its response, all that a connection carries."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
        self._method = ""

    async def read_request(self) -> Request:
        """Read the request.

        Raises:
            RefusedRequestError: the request isn't HTTP/1, or is too large.
            OSError: the client has closed the connection.
        """
        try:
            return await self._read_request()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                raise RefusedRequestError(status, "the request is too large") from None
            # h11's own message would repeat the request.
            raise RefusedRequestError(status, "this is not an HTTP request, or it is incomplete") from None

    def respond(
        self,
        status: HTTPStatus,
        body: bytes = b"",
        kind: str = PLAIN,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a complete response.

        Args:
            status: status code.
            body: body; in response to HEAD, only its length is sent.
            kind: media type of the body.
            headers: further headers.
        """
        entity = {} if status == HTTPStatus.NO_CONTENT else {"Content-Type": kind, "Content-Length": str(len(body))}
        self.start_response(status, {**entity, **(headers or {})})
        if body and self._method != "HEAD":
            self.send_body(body)
        self._write(h11.EndOfMessage())

    def start_response(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        """Send the status and the headers of a response."""
        fields = {**_HEADERS, **headers}
        self._write(h11.Response(status_code=status, headers=[*fields.items()], reason=status.phrase))

    def send_body(self, data: bytes) -> None:
        """Send a part of the body."""
        self._write(h11.Data(data=data))

    async def _read_request(self) -> Request:
        head = await self._next()
        if isinstance(head, h11.ConnectionClosed):
            raise ConnectionResetError
        if not isinstance(head, h11.Request) or head.http_version not in _VERSIONS or head.target[:1] != b"/":
            raise RefusedRequestError(
                HTTPStatus.BAD_REQUEST, "this server understands HTTP/1.1 and paths that begin with /"
            )
        self._method = head.method.decode()
        headers = _headers(head)
        path, _, query = head.target.decode().partition("?")
        return Request(self._method, path, query, headers, await self._body(headers))

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED, "the request has no Content-Length")
        if int(headers.get("content-length", "0")) > BODY_MAX:
            raise RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
        body = b""
        while isinstance(part := await self._next(), h11.Data):
            body += part.data
        return body

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(CHUNK))
        return event

    def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        self._writer.write(self._http.send(event))


def _headers(head: h11.Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, value in head.headers:
        name = raw_name.decode()
        if name in headers and name in _ONCE:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"the request repeats the header {name}")
        headers[name] = value.decode("latin-1")
    return headers
