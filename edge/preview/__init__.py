"""A page to look at: the live mesh, the expression, and the last minutes, for whoever opens it.

It is served by a thread of its own. Where nobody looks, the daemon's thread asks `wanted`, and that is all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from edge.preview.access import DEFAULT_ADDRESS, Access, Place
from edge.preview.server import Server
from edge.preview.timeline import Timeline
from edge.preview.view import Look

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from edge.preview.desk import Desk
    from edge.values import Face, Frame, Shown

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
"""How long `close` waits for the thread."""


class Preview:
    """The page and its server. All methods are for the thread of the daemon."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str = "",
        picture: bool = False,
        device: str = "",
        on_pause: Callable[[bool], None] | None = None,
        desk: Desk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start to serve.

        Args:
            address: HOST[:PORT], loopback unless there is a token.
            token: what one must know to look, 16 to 128 characters; empty: nothing.
            picture: show the picture, too. If not, the server never has one.
            device: its name, which the page bears.
            on_pause: called in the server's thread when somebody asks to turn the camera off (True) or on. It must
                return at once; `paused` tells the page once that is done. None: the page has no such button.
            desk: what can be done at the page beside looking; None: nothing.
            clock: monotonic s.

        Raises:
            ConfigError: the address is none, or the token is missing or too simple.
            UnavailableError: something else listens there, or the address is not this machine's.
            PermissionRefusedError: the port is reserved.
        """
        self._picture = picture
        self._nearest: str | None = None
        self._paused = False
        self._timeline = Timeline(clock)
        self._note()
        place = Place.parse(address)
        access = Access.to(place, token)
        self._server = Server(access, self._timeline, device=device, picture=picture, on_pause=on_pause, desk=desk)
        listening = place.listen()
        self.url = place.url(int(listening.getsockname()[1]))
        """Where the page is, without the token."""
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="preview", daemon=True)
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether somebody looks: only then `show` is of use."""
        return self._server.wanted

    def show(self, frame: Frame, faces: Sequence[Face], shown: Sequence[Shown], fps: float) -> None:
        """Hand over what is to be seen now. References only: it takes microseconds, and the newest wins.

        Args:
            frame: the one just looked at. Its picture is kept only if it is to be shown.
            faces: found in it.
            shown: what is shown for them, the nearest first.
            fps: frames looked at per second.
        """
        height, width = frame.rgb.shape[:2]
        look = Look((width, height), faces, shown, fps, frame.rgb if self._picture else None)
        self._tell(self._server.show, look)

    def remember(self, shown: Sequence[Shown]) -> None:
        """Note what is shown, for the line of the last minutes; after each change, whether somebody looks or not."""
        self._nearest = shown[0].expression if shown else None
        self._note()

    def refresh(self) -> None:
        """Let all who look know that the state of the desk may be another."""
        self._tell(self._server.refresh)

    @property
    def paused(self) -> bool:
        """Whether the page says that the camera is off. To be set by whoever turns it off or on, for any reason."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused == self._paused:
            return
        self._paused = paused
        self._note()
        self._tell(self._server.pause, paused)

    def close(self) -> None:
        """Leave all who look, and end the thread."""
        self._tell(self._server.close)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _note(self) -> None:
        self._timeline.note(False if self._paused else self._nearest)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        """Have it done in the server's thread; after its end there is nobody to tell."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *arguments)

    def _serve(self, listening: socket.socket) -> None:
        try:
            with self._runner as runner:
                runner.run(self._server.run(listening))
        except Exception as error:  # noqa: BLE001 - expressions are read and published all the same
            log.error("the preview has ended: %s: %s", type(error).__name__, " ".join(str(error).split()))  # noqa: TRY400
