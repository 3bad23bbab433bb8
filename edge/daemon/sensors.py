"""Temperature, throttling and supply voltage of the board, and the frame rate that they allow."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.daemon.governor import Governor
from edge.device import system

if TYPE_CHECKING:
    from edge.settings import Settings

log = logging.getLogger(__name__)

READ_EVERY_S = 5.0
"""Pause between two readings: a processor takes longer than that to heat up."""


class Sensors:
    """Reads the sensors of the board and asks the governor how many frames per second they allow."""

    def __init__(self, settings: Settings) -> None:
        """Nothing has been read yet.

        Args:
            settings: of camera and load.
        """
        self.temperature_c: float | None = None
        """Of the processor, degrees Celsius; None: unknown."""
        self.throttled: bool | None = None
        """Whether the firmware throttles the processor; None: unknown."""
        self.under_voltage: bool | None = None
        """Whether the supply voltage is too low; None: unknown."""
        self._limits = settings.camera.fps, settings.load
        self._governor = Governor(*self._limits)
        self._due_at = float("-inf")

    @property
    def fps(self) -> float:
        """Frames/s that may be processed now."""
        return self._governor.fps

    @property
    def full_rate(self) -> bool:
        """Whether that is the full rate, of a cool processor."""
        return self._governor.full

    def step(self, now: float) -> None:
        """Read the sensors if it is time; now in s, monotonic."""
        if now < self._due_at:
            return
        self._due_at = now + READ_EVERY_S
        self.temperature_c = system.cpu_temperature_c()
        self.throttled, self.under_voltage = system.throttling()
        was_full = self._governor.full
        fps = self._governor.step(now, self.temperature_c, self.throttled)
        if was_full and not self._governor.full:
            why = "throttled by the firmware" if self.throttled else f"at {self.temperature_c:.0f} °C"
            log.warning("the processor is %s: lowering the frame rate to %.3g fps", why, fps)
        elif self._governor.full and not was_full:
            log.info("the processor has cooled down: back to %.3g fps", fps)

    def adopt(self, settings: Settings) -> None:
        """Switch to new settings. Where frame rate or limits differ, the full rate is allowed again."""
        if (limits := (settings.camera.fps, settings.load)) != self._limits:
            self._limits, self._governor = limits, Governor(*limits)
