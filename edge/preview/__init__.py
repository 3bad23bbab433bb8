"""The preview: a web page with the live face mesh, the expression, the last minutes, and the state of the device.

A thread of its own serves the page. Until somebody opens it, that thread only waits, and the server isn't even loaded;
without a viewer, the daemon's thread only checks `has_viewers`.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

from edge.preview.address import DEFAULT_ADDRESS, Address, check_token
from edge.preview.timeline import Timeline

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from edge.preview.panel import Panel
    from edge.preview.server import Server
    from edge.values import Face, Frame, Shown

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
"""Maximum time for which `close` waits for the thread."""


class Preview:
    """The page and its server. All methods are for the daemon's thread."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str = "",
        picture: bool = False,
        device: str = "",
        panel: Panel | None = None,
        timeline: Timeline | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen.

        Args:
            address: HOST[:PORT]; must be loopback unless a token is given.
            token: token that viewers need, 16 to 128 characters; empty: none.
            picture: show the picture, too. Otherwise the server never gets one.
            device: name of the device, shown on the page.
            panel: what else the page shows and does; None: nothing.
            timeline: of a preview that this one replaces; None: a new one.
            clock: monotonic s.

        Raises:
            ConfigError: the address or the token is invalid, or a token is missing.
            UnavailableError: the port is in use, or the address is not this machine's.
            PermissionRefusedError: the port is privileged.
        """
        self._address = Address.parse(address)
        check_token(self._address, token)
        self._token = token
        self._picture = picture
        self._device = device
        self._panel = panel
        self._nearest: str | None = None
        self._paused = False
        self.timeline = timeline or Timeline(clock)
        self._append_to_timeline()
        self._listening = self._address.listen()
        self.url = self._address.url(int(self._listening.getsockname()[1]))
        """URL of the page, without the token."""
        self._closing = False
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    @property
    def has_viewers(self) -> bool:
        """Whether anyone has the page open. Otherwise `show` and `refresh_panel` have no effect."""
        return self._server is not None and self._server.stream.has_viewers

    def show(self, frame: Frame, faces: Sequence[Face], shown: Sequence[Shown], fps: float) -> None:
        """Show a frame. Passes references only, which takes microseconds; the newest frame replaces an unsent one.

        Args:
            frame: the frame. Its picture is dropped unless the page shows it.
            faces: the faces in it.
            shown: the expressions shown for the faces, the nearest first.
            fps: number of frames processed per second.
        """
        if self._server is None or not self.has_viewers:
            return
        from edge.preview.events import Snapshot

        snapshot = Snapshot(frame.size, faces, shown, fps, frame.rgb if self._picture else None)
        self._call(self._server.stream.show, snapshot)

    def update_timeline(self, shown: Sequence[Shown]) -> None:
        """Append to the timeline. Call it after each change, with or without viewers.

        Args:
            shown: the expressions shown now, the nearest face first.
        """
        self._nearest = shown[0].expression if shown else None
        self._append_to_timeline()

    def refresh_panel(self) -> None:
        """Send the state of the panel to all viewers."""
        if self._server is not None:
            self._call(self._server.stream.refresh_panel)

    @property
    def paused(self) -> bool:
        """Whether the page says that the camera is off. Set it whenever the camera is turned off or on."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused == self._paused:
            return
        self._paused = paused
        self._append_to_timeline()
        if self._server is not None:
            self._call(self._server.stream.pause)

    def close(self) -> None:
        """Disconnect all viewers and end the thread. It may be called again."""
        self._closing = True
        with contextlib.suppress(OSError):  # the thread has ended and closed it
            self._wake_sender.send(b"\0")
        if self._server is not None:
            self._call(self._server.close)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _append_to_timeline(self) -> None:
        self.timeline.append(False if self._paused else self._nearest)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the server's thread; does nothing before the loop exists and after the thread has ended.

        What is not told to a server that is just starting, it asks for when its first viewer comes.
        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *arguments)

    # Everything below runs in the thread.

    def _run(self) -> None:
        try:
            with self._listening, self._wake_receiver, self._wake_sender:
                select.select([self._listening, self._wake_receiver], [], [])
                if not self._closing:
                    self._serve()
        except Exception as error:  # noqa: BLE001 - the daemon continues without the preview
            log.error("the preview has stopped: %s: %s", type(error).__name__, " ".join(str(error).split()))  # noqa: TRY400

    def _serve(self) -> None:
        """Somebody opens the page for the first time: load the server, and serve until `close`."""
        import asyncio

        from edge.preview.access import Access
        from edge.preview.server import Server

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            server = Server(
                Access.at(self._address, self._token),
                self.timeline,
                device=self._device,
                picture=self._picture,
                panel=self._panel,
                is_paused=lambda: self._paused,
            )
            self._loop, self._server = runner.get_loop(), server
            if self._closing:  # `close` came too early to find the server
                server.close()
            runner.run(server.run(self._listening))
