"""A camera that follows a script, for tests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import CameraLostError, EndOfStreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.errors import EdgeError
    from edge.values import Frame


@dataclass(frozen=True, slots=True)
class Stall:
    """No frame arrives for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The camera is lost; every read from here on raises CameraLostError."""


class FakeCamera:
    """Plays a script of frames, stalls and errors. After it, a live camera stalls for good; another one ends."""

    dropped = 0  # the script waits for its reader

    def __init__(
        self,
        script: Iterable[Frame | Stall | Lost | EdgeError],
        *,
        sleep: Callable[[float], None],
        name: str = "fake",
        live: bool = True,
    ) -> None:
        """Take the script.

        Args:
            script: the results of `read`, in order.
            sleep: called with the s of a stall.
            name: name of the camera.
            live: whether it is a live camera, which may be lost and reopened.
        """
        self.name = name
        self.live = live
        self.closed = False
        """Whether `close` was called."""
        self._script = deque(script)
        self._sleep = sleep

    def read(self, timeout_s: float) -> Frame | None:
        """Return or raise the next item of the script.

        Raises:
            CameraLostError: the item is `Lost`.
            EndOfStreamError: the script of a finite camera is over.
            EdgeError: the item is this error.
        """
        if not self._script:
            if not self.live:
                raise EndOfStreamError(f"{self.name} has ended")
            self._sleep(timeout_s)
            return None
        step = self._script.popleft()
        if isinstance(step, Stall):
            self._sleep(min(step.seconds, timeout_s))
            if step.seconds > timeout_s:
                self._script.appendleft(Stall(step.seconds - timeout_s))
            return None
        if isinstance(step, Lost):
            self._script.appendleft(step)
            raise CameraLostError(f"camera {self.name} stopped delivering")
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        """Close the camera."""
        self.closed = True
