"""The server of the page: one thread and one event loop for any number of slow clients."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from edge.errors import EdgeError
from edge.preview import events
from edge.preview.document import Document
from edge.preview.protocol import HEAD_MAX, Exchange
from edge.preview.request import RefusedRequestError, Request
from edge.preview.stream import EVENT_STREAM, Stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from edge.preview.access import Access
    from edge.preview.panel import Panel
    from edge.preview.timeline import Timeline

log = logging.getLogger(__name__)

UPDATE_INTERVAL_S = 0.1
"""Minimum time between two updates of a page; a drawing needs no more."""
REQUEST_TIMEOUT_S = 10.0
"""Maximum time for a request to arrive, and for its response to be read."""
CONNECTIONS_MAX = 64
"""Maximum number of connections."""

PATHS = {"/": "GET", "/events": "GET and HEAD", "/action": "POST"}


class Server:
    """Answers requests. Everything runs in the thread of the event loop."""

    def __init__(
        self,
        access: Access,
        timeline: Timeline,
        *,
        device: str,
        picture: bool,
        panel: Panel | None,
        is_paused: Callable[[], bool],
    ) -> None:
        """Read the page.

        Args:
            access: the rules for which requests are answered.
            timeline: the last minutes; the caller appends to it.
            device: name of the device, for the title.
            picture: whether snapshots have a picture.
            panel: the page's panel; None: none.
            is_paused: whether the camera is off.
        """
        self._access = access
        self._panel = panel
        self._document = document = Document()

        def hello() -> bytes:
            return events.hello(
                page=document.version,
                device=device,
                picture=picture,
                panel=None if panel is None else panel.kind,
                past=timeline.history(),
            )

        self.stream = Stream(hello, panel, is_paused)
        self._connections = 0
        self._closing = False

    def close(self) -> None:
        """Let `run` return."""
        self._closing = True
        self.stream.changed.set()

    async def run(self, listening: socket.socket) -> None:
        """Serve until `close`.

        Args:
            listening: the socket to accept connections on; closed at the end.
        """
        asyncio.get_running_loop().set_exception_handler(_log_exception)
        server = await asyncio.start_server(self._connected, sock=listening, limit=HEAD_MAX)
        try:
            while not self._closing:
                await self.stream.changed.wait()
                self.stream.changed.clear()
                self.stream.update()
                await asyncio.sleep(UPDATE_INTERVAL_S)
        finally:
            # No wait_closed(): it would wait for the viewers. The runner of the loop cancels their tasks.
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._connections += 1
        exchange = Exchange(reader, writer)
        try:
            if self._connections > CONNECTIONS_MAX:
                # Don't wait for the client: each connection takes a file descriptor that camera or broker may need.
                _refuse(exchange, HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again later")
                return
            await self._answer(exchange, reader, writer)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await _close(reader, writer)
        except OSError as error:  # including TimeoutError
            log.debug("a connection to the preview has ended: %r", error)
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _answer(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await exchange.read_request()
            self._access.check_origin(request)
            if (request.method, request.path) == ("GET", "/events"):
                self._access.check_token(request)
                await self.stream.serve(exchange, reader, writer)
            else:
                self._respond(request, exchange)
        except RefusedRequestError as error:
            _refuse(exchange, error.status, str(error))

    def _respond(self, request: Request, exchange: Exchange) -> None:
        target = request.method, request.path
        if target == ("GET", "/") and self._access.has_token(request):
            # Redirect to the URL without the token, because URLs are visible, saved and shared.
            cookie = f"{self._access.cookie}={self._access.token}; Path=/; HttpOnly; SameSite=Lax"
            exchange.respond(HTTPStatus.SEE_OTHER, headers={"Location": "/", "Set-Cookie": cookie})
            return
        self._access.check_token(request)
        if target == ("GET", "/"):
            headers = {"Content-Security-Policy": self._document.policy}
            exchange.respond(HTTPStatus.OK, self._document.text.encode(), "text/html; charset=utf-8", headers=headers)
        elif target == ("HEAD", "/events"):
            # EventSource hides the status, so the page requests it here after a failure.
            self.stream.check_viewer_limit()
            exchange.start_response(HTTPStatus.OK, EVENT_STREAM)
        elif target == ("POST", "/action") and self._panel is not None:
            self._perform(self._panel, request)
            exchange.respond(HTTPStatus.NO_CONTENT)
        elif request.path in PATHS and (request.path != "/action" or self._panel is not None):
            raise RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"this path supports {PATHS[request.path]} only")
        else:
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "not found; the page is at /")

    def _perform(self, panel: Panel, request: Request) -> None:
        action = _json_object(request)
        if not action:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "send the action as a JSON object")
        try:
            panel.perform(action)
        except EdgeError as error:
            raise RefusedRequestError(HTTPStatus.CONFLICT, " ".join(str(error).split())) from error
        finally:
            self.stream.refresh_panel()


def _json_object(request: Request) -> dict[str, object]:
    """The JSON object in a request's body; empty if it is something else."""
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse(exchange: Exchange, status: HTTPStatus, line: str) -> None:
    exchange.respond(status, f"{line}\n".encode())


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close after reading everything: with unread bytes the kernel resets the connection (RFC 9112, 9.6)."""
    writer.write_eof()
    while await reader.read(HEAD_MAX):
        pass


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if isinstance(context.get("exception"), asyncio.CancelledError):
        return  # Python 3.11 reports the connections that are cancelled with the server
    log.warning("the preview: %s", " ".join(str(context.get("exception") or context.get("message")).split()))
