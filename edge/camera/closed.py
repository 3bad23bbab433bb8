"""Stand-in for a camera while the device is paused: nothing is open, and no frame comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.values import Frame


class ClosedCamera:
    """A camera that is closed on purpose."""

    live = True
    dropped = 0

    def __init__(self, name: str) -> None:
        """Open nothing.

        Args:
            name: of the camera that it replaces.
        """
        self.name = name

    def read(self, timeout_s: float) -> Frame | None:
        """Wait `timeout_s` seconds and return None."""
        time.sleep(timeout_s)
        return None

    def close(self) -> None:
        """Do nothing."""
