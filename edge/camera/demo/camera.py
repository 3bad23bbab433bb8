"""The built-in demo: a portrait that moves, turns, changes its expression, leaves and comes back.

It delivers pictures like a camera, so the whole pipeline runs on a machine without one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.camera import optics
from edge.camera.demo.portrait import Portrait
from edge.camera.demo.script import expression_at, pose_at
from edge.camera.pace import Pace
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge.settings import CameraSettings


FIELD_OF_VIEW = 48.8
"""Field of view of the pictures' height, degrees: that of Camera Module 2. The person fills the same share of it at any
size."""


class DemoCamera:
    """A camera that shows the same half minute again and again."""

    live = True
    name = "demo"
    dropped = 0  # frames are only drawn when they are read

    def __init__(
        self,
        settings: CameraSettings,
        *,
        reason: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Load the portrait.

        Args:
            settings: frame size and frame rate.
            reason: why it takes the place of a camera; empty: it was asked for.
            clock: monotonic, s.
            sleep: waits, s.

        Raises:
            UnavailableError: a picture is missing from the installation.
        """
        self.reason = reason
        self._portrait = Portrait(settings.width, settings.height)
        self.field_of_view = optics.part(FIELD_OF_VIEW, settings.width / settings.height)
        """Of the frames' width, degrees."""
        self._period = 1 / settings.fps
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._start = clock()
        self._next = self._start

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, at the frame rate of the settings; None: it is not due within timeout_s."""
        if not self._pace.wait_until(self._next, timeout_s):
            return None
        now = self._clock()
        # A slow reader misses frames, as with a camera.
        self._next += self._period
        if self._next <= now:
            self._next = now + self._period
        return Frame(rgb=self.draw(now - self._start), captured_at=now, field_of_view=self.field_of_view)

    def draw(self, t: float) -> NDArray[np.uint8]:
        """The frame at a given time of the demo.

        Args:
            t: s since the start of the demo.

        Returns:
            uint8[H, W, 3], RGB.
        """
        return self._portrait.draw(pose_at(t), expression_at(t))

    def close(self) -> None:
        """Do nothing."""
