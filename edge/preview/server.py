"""The server of the page: one thread, one event loop, any number of slow phones."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import re
import socket
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError
from edge.preview import view
from edge.preview.protocol import HEAD_MAX, Exchange, RefusedRequestError, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.preview.access import Access
    from edge.preview.desk import Desk
    from edge.preview.timeline import Timeline
    from edge.preview.view import Look

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page.html")
EVENTS = {"Content-Type": "text/event-stream"}

PACE_S = 0.1
"""Between two updates of a page: more than an eye needs of a drawing."""
BEAT_S = 3.0
"""Between two signs of life. The page gives a connection up after three."""
RETRY_MS = 1000
"""After so long a browser connects again."""

REQUEST_S = 10.0
"""In which a request has to arrive, and in which a response has to be taken."""
STALLED_S = 20.0
"""A page that takes nothing for so long has gone: a phone that left the network does not say goodbye."""
SEND_BUFFER = 32_768
"""Bytes that the kernel keeps for a page (it takes twice as much). What is there will be sent, however old."""

CONNECTIONS_MAX = 64
VIEWERS_MAX = 32
"""More than anybody needs, and little enough for a small Pi."""


class Server:
    """Answers requests, and sends all who look what is new.

    All of it happens in the thread of its loop, but for `wanted`, which any thread may ask.
    """

    def __init__(
        self,
        access: Access,
        timeline: Timeline,
        *,
        device: str,
        picture: bool,
        on_pause: Callable[[bool], None] | None,
        desk: Desk | None,
    ) -> None:
        """Read the page.

        Args:
            access: who may look.
            timeline: of the last minutes; somebody else writes it.
            device: its name, for the title.
            picture: whether looks have a picture.
            on_pause: turns the camera off (True) or on; None: that cannot be done from the page.
            desk: what else can be done there; None: nothing.
        """
        self._access = access
        self._timeline = timeline
        self._device = device
        self._picture = picture
        self._on_pause = on_pause
        self._desk = desk
        self._page = PAGE.read_bytes()
        self._version = hashlib.sha256(self._page).hexdigest()[:16]
        self._policy = _policy(self._page.decode())
        self._view = view.View()
        self._connections = 0
        self._viewers: set[_Viewer] = set()
        self._news = asyncio.Event()
        self._closing = False
        self._look: Look | None = None
        self._latest, self._number = b"", 0
        self._paused = False
        self._desk_changed = False
        self._desk_event = b""

    @property
    def wanted(self) -> bool:
        """Whether somebody looks."""
        return bool(self._viewers)

    def show(self, look: Look) -> None:
        """Replace what has not been sent yet."""
        if self._viewers:
            self._look = look
            self._news.set()

    def pause(self, paused: bool) -> None:
        """Tell all who look whether the camera is off."""
        self._paused, self._look, self._latest = paused, None, b""
        self._news.set()

    def refresh(self) -> None:
        """Tell all who look what there is on the desk now."""
        if self._viewers and self._desk is not None:
            self._desk_changed = True
            self._news.set()

    def close(self) -> None:
        """Let `run` return."""
        self._closing = True
        self._news.set()

    async def run(self, listening: socket.socket) -> None:
        """Serve until `close`.

        Args:
            listening: the socket; it is closed at the end.
        """
        asyncio.get_running_loop().set_exception_handler(_complain)
        server = await asyncio.start_server(self._connected, sock=listening, limit=HEAD_MAX)
        try:
            while not self._closing:
                await self._news.wait()
                self._news.clear()
                self._encode()
                for viewer in self._viewers:
                    viewer.news.set()
                await asyncio.sleep(PACE_S)
        finally:
            # Not wait_closed(): it would wait for those who look. Whoever runs the loop cancels them.
            server.close()

    def _encode(self) -> None:
        """Once for all who look."""
        look, self._look = self._look, None
        if look is not None:
            self._latest, self._number = self._view.event(look), self._number + 1
        if self._desk is not None and self._desk_changed:
            self._desk_changed, self._desk_event = False, view.desk(self._desk.state())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, whatever it brings."""
        self._connections += 1
        exchange = Exchange(reader, writer)
        try:
            if self._connections > CONNECTIONS_MAX:
                # And no more: each that waits takes a file descriptor that camera and broker may need.
                _refuse(exchange, HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again later")
                return
            await self._answer(exchange, reader, writer)
            async with asyncio.timeout(REQUEST_S):
                await _hang_up(reader, writer)
        except OSError as error:  # a time-out is one, too
            log.debug("a connection to the preview has ended: %r", error)
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _answer(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await exchange.request()
            self._access.check_origin(request)
            if request.path == "/events" and request.method == "GET":
                await self._stream(request, exchange, reader, writer)
            else:
                self._respond(request, exchange)
        except RefusedRequestError as error:
            _refuse(exchange, error.status, str(error))

    def _respond(self, request: Request, exchange: Exchange) -> None:
        asked = request.method, request.path
        if asked == ("GET", "/") and self._access.admits(request):
            # Without the token: an address gets shown, saved and sent.
            cookie = f"{self._access.cookie}={self._access.token}; Path=/; HttpOnly; SameSite=Lax"
            exchange.respond(HTTPStatus.SEE_OTHER, headers={"Location": "/", "Set-Cookie": cookie})
            return
        self._access.check_token(request)
        if asked == ("GET", "/"):
            headers = {"Content-Security-Policy": self._policy}
            exchange.respond(HTTPStatus.OK, self._page, "text/html; charset=utf-8", headers=headers)
        elif asked == ("HEAD", "/events"):
            # Tells the page why a stream was refused: a browser keeps that to itself.
            self._check_room()
            exchange.begin(HTTPStatus.OK, EVENTS)
        elif asked == ("POST", "/pause"):
            self._ask_pause(request)
            exchange.respond(HTTPStatus.NO_CONTENT)
        elif asked == ("POST", "/collect") and self._desk is not None:
            self._ask_desk(self._desk, request)
            exchange.respond(HTTPStatus.NO_CONTENT)
        elif request.path in {"/", "/events", "/pause"} or (request.path == "/collect" and self._desk is not None):
            raise RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "that cannot be done here")
        else:
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "there is nothing here; the page is at /")

    def _ask_pause(self, request: Request) -> None:
        if self._on_pause is None:
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "the camera cannot be turned off from here")
        paused = _object(request).get("paused")
        if not isinstance(paused, bool):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, 'say {"paused": true} or {"paused": false}')
        self._on_pause(paused)

    def _ask_desk(self, desk: Desk, request: Request) -> None:
        asked = _object(request)
        if not asked:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "say in an object of JSON what is to be done")
        try:
            desk.ask(asked)
        except EdgeError as error:
            raise RefusedRequestError(HTTPStatus.CONFLICT, " ".join(str(error).split())) from error
        finally:
            self.refresh()

    def _check_room(self) -> None:
        if len(self._viewers) >= VIEWERS_MAX:
            raise RefusedRequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many are looking; close other pages")

    async def _stream(
        self, request: Request, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send what is new until the page has gone; if it is slow, then only the newest."""
        self._access.check_token(request)
        self._check_room()
        _keep_little(writer)
        told = view.hello(
            page=self._version,
            device=self._device,
            picture=self._picture,
            pause=self._on_pause is not None,
            desk=self._desk is not None,
            past=self._timeline.ago(),
        )
        exchange.begin(HTTPStatus.OK, EVENTS)
        exchange.send(b"retry: %d\n\n" % RETRY_MS + told)
        viewer = _Viewer()
        self._viewers.add(viewer)
        self.refresh()
        try:
            while not reader.at_eof():
                exchange.send(self._message(viewer))
                async with asyncio.timeout(STALLED_S):
                    await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await viewer.news.wait()
                viewer.news.clear()
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._look, self._latest = None, b""

    def _message(self, viewer: _Viewer) -> bytes:
        message = b""
        if viewer.number != self._number:
            message, viewer.number = self._latest, self._number
        if viewer.desk != self._desk_event:
            message, viewer.desk = self._desk_event + message, self._desk_event
        if viewer.paused is not self._paused or not message:
            message, viewer.paused = view.beat(paused=self._paused) + message, self._paused
        return message


class _Viewer:
    """What one page has been told."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.number = 0
        """Of the last update."""
        self.paused: bool | None = None
        self.desk = b""


def _object(request: Request) -> dict[str, object]:
    """The object that a request's body is; empty: it is none."""
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _policy(page: str) -> str:
    """The Content-Security-Policy: what the page itself brings, and no request but to here (W3C CSP 3)."""

    def hashes(tag: str) -> str:
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; script-src {hashes('script')}; "
        f"style-src {hashes('style')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _refuse(exchange: Exchange, status: HTTPStatus, line: str) -> None:
    exchange.respond(status, f"{line}\n".encode())


def _keep_little(writer: asyncio.StreamWriter) -> None:
    """Let nothing old wait for a slow page, and notice one that has gone."""
    writer.transport.set_write_buffer_limits(high=0)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALLED_S * 1000))


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close so that the response arrives: closing over unread bytes would take it back (RFC 9112, 9.6)."""
    writer.write_eof()
    while await reader.read(HEAD_MAX):
        pass


def _complain(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if isinstance(context.get("exception"), asyncio.CancelledError):
        return  # Python 3.11 tells of connections that are ended with the server
    log.warning("the preview: %s", " ".join(str(context.get("exception") or context.get("message")).split()))
