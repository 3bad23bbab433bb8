"""The frame rate that a hot processor may reach, so that it cools down before the firmware throttles it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.settings import LoadSettings

STEP = 0.8
"""Factor of one step down; a step up undoes one."""

LOWER_EVERY_S = 10.0
"""Pause between two steps down: a heat sink takes about that long to show the effect of the last one."""

RAISE_EVERY_S = 30.0
"""Pause before a step up: cooling is slower than heating, and people notice a rate that goes up and down."""

COOLER_C = 5.0
"""Hysteresis in degrees Celsius: the rate may rise again so far below `hot_c`; in between it stays as it is."""


class Governor:
    """Lowers the frame rate step by step while the processor is hot, and raises it again once it is cooler.

    Pure: it reads neither clock nor sensor.

    Args:
        fps: frames/s of a cool processor.
        load: `hot_c`, from where on it is hot, and `least_fps`, the lowest rate however hot it is.
    """

    def __init__(self, fps: float, load: LoadSettings) -> None:
        self._most = fps
        self._least = min(load.least_fps, fps)
        self._hot_c = load.hot_c
        self._level = 0
        self._changed_at = -math.inf

    @property
    def fps(self) -> float:
        """Frames/s that may be processed now."""
        return max(self._most * STEP**self._level, self._least)

    @property
    def full(self) -> bool:
        """Whether that is the full rate, of a cool processor."""
        return self.fps == self._most

    def step(self, now: float, temperature_c: float | None, throttled: bool | None) -> float:
        """Take in a reading of the sensors.

        Args:
            now: s, monotonic.
            temperature_c: of the processor; None: unknown, which changes nothing.
            throttled: whether the firmware throttles the processor; None: unknown, taken for no.

        Returns:
            Frames/s that may be processed from now on.
        """
        hot = bool(throttled) or (temperature_c is not None and temperature_c >= self._hot_c)
        cool = not throttled and (temperature_c is None or temperature_c < self._hot_c - COOLER_C)
        waited = now - self._changed_at
        if hot and waited >= LOWER_EVERY_S and self.fps > self._least:
            self._level, self._changed_at = self._level + 1, now
        elif cool and waited >= RAISE_EVERY_S and self._level:
            self._level, self._changed_at = self._level - 1, now
        return self.fps
