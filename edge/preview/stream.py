"""The event streams of all viewers: what is new is encoded once, and each viewer gets what it has not received yet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING

from edge.preview import events
from edge.preview.request import RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.preview.events import Snapshot
    from edge.preview.panel import Panel
    from edge.preview.protocol import Exchange

EVENT_STREAM = {"Content-Type": "text/event-stream"}

HEARTBEAT_S = 3.0
"""Interval of heartbeats. The page reconnects after missing three."""
RETRY_MS = 1000
"""Time after which a browser reconnects, ms."""
STALL_TIMEOUT_S = 20.0
"""Time after which a viewer that reads nothing is disconnected: a phone that leaves the network closes nothing."""
SEND_BUFFER = 32_768
"""Size of the kernel's send buffer for a viewer, bytes (the kernel doubles it). What it holds is sent, however old."""
VIEWERS_MAX = 32
"""Maximum number of viewers: plenty, and still little work for a small Raspberry Pi."""


class Stream:
    """Sends updates to all viewers.

    Everything runs in the thread of the event loop, except `has_viewers`, which any thread may read.
    """

    def __init__(self, hello: Callable[[], bytes], panel: Panel | None, is_paused: Callable[[], bool]) -> None:
        """Start without viewers.

        Args:
            hello: the first event of a connection.
            panel: the page's panel; None: none.
            is_paused: whether the camera is off.
        """
        self._hello = hello
        self._panel = panel
        self._is_paused = is_paused
        self._viewers: set[_Viewer] = set()
        self._snapshot: Snapshot | None = None
        """The newest snapshot, until it is encoded."""
        self._view_event, self._view_number = b"", 0
        self._panel_changed = False
        self._panel_event = b""
        self.changed = asyncio.Event()
        """Set when something is new."""

    @property
    def has_viewers(self) -> bool:
        """Whether anyone has the page open."""
        return bool(self._viewers)

    def show(self, snapshot: Snapshot) -> None:
        """Send a snapshot to all viewers; it replaces one that has not been sent yet."""
        if self._viewers:
            self._snapshot = snapshot
            self.changed.set()

    def pause(self) -> None:
        """Tell all viewers that the camera has been turned off or on."""
        self._snapshot, self._view_event = None, b""
        self.changed.set()

    def refresh_panel(self) -> None:
        """Send the state of the panel to all viewers."""
        if self._viewers and self._panel is not None:
            self._panel_changed = True
            self.changed.set()

    def update(self) -> None:
        """Encode what is new, once for all viewers, and let them have it."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            self._view_event, self._view_number = events.view(snapshot), self._view_number + 1
        if self._panel is not None and self._panel_changed:
            self._panel_changed, self._panel_event = False, events.panel(self._panel.state())
        for viewer in self._viewers:
            viewer.changed.set()

    def check_viewer_limit(self) -> None:
        """Refuse one viewer too many.

        Raises:
            RefusedRequestError: there are `VIEWERS_MAX`.
        """
        if len(self._viewers) >= VIEWERS_MAX:
            raise RefusedRequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers; close other pages")

    async def serve(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send events until the viewer disconnects. A slow viewer gets only the newest ones.

        Raises:
            RefusedRequestError: there are too many viewers.
            OSError: the viewer has closed the connection, or reads nothing.
        """
        self.check_viewer_limit()
        _limit_buffers(writer)
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            exchange.start_response(HTTPStatus.OK, EVENT_STREAM)
            exchange.send_body(b"retry: %d\n\n" % RETRY_MS + self._hello())
            self.refresh_panel()
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
        data, paused = b"", self._is_paused()
        if viewer.view_number != self._view_number:
            data, viewer.view_number = self._view_event, self._view_number
        if viewer.panel_event != self._panel_event:
            data, viewer.panel_event = self._panel_event + data, self._panel_event
        if viewer.paused is not paused or not data:
            data, viewer.paused = events.heartbeat(paused=paused) + data, paused
        return data


class _Viewer:
    """The events that one viewer has received."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.view_number = 0
        """Number of the last `view` event."""
        self.paused: bool | None = None
        self.panel_event = b""


def _limit_buffers(writer: asyncio.StreamWriter) -> None:
    """Keep buffers small, so that a slow viewer gets no old events, and detect viewers that are gone."""
    writer.transport.set_write_buffer_limits(high=0)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALL_TIMEOUT_S * 1000))
