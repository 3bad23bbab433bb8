"""The server of the page: one thread and one event loop for any number of slow clients."""

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
from edge.preview import events
from edge.preview.protocol import HEAD_MAX, Exchange, RefusedRequestError, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.preview.access import Access
    from edge.preview.events import Snapshot
    from edge.preview.panel import Panel
    from edge.preview.timeline import Timeline

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page.html")
EVENT_STREAM = {"Content-Type": "text/event-stream"}

UPDATE_INTERVAL_S = 0.1
"""Minimum time between two updates of a page; a drawing needs no more."""
HEARTBEAT_S = 3.0
"""Interval of heartbeats. The page reconnects after missing three."""
RETRY_MS = 1000
"""Time after which a browser reconnects, ms."""

REQUEST_TIMEOUT_S = 10.0
"""Maximum time for a request to arrive, and for its response to be read."""
STALL_TIMEOUT_S = 20.0
"""Time after which a viewer that reads nothing is disconnected: a phone that leaves the network closes nothing."""
SEND_BUFFER = 32_768
"""Size of the kernel's send buffer for a viewer, bytes (the kernel doubles it). What it holds is sent, however old."""

CONNECTIONS_MAX = 64
"""Maximum number of connections."""
VIEWERS_MAX = 32
"""Maximum number of viewers: plenty, and still little work for a small Raspberry Pi."""


