"""The loop: camera -> face mesh -> features -> classifier -> expression -> messages -> MQTT."""

from __future__ import annotations

import logging
import platform
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np
import paho.mqtt

import edge
from edge import messages, system
from edge.errors import EndOfStreamError
from edge.expression import ExpressionMachine
from edge.face_mesh import faces_in
from edge.mqtt import Publisher
from edge.runtime import runtime_name

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from edge.bundle import Bundle
    from edge.camera import Camera
    from edge.face_mesh import FaceMesh
    from edge.settings import Settings
    from edge.values import Change, Frame

log = logging.getLogger(__name__)

STARTUP_S = 3.0
"""By then every part has run, and what has not been used since is start-up code."""

READ_TIMEOUT_S = 0.2
"""How long a silent camera keeps the loop from looking at the clock and at the stop signal."""


class Gauges:
    """What one health interval has seen."""

    def __init__(self, now: float) -> None:
        self._since = now
        # A day's interval at 60 fps would be five million; the newest ten thousand tell as much.
        self._ages: deque[float] = deque(maxlen=10_000)
        self._latencies: deque[float] = deque(maxlen=10_000)
        self._frames = 0

    def frame(self, captured_at: float, started: float, finished: float) -> None:
        """Note one finished frame; times in monotonic s."""
        self._ages.append((finished - captured_at) * 1000)
        self._latencies.append((finished - started) * 1000)
        self._frames += 1

    def fps(self, now: float) -> float:
        """Finished frames per second."""
        return self._frames / max(now - self._since, 1e-6)

    @property
    def ages_ms(self) -> messages.Percentiles:
        """From the capture of a frame to its result."""
        return _percentiles(self._ages)

    @property
    def latencies_ms(self) -> messages.Percentiles:
        """Processing alone."""
        return _percentiles(self._latencies)


def _percentiles(values: Sequence[float]) -> messages.Percentiles:
    if not values:
        return messages.Percentiles(None, None)
    p50, p95 = np.percentile(np.fromiter(values, float), (50, 95)).tolist()
    return messages.Percentiles(p50, p95)


class Daemon:
    """Owns the loop and nothing that happens in it."""

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        camera: Camera,
        mesh: FaceMesh,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together.

        Args:
            settings: of everything.
            bundle: verified.
            camera: open; who opened it closes it.
            mesh: open; who opened it closes it.
            clock: monotonic s, the clock of `Frame.captured_at`.
            wall: Unix time, s.

        Raises:
            ConfigError: the MQTT settings are not usable.
        """
        self._settings = settings
        self._bundle = bundle
        self._camera = camera
        self._mesh = mesh
        self._clock = clock
        self._wall = wall
        self._machine = ExpressionMachine(bundle.labels, settings.expression)
        self._publisher = Publisher(settings.mqtt, settings.device_name)
        self._run = secrets.token_hex(4)
        self._seq = 0
        self._started = clock()
        self._gauges = Gauges(self._started)
        self._state_at = float("-inf")
        self._wall_clock = self._read_wall_clock()

    def run(self, stop: threading.Event) -> None:
        """Read expressions until `stop` is set or the camera has no more frames.

        Whatever ends it, every face gets its `end`, and the broker is told `offline`.

        Raises:
            EdgeError: a finite source is damaged, or the broker refuses us on the first connection.
        """
        self._publisher.start()
        self._publisher.info(messages.info(self._info()))
        self._publish_state(self._clock())
        health_at = self._clock() + self._settings.mqtt.health_interval_s
        release_at = self._clock() + STARTUP_S
        try:
            while not stop.is_set():
                if (problem := self._publisher.problem) is not None:
                    raise problem
                try:
                    frame = self._camera.read(READ_TIMEOUT_S)
                except EndOfStreamError:
                    log.info("%s has ended", self._camera.name)
                    break
                self._step(frame)
                now = self._clock()
                if now >= release_at:
                    system.release_startup_code()
                    release_at = float("inf")
                if now >= health_at:
                    self._publish_health(now)
                    health_at = now + self._settings.mqtt.health_interval_s
        finally:
            self._close()

    def _step(self, frame: Frame | None) -> None:
        started = self._clock()
        if frame is None:
            changes = self._machine.step((), started)
        else:
            readings = self._bundle.classifier.read(faces_in(frame, self._mesh), frame.rgb)
            changes = self._machine.step(readings, frame.captured_at)
        for change in changes:
            self._publish_event(change)
        finished = self._clock()
        if frame is not None:
            self._gauges.frame(frame.captured_at, started, finished)
        due = self._machine.shown() and finished - self._state_at >= self._settings.mqtt.state_interval_s
        if changes or due:
            self._publish_state(finished)

    def _publish_event(self, change: Change) -> None:
        self._seq += 1
        payload = messages.event(change, run=self._run, seq=self._seq, clock=self._wall_clock, model=self._bundle.id)
        self._publisher.event(payload, change.since)
        log.info(
            "face %d: %s %s (%.2f)",
            change.track_id,
            change.kind,
            change.expression or change.previous,
            change.confidence,
        )

    def _publish_state(self, now: float) -> None:
        self._state_at = now
        self._publisher.state(messages.state(self._machine.shown(), at=now, clock=self._wall_clock))

    def _publish_health(self, now: float) -> None:
        # The wall clock may have been set meanwhile; events in between keep one offset, so their order holds.
        self._wall_clock = self._read_wall_clock()
        throttled, under_voltage = system.throttling()
        values = messages.Health(
            fps=self._gauges.fps(now),
            frame_age_ms=self._gauges.ages_ms,
            latency_ms=self._gauges.latencies_ms,
            cpu_temperature_c=system.cpu_temperature_c(),
            throttled=throttled,
            under_voltage=under_voltage,
            rss_mb=system.rss_mb() or 0.0,
            dropped=self._camera.dropped,
            queued=self._publisher.queued,
            lost_events=self._publisher.lost,
            uptime_s=now - self._started,
            mesh_backend=self._settings.mesh.backend,
        )
        self._gauges = Gauges(now)
        self._publisher.health(messages.health(values, at=now, clock=self._wall_clock))

    def _read_wall_clock(self) -> messages.WallClock:
        return messages.WallClock(self._wall() - self._clock(), system.clock_synchronised())

    def _info(self) -> messages.Info:
        return messages.Info(
            device=self._settings.device_name,
            versions=library_versions(),
            model_id=self._bundle.id,
            model_name=str(self._bundle.manifest.get("name", self._bundle.id)),
            metrics=self._bundle.metrics,
            camera=self._camera.name,
            labels=self._bundle.labels,
        )

    def _close(self) -> None:
        now = self._clock()
        for change in self._machine.close(now):
            self._publish_event(change)
        self._publish_state(now)
        self._publisher.stop()


def library_versions() -> dict[str, str]:
    """Program or library to version, of what takes part in a reading."""
    return {
        "emotion_edge": edge.__version__,
        "python": platform.python_version(),
        "runtime": runtime_name(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "paho_mqtt": paho.mqtt.__version__,
    }
