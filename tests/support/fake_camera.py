"""A camera that does what its script says: for tests, here and in whatever is built on this package."""

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
    """For so many seconds nothing comes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The camera goes away; every read from here on says so."""


class FakeCamera:
    """Plays a script of frames, stalls and errors; at its end a live one stalls for good, another ends."""

    dropped = 0  # the script waits

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
            script: what each `read` gives, in order.
            sleep: waits for so many s; a stall is spent in it.
            name: what people see.
            live: whether it may be lost and opened again.
        """
        self.name = name
        self.live = live
        self.closed = False
        """Whether `close` was called."""
        self._script = deque(script)
        self._sleep = sleep

    def read(self, timeout_s: float) -> Frame | None:
        """What the script says next.

        Raises:
            CameraLostError: the script says the camera is lost.
            EndOfStreamError: the script of a finite camera is over.
            EdgeError: the script holds this error.
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
        """Remember that it was closed."""
        self.closed = True
