"""How many pictures a second may be looked at, so that a hot processor cools down before the firmware slows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.settings import LoadSettings

STEP = 0.8
"""Each step down leaves so much of the rate; a step up undoes one."""

LOWER_EVERY_S = 10.0
"""Between two steps down: a heat sink takes about that long to show what the last one did."""

RAISE_EVERY_S = 30.0
"""Before a step up: cooling is slower than heating, and a rate that goes up and down is seen."""

COOLER_C = 5.0
"""Degrees Celsius below `hot_c` at which the rate may rise again; in between it stays as it is."""


class Governor:
    """Lowers the frame rate step by step while it is hot, and raises it again when it is cooler.

    Pure: it reads neither clock nor sensor.

    Args:
        fps: frames/s in the cool.
        load: `hot_c` is hot, and however hot it is, `least_fps` are looked at.
    """

    def __init__(self, fps: float, load: LoadSettings) -> None:
        self._most = fps
        self._least = min(load.least_fps, fps)
        self._hot_c = load.hot_c
        self._level = 0
        self._changed_at = -math.inf

    @property
    def fps(self) -> float:
        """Frames/s that may be looked at now."""
        return max(self._most * STEP**self._level, self._least)

    @property
    def full(self) -> bool:
        """Whether that is the rate of a cool processor."""
        return self.fps == self._most

    def step(self, now: float, temperature_c: float | None, throttled: bool | None) -> float:
        """Take in what the sensors say.

        Args:
            now: s, monotonic.
            temperature_c: of the processor; None: unknown, and no reason to do anything.
            throttled: whether the firmware slows the processor down; None: unknown, as if it did not.

        Returns:
            Frames/s that may be looked at from now on.
        """
        hot = bool(throttled) or (temperature_c is not None and temperature_c >= self._hot_c)
        cool = not throttled and (temperature_c is None or temperature_c < self._hot_c - COOLER_C)
        waited = now - self._changed_at
        if hot and waited >= LOWER_EVERY_S and self.fps > self._least:
            self._level, self._changed_at = self._level + 1, now
        elif cool and waited >= RAISE_EVERY_S and self._level:
            self._level, self._changed_at = self._level - 1, now
        return self.fps
