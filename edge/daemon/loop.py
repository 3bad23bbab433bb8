"""The loop: camera -> face mesh -> features -> classifier -> expression -> messages -> MQTT."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edge.daemon.commands import Commands
from edge.daemon.expressions import Expressions
from edge.daemon.reporter import Reporter
from edge.daemon.sensors import Sensors
from edge.errors import EndOfStreamError
from edge.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.daemon.page import Page
    from edge.daemon.pipeline import Pipeline
    from edge.daemon.signals import Signals
    from edge.device.systemd import Systemd
    from edge.mqtt.inbox import Inbox
    from edge.settings import Settings
    from edge.values import Face, Frame

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.2
"""Longest wait for a frame, after which the loop turns to clock, commands and signals."""

SILENT_FRAMES = 2
"""Missing frames after which a camera counts as silent, with no face in view; until then a frame is just late."""


class Daemon:
    """Owns the loop and nothing that happens in it."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        systemd: Systemd,
        load: Callable[[], Settings],
        *,
        inbox: Inbox,
        page: Page,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the parts together.

        Args:
            settings: of everything.
            pipeline: open, closed by the caller.
            systemd: is notified of start, reloads, progress and end.
            load: reads the settings again.
            inbox: receives commands.
            page: the live page, closed by the caller.
            clock: monotonic s, the clock of `Frame.captured_at`.

        Raises:
            ConfigError: the MQTT settings are not usable.
        """
        self._pipeline = pipeline
        self._systemd = systemd
        self._clock = clock
        # First: unusable settings must end us before the shadow is marked as running.
        publisher = Publisher(settings.mqtt, settings.device_name, inbox)
        self._sensors = Sensors(settings)
        self._expressions = Expressions(settings, pipeline)
        self._reporter = Reporter(
            pipeline,
            self._expressions,
            self._sensors,
            publisher,
            settings=settings,
            systemd=systemd,
            inbox=inbox,
            page=page,
            clock=clock,
        )
        self._commands = Commands(
            pipeline,
            self._expressions,
            self._sensors,
            self._reporter,
            settings=settings,
            load=load,
            systemd=systemd,
            inbox=inbox,
            page=page,
            clock=clock,
        )
        self._ready = False
        self._frame_at = clock()
        """When the last frame arrived."""
        self._due_at = float("-inf")
        """When the next frame is due, while the frame rate is limited."""

    def run(self, signals: Signals) -> None:
        """Read expressions until a signal asks to stop or the camera has no more frames.

        Whatever ends it, every face gets its `end`, and the broker is told `offline`.

        Raises:
            EdgeError: a finite source is damaged, or the broker refuses us on the first connection.
        """
        self._reporter.start()
        try:
            while not signals.stop:
                self._reporter.check()
                if signals.reload:
                    signals.reload = False
                    self._commands.reload()
                self._commands.step()
                try:
                    self._turn()
                except EndOfStreamError:
                    log.info("%s has ended", self._pipeline.camera.name)
                    self._commands.cancel_calibration(f"{self._pipeline.camera.name} has ended")
                    break
                now = self._clock()
                self._sensors.step(now)
                self._reporter.step(now)
        finally:
            self._close()

    def _turn(self) -> None:
        """Process the next frame, if it is due and comes soon."""
        camera = self._pipeline.camera
        pause = self._due_at - self._clock()
        if self._is_limited() and pause > 0:
            time.sleep(min(pause, READ_TIMEOUT_S))
            well = True
        else:
            frame = camera.read(READ_TIMEOUT_S)
            if frame is None:
                self._miss_frame(self._clock())
            else:
                self._process(frame)
            # Files have their own frame rate, so a low one is not a fault.
            well = frame is not None or not camera.live or self._pipeline.paused or self._pipeline.waiting
        if self._pipeline.paused or self._pipeline.waiting:  # nothing more to wait for here
            self._get_ready(self._clock())
        if well and self._reporter.alive:
            self._systemd.watchdog()

    def _is_limited(self) -> bool:
        """Whether frames have to wait, as those of a live camera do while the processor is hot."""
        return self._pipeline.camera.live and not self._sensors.full_rate

    def _process(self, frame: Frame) -> None:
        started = self._frame_at = self._clock()
        self._due_at = max(self._due_at + 1 / self._sensors.fps, started) if self._is_limited() else float("-inf")
        faces = self._pipeline.find(frame)
        changed = self._read(faces, frame, frame.captured_at)
        finished = self._clock()
        self._reporter.frame(frame, faces, started, finished)
        self._get_ready(finished)
        if changed or self._reporter.state_due(finished):
            self._reporter.state(finished)

    def _miss_frame(self, now: float) -> None:
        """Note that no frame has arrived by now. A camera that stays silent has no face in view."""
        silent = now - self._frame_at >= SILENT_FRAMES / self._sensors.fps
        changed = silent and self._read((), None, now)
        if changed or self._reporter.state_due(now):
            self._reporter.state(now)

    def _read(self, faces: Sequence[Face], frame: Frame | None, now: float) -> bool:
        """Read the faces, report what has changed, then let the shadow read them. Return whether anything changed."""
        readings = [] if frame is None else self._pipeline.read(faces, frame)
        changes = self._expressions.step(readings, now, still=frame is not None and frame.still)
        self._reporter.changes(changes)
        if not self._expressions.shadow.step(faces, frame, now):
            self._reporter.info()
        self._commands.calibrate(None if frame is None else list(zip(faces, readings, strict=True)), now)
        return bool(changes)

    def _get_ready(self, now: float) -> None:
        """Tell systemd, once, that models and camera work, or that the camera is paused or waited for."""
        if not self._ready:
            self._ready = True
            self._systemd.ready()
            self._reporter.ready(now)

    def _close(self) -> None:
        self._systemd.stopping()
        self._commands.cancel_calibration("the daemon was stopped")
        now = self._clock()
        self._reporter.changes(self._expressions.close(now))
        self._reporter.state(now)
        self._reporter.stop()
        self._expressions.shadow.stop()
