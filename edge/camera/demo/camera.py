"""The built-in demo: a portrait that moves, turns, changes its expression, leaves and comes back.

It takes the whole way from pixels, like a camera, so that everything behind it can be seen at work on a
machine that has none.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.camera.demo.portrait import Portrait
from edge.camera.demo.script import expression_at, pose_at
from edge.camera.pace import Pace
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge.settings import CameraSettings


class DemoCamera:
    """A camera in front of which the same half minute plays for ever."""

    live = True
    name = "demo"
    dropped = 0  # nothing is drawn that nobody asks for

    def __init__(
        self,
        settings: CameraSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Load the portrait.

        Args:
            settings: frame size and rate.
            clock: monotonic s.
            sleep: waits for so many s.

        Raises:
            UnavailableError: a picture is missing from the installation.
        """
        self._portrait = Portrait(settings.width, settings.height)
        self._period = 1 / settings.fps
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._start = clock()
        self._next = self._start

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, at the settings' rate; None: it is not due within timeout_s."""
        if not self._pace.wait_until(self._next, timeout_s):
            return None
        now = self._clock()
        # A reader that is slow misses frames, as it would with a camera.
        self._next += self._period
        if self._next <= now:
            self._next = now + self._period
        return Frame(rgb=self.draw(now - self._start), captured_at=now)

    def draw(self, t: float) -> NDArray[np.uint8]:
        """The frame at a moment of the demo, whatever the clock says.

        Args:
            t: s since the demo began.

        Returns:
            uint8[H, W, 3], RGB.
        """
        return self._portrait.draw(pose_at(t), expression_at(t))

    def close(self) -> None:
        """Nothing is held open."""