class Server:
    """Answers requests and sends updates to all viewers.

    Everything runs in the thread of the event loop, except `has_viewers`, which any thread may read.
    """

    def __init__(
        self,
        access: Access,
        timeline: Timeline,
        *,
        device: str,
        picture: bool,
        on_pause: Callable[[bool], None] | None,
        panel: Panel | None,
    ) -> None:
        """Read the page.

        Args:
            access: the rules for which requests are answered.
            timeline: the last minutes; the caller appends to it.
            device: name of the device, for the title.
            picture: whether snapshots have a picture.
            on_pause: turns the camera off (True) or on; None: the page can't do that.
            panel: further controls of the page; None: none.
        """
        self._access = access
        self._timeline = timeline
        self._device = device
        self._picture = picture
        self._on_pause = on_pause
        self._panel = panel
        self._page = PAGE.read_bytes()
        self._version = hashlib.sha256(self._page).hexdigest()[:16]
        self._policy = _policy(self._page.decode())
        self._connections = 0
        self._viewers: set[_Viewer] = set()
        self._changed = asyncio.Event()
        self._closing = False
        self._snapshot: Snapshot | None = None
        """The newest snapshot, until it is encoded."""
        self._view_event, self._view_number = b"", 0
        self._paused = False
        self._panel_changed = False
        self._panel_event = b""

    @property
    def has_viewers(self) -> bool:
        """Whether anyone has the page open."""
        return bool(self._viewers)

    def show(self, snapshot: Snapshot) -> None:
        """Send a snapshot to all viewers; it replaces one that has not been sent yet."""
        if self._viewers:
            self._snapshot = snapshot
            self._changed.set()

    def pause(self, paused: bool) -> None:
        """Tell all viewers whether the camera is off."""
        self._paused, self._snapshot, self._view_event = paused, None, b""
        self._changed.set()

    def refresh_panel(self) -> None:
        """Send the state of the panel to all viewers."""
        if self._viewers and self._panel is not None:
            self._panel_changed = True
            self._changed.set()

    def close(self) -> None:
        """Let `run` return."""
        self._closing = True
        self._changed.set()

    async def run(self, listening: socket.socket) -> None:
        """Serve until `close`.

        Args:
            listening: the socket to accept connections on; closed at the end.
        """
        asyncio.get_running_loop().set_exception_handler(_log_exception)
        server = await asyncio.start_server(self._connected, sock=listening, limit=HEAD_MAX)
        try:
            while not self._closing:
                await self._changed.wait()
                self._changed.clear()
                self._encode()
                for viewer in self._viewers:
                    viewer.changed.set()
                await asyncio.sleep(UPDATE_INTERVAL_S)
        finally:
            # No wait_closed(): it would wait for the viewers. The runner of the loop cancels their tasks.
            server.close()

    def _encode(self) -> None:
        """Encode what is new, once for all viewers."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            self._view_event, self._view_number = events.view(snapshot), self._view_number + 1
        if self._panel is not None and self._panel_changed:
            self._panel_changed, self._panel_event = False, events.panel(self._panel.state())

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
            if request.path == "/events" and request.method == "GET":
                await self._stream(request, exchange, reader, writer)
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
            headers = {"Content-Security-Policy": self._policy}
            exchange.respond(HTTPStatus.OK, self._page, "text/html; charset=utf-8", headers=headers)
        elif target == ("HEAD", "/events"):
            # EventSource hides the status, so the page requests it here after a failure.
            self._check_viewer_limit()
            exchange.start_response(HTTPStatus.OK, EVENT_STREAM)
        elif target == ("POST", "/pause"):
            self._request_pause(request)
            exchange.respond(HTTPStatus.NO_CONTENT)
        elif target == ("POST", "/collect") and self._panel is not None:
            self._perform(self._panel, request)
            exchange.respond(HTTPStatus.NO_CONTENT)
        elif request.path in {"/", "/events", "/pause"} or (request.path == "/collect" and self._panel is not None):
            raise RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "this path doesn't support that method")
        else:
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "not found; the page is at /")

    def _request_pause(self, request: Request) -> None:
        if self._on_pause is None:
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "this page cannot turn the camera off")
        paused = _json_object(request).get("paused")
        if not isinstance(paused, bool):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, 'send {"paused": true} or {"paused": false}')
        self._on_pause(paused)

    def _perform(self, panel: Panel, request: Request) -> None:
        action = _json_object(request)
        if not action:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "send the action as a JSON object")
        try:
            panel.perform(action)
        except EdgeError as error:
            raise RefusedRequestError(HTTPStatus.CONFLICT, " ".join(str(error).split())) from error
        finally:
            self.refresh_panel()

    def _check_viewer_limit(self) -> None:
        if len(self._viewers) >= VIEWERS_MAX:
            raise RefusedRequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers; close other pages")

    async def _stream(
        self, request: Request, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send events until the viewer disconnects. A slow viewer gets only the newest ones."""
        self._access.check_token(request)
        self._check_viewer_limit()
        _limit_buffers(writer)
        hello = events.hello(
            page=self._version,
            device=self._device,
            picture=self._picture,
            pause=self._on_pause is not None,
            panel=self._panel is not None,
            past=self._timeline.history(),
        )
        exchange.start_response(HTTPStatus.OK, EVENT_STREAM)
        exchange.send_body(b"retry: %d\n\n" % RETRY_MS + hello)
        viewer = _Viewer()
        self._viewers.add(viewer)
        self.refresh_panel()
        try:
            while not reader.at_eof():
                exchange.send_body(self._next_events(viewer))
                async with asyncio.timeout(STALL_TIMEOUT_S):
                    await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await viewer.changed.wait()
                viewer.changed.clear()
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._snapshot, self._view_event = None, b""

    def _next_events(self, viewer: _Viewer) -> bytes:
        """The events that the viewer has not received yet; a heartbeat if there are none."""
        data = b""
        if viewer.view_number != self._view_number:
            data, viewer.view_number = self._view_event, self._view_number
        if viewer.panel_event != self._panel_event:
            data, viewer.panel_event = self._panel_event + data, self._panel_event
        if viewer.paused is not self._paused or not data:
            data, viewer.paused = events.heartbeat(paused=self._paused) + data, self._paused
        return data


class _Viewer:
    """The events that one viewer has received."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.view_number = 0
        """Number of the last `view` event."""
        self.paused: bool | None = None
        self.panel_event = b""


def _json_object(request: Request) -> dict[str, object]:
    """The JSON object in a request's body; empty if it is something else."""
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _policy(page: str) -> str:
    """The Content-Security-Policy (CSP 3): the page's own scripts and styles, and requests to this server only."""

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


def _limit_buffers(writer: asyncio.StreamWriter) -> None:
    """Keep buffers small, so that a slow viewer gets no old events, and detect viewers that are gone."""
    writer.transport.set_write_buffer_limits(high=0)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALL_TIMEOUT_S * 1000))


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close after reading everything: with unread bytes the kernel resets the connection (RFC 9112, 9.6)."""
    writer.write_eof()
    while await reader.read(HEAD_MAX):
        pass


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if isinstance(context.get("exception"), asyncio.CancelledError):
        return  # Python 3.11 reports the connections that are cancelled with the server
    log.warning("the preview: %s", " ".join(str(context.get("exception") or context.get("message")).split()))
