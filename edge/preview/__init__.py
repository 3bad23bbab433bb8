"""The preview: a web page with the live face mesh, the expression and the last minutes.

A thread of its own serves the page. Without a viewer, the daemon's thread only checks `has_viewers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from edge.preview.access import DEFAULT_ADDRESS, Access, Address
from edge.preview.events import Snapshot
from edge.preview.server import Server
from edge.preview.timeline import Timeline

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from edge.preview.panel import Panel
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
        on_pause: Callable[[bool], None] | None = None,
        panel: Panel | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the server.

        Args:
            address: HOST[:PORT]; must be loopback unless a token is given.
            token: token that viewers need, 16 to 128 characters; empty: none.
            picture: show the picture, too. Otherwise the server never gets one.
            device: name of the device, shown on the page.
            on_pause: called in the server's thread when a viewer turns the camera off (True) or on. It must return at
                once; set `paused` when the camera is off or on. None: the page has no such button.
            panel: further controls of the page; None: none.
            clock: monotonic s.

        Raises:
            ConfigError: the address or the token is invalid, or a token is missing.
            UnavailableError: the port is in use, or the address is not this machine's.
            PermissionRefusedError: the port is privileged.
        """
        self._picture = picture
        self._nearest: str | None = None
        self._paused = False
        self._timeline = Timeline(clock)
        self._append_to_timeline()
        parsed = Address.parse(address)
        access = Access.at(parsed, token)
        self._server = Server(access, self._timeline, device=device, picture=picture, on_pause=on_pause, panel=panel)
        listening = parsed.listen()
        self.url = parsed.url(int(listening.getsockname()[1]))
        """URL of the page, without the token."""
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="preview", daemon=True)
        self._thread.start()

    @property
    def has_viewers(self) -> bool:
        """Whether anyone has the page open. Otherwise `show` has no effect."""
        return self._server.has_viewers

    def show(self, frame: Frame, faces: Sequence[Face], shown: Sequence[Shown], fps: float) -> None:
        """Show a frame. Passes references only, which takes microseconds; the newest frame replaces an unsent one.

        Args:
            frame: the frame. Its picture is dropped unless the page shows it.
            faces: the faces in it.
            shown: the expressions shown for the faces, the nearest first.
            fps: number of frames processed per second.
        """
        snapshot = Snapshot(frame.size, faces, shown, fps, frame.rgb if self._picture else None)
        self._call(self._server.show, snapshot)

    def update_timeline(self, shown: Sequence[Shown]) -> None:
        """Append to the timeline. Call it after each change, with or without viewers.

        Args:
            shown: the expressions shown now, the nearest face first.
        """
        self._nearest = shown[0].expression if shown else None
        self._append_to_timeline()

    def refresh_panel(self) -> None:
        """Send the state of the panel to all viewers."""
        self._call(self._server.refresh_panel)

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
        self._call(self._server.pause, paused)

    def close(self) -> None:
        """Disconnect all viewers and end the thread."""
        self._call(self._server.close)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _append_to_timeline(self) -> None:
        self._timeline.append(False if self._paused else self._nearest)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the server's thread; does nothing after the thread has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _serve(self, listening: socket.socket) -> None:
        try:
            with self._runner as runner:
                runner.run(self._server.run(listening))
        except Exception as error:  # noqa: BLE001 - the daemon continues without the preview
            log.error("the preview has stopped: %s: %s", type(error).__name__, " ".join(str(error).split()))  # noqa: TRY400
