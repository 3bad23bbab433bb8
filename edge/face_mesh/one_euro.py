"""The One-Euro filter (Casiez, Roussel, Vogel 2012) as MediaPipe applies it to face landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_CUTOFF, BETA, DERIVATIVE_CUTOFF = 0.05, 80.0, 1.0
"""Hz, 1, Hz: the values of MediaPipe's face_landmarker_graph.cc."""


class OneEuro:
    """Smooths one face's landmarks; a new face needs a new filter."""

    def __init__(self, values: NDArray[np.float32], time: float) -> None:
        """Start at `values`, float32[N, 3] px, seen at `time`, s."""
        self._time = time
        self._raw = values
        self._smooth = values
        self._speed = np.zeros_like(values)

    def __call__(self, values: NDArray[np.float32], time: float, size: float) -> NDArray[np.float32]:
        """Smoothed values, float32[N, 3] px, for `values` seen at `time`, s.

        Args:
            values: float32[N, 3], px.
            time: s; a frame no later than the one before is taken as it is.
            size: mean of the face's width and height, px: speed counts relative to it.
        """
        interval = time - self._time
        if interval <= 0:
            return self._smooth
        rate = np.float32(1 / interval)
        weight = _weight(DERIVATIVE_CUTOFF, interval)
        speed = (values - self._raw) * np.float32(weight / (size * interval))
        speed += (1 - np.float32(weight)) * self._speed
        # weight = 1 / (1 + rate / (2 pi cutoff)), with the cutoff rising with the speed
        cutoff = np.abs(speed)
        cutoff *= np.float32(2 * np.pi * BETA)
        cutoff += np.float32(2 * np.pi * MIN_CUTOFF)
        cutoff /= cutoff + rate
        self._smooth = self._smooth + cutoff * (values - self._smooth)
        self._speed, self._raw, self._time = speed, values, time
        return self._smooth


def _weight(cutoff: float, interval: float) -> float:
    """Weight of the newest value in a first-order low-pass; cutoff in Hz, interval in s."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * interval))
