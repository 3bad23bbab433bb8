"""Frame rate, frame age and latency of an interval."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from edge.messages.payloads import Percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence


class FrameMetrics:
    """The frames of one interval."""

    def __init__(self, now: float) -> None:
        self._since = now
        # A day's interval at 60 fps would be five million; the newest ten thousand give the same percentiles.
        self._ages: deque[float] = deque(maxlen=10_000)
        self._latencies: deque[float] = deque(maxlen=10_000)
        self._frames = 0

    def frame(self, captured_at: float, started: float, finished: float) -> None:
        """Count one finished frame; times in monotonic s."""
        self._ages.append((finished - captured_at) * 1000)
        self._latencies.append((finished - started) * 1000)
        self._frames += 1

    def fps(self, now: float) -> float:
        """Finished frames per second; now in s, monotonic."""
        return self._frames / max(now - self._since, 1e-6)

    @property
    def ages_ms(self) -> Percentiles:
        """Percentiles of frame age: from the capture of a frame to its result, ms."""
        return _percentiles(self._ages)

    @property
    def latencies_ms(self) -> Percentiles:
        """Percentiles of latency: the processing alone, ms."""
        return _percentiles(self._latencies)


def _percentiles(values: Sequence[float]) -> Percentiles:
    if not values:
        return Percentiles(None, None)
    p50, p95 = np.percentile(np.fromiter(values, float), (50, 95)).tolist()
    return Percentiles(p50, p95)
