"""Everything the daemon publishes: MQTT topics, the status line of systemd, the journal, the preview."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from edge.daemon.metrics import FrameMetrics
from edge.daemon.page import device_state
from edge.device import journal, system
from edge.device.versions import library_versions
from edge.messages import commands, home_assistant, payloads
from edge.messages.commands import Request
from edge.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.daemon.expressions import Expressions
    from edge.daemon.page import Page
    from edge.daemon.pipeline import Pipeline
    from edge.daemon.sensors import Sensors
    from edge.device.systemd import Systemd
    from edge.messages.commands import Refusal
    from edge.mqtt.inbox import Inbox
    from edge.settings import Settings
    from edge.values import Change, Face, Frame

log = logging.getLogger(__name__)

STATUS_EVERY_S = 1.0
"""Interval of the status line that `systemctl status` shows."""

FIRST_HEALTH_S = 5.0
"""Time from a start or reload to the first health after it: who rolls out a bundle waits for that."""


class Reporter:
    """Reports what the daemon does, and changes nothing itself."""

    def __init__(
        self,
        pipeline: Pipeline,
        expressions: Expressions,
        sensors: Sensors,
        publisher: Publisher,
        *,
        settings: Settings,
        systemd: Systemd,
        inbox: Inbox,
        page: Page,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect what is reported. Nothing is sent before `start`.

        Args:
            pipeline: camera, bundle and baseline in use.
            expressions: what is shown for each face.
            sensors: temperature, throttling, frame rate limit.
            publisher: for these settings, not started yet.
            settings: in use.
            systemd: shows the status line.
            inbox: receives the commands, counts the dropped ones.
            page: the live page.
            clock: monotonic s, the clock of `Frame.captured_at`.
        """
        self._settings = settings
        self._pipeline = pipeline
        self._expressions = expressions
        self._sensors = sensors
        self._publisher = publisher
        self._systemd = systemd
        self._inbox = inbox
        self._page = page
        self._clock = clock
        self._wall_clock = self._read_wall_clock()
        self._problem: str | None = None
        """One line on why the last reload was refused; None: it was not."""
        self._rejected = ""
        """What the broker rejects, as the last info says it."""
        self._run = os.urandom(4).hex()
        self._seq = 0
        self._lost_before = 0
        """Events given up by publishers that a reload replaced."""
        self._started_at = clock()
        self._since_health, self._since_status = FrameMetrics(self._started_at), FrameMetrics(self._started_at)
        self._state_at = float("-inf")
        self._health_due_at = self._started_at + self._first_health_s()
        self._status_due_at = float("inf")

    @property
    def alive(self) -> bool:
        """Whether the thread of the publisher makes progress."""
        return self._publisher.alive

    def start(self) -> None:
        """Connect in the background, and publish info and state."""
        log.info("%s", self.description())
        self._publisher.start()
        self.info()
        self.state(self._clock())

    def check(self) -> None:
        """Raise what makes it pointless to go on.

        Raises:
            EdgeError: the broker refused the first connection, or the publisher failed.
        """
        if self._publisher.problem is not None:
            raise self._publisher.problem

    def ready(self, now: float) -> None:
        """Show the status line from now on, since the start is over; now in s, monotonic."""
        self._since_status, self._status_due_at = FrameMetrics(now), now + STATUS_EVERY_S

    def step(self, now: float) -> None:
        """Publish what is due; now in s, monotonic."""
        if self._publisher.rejected != self._rejected:
            self.info()
        if now >= self._status_due_at:
            self._show_status(now)
        if now >= self._health_due_at:
            self._publish_health(now)
        if self._page.state_due(now):
            self._show_device(now)

    def frame(self, frame: Frame, faces: Sequence[Face], started: float, finished: float) -> None:
        """Count a processed frame and show it in the preview; times in monotonic s."""
        self._page.frame(frame, faces, self._expressions.shown, self._since_health.fps(started))
        for metrics in (self._since_health, self._since_status):
            metrics.frame(frame.captured_at, started, finished)

    def changes(self, changes: Sequence[Change]) -> None:
        """Publish, log and show an event for each change."""
        self._page.changes(changes)
        for change in changes:
            self._seq += 1
            payload = payloads.event(
                change, run=self._run, seq=self._seq, clock=self._wall_clock, model=self._expressions.model
            )
            self._publisher.event(payload, change.since)
            fields = {key.upper(): payload[key] for key in ("track", "expression", "previous", "confidence")}
            log.info(
                "face %d: %s %s (%.2f)",
                change.track_id,
                change.kind,
                change.expression or change.previous,
                change.confidence,
                extra=journal.fields(journal.CHANGED, **fields),
            )

    def state_due(self, now: float) -> bool:
        """Whether a face is in view and the last state is older than its interval; now in s, monotonic."""
        return bool(self._expressions.shown()) and now - self._state_at >= self._settings.mqtt.state_interval_s

    def state(self, now: float) -> None:
        """Publish what is shown; now in s, monotonic."""
        self._state_at = now
        shown, clock = self._expressions.shown(), self._wall_clock
        self._page.shown(shown, paused=self._pipeline.paused)
        self._publisher.state(payloads.state(shown, at=now, clock=clock, paused=self._pipeline.paused))
        shadow = self._expressions.shadow
        if shadow.id is not None:
            models = shadow.id, self._expressions.model
            self._publisher.shadow_state(
                payloads.shadow_state(shadow.shown(), shown, models=models, at=now, clock=clock)
            )

    def info(self) -> None:
        """Publish what runs on this device, and announce it to Home Assistant."""
        self._page.hasten()
        bundle, shadow = self._pipeline.bundle, self._expressions.shadow
        self._rejected = self._publisher.rejected
        values = payloads.Info(
            device=self._settings.device_name,
            versions=library_versions(),
            model_id=bundle.id,
            model_name=bundle.id,
            metrics=bundle.metrics,
            camera=self._pipeline.camera.name,
            labels=bundle.labels,
            problem="; ".join(filter(None, (self._problem, self._rejected))) or None,
            shadow=shadow.id,
            shadow_problem=shadow.problem,
            baseline=self._pipeline.baseline_measured,
        )
        self._publisher.info(payloads.info(values))
        mqtt, absent = self._settings.mqtt, () if bundle.supports_baseline else home_assistant.CALIBRATION
        self._publisher.discovery(
            home_assistant.discovery(values.device, mqtt.base, values, mqtt.health_interval_s, absent=absent)
        )

    def reply(self, asked: Request | Refusal, *, problem: str = "", message: str = "") -> None:
        """Reply to a command.

        Args:
            asked: the command.
            problem: one line on why it failed; empty: it succeeded.
            message: one line on what was done.
        """
        if isinstance(asked, Request):
            log.info("command %s: %s", asked.name, problem or message)
        answer = commands.reply(asked, at=self._clock(), clock=self._wall_clock, problem=problem, message=message)
        self._publisher.reply(asked.name, answer)
        self._page.reply(asked.name, ok=bool(answer["ok"]), message=str(answer["message"]))

    def refused(self, reason: str) -> None:
        """Log and publish why a reload was refused, in one line."""
        log.warning("reload refused, nothing has changed: %s", reason, extra=journal.fields(journal.REFUSED))
        self._problem = reason
        self.info()

    def publisher_for(self, settings: Settings) -> Publisher:
        """The publisher for new settings: the one in use if it serves them, else a new one, not started yet.

        The settings of the page are checked, too, since this is the last step that can refuse new settings.

        Raises:
            ConfigError: they are not usable.
        """
        self._page.check(settings.preview)
        if self._publisher.serves(settings.mqtt, settings.device_name):
            return self._publisher
        return Publisher(settings.mqtt, settings.device_name, self._inbox)

    def uses(self, publisher: Publisher) -> bool:
        """Whether a publisher is the one in use."""
        return publisher is self._publisher

    def adopt(self, settings: Settings, publisher: Publisher) -> None:
        """Switch to new settings and the publisher that `publisher_for` gave. Call it last: it publishes the result."""
        before, self._settings = self._settings, settings
        now = self._clock()
        if not self.uses(publisher):
            log.info("broker or device settings have changed: reconnecting as %r", settings.device_name)
            if (settings.device_name, settings.mqtt.discovery) != (before.device_name, before.mqtt.discovery):
                self._publisher.discovery(None)
            self._publisher.stop()
            self._lost_before += self._publisher.lost + self._publisher.queued
            self._publisher = publisher
            publisher.start()
            self.state(now)
        self._problem = None
        self._page.adopt(settings.preview, settings.device_name)
        self.info()
        self._since_health, self._health_due_at = FrameMetrics(now), now + self._first_health_s()
        log.info("reloaded: %s", self.description(), extra=journal.fields(journal.RELOADED))

    def date(self, at: float) -> str:
        """A time in monotonic s as payloads show it: RFC 3339, UTC."""
        return self._wall_clock.date(at)

    def description(self) -> str:
        """Camera, mesh, device and model in one line."""
        camera, mesh, device = self._pipeline.camera.name, self._settings.mesh.backend, self._settings.device_name
        shadow = "" if self._expressions.shadow.id is None else f", shadow {self._expressions.shadow.id}"
        measured = self._pipeline.baseline_measured
        baseline = "" if measured is None else f", neutral baseline of {measured}"
        return f"{camera} on {mesh}, device {device!r}, model {self._pipeline.bundle.id}{baseline}{shadow}"

    def stop(self) -> None:
        """Deliver what waits, publish `offline`, disconnect."""
        self._publisher.stop()

    def _first_health_s(self) -> float:
        return min(FIRST_HEALTH_S, self._settings.mqtt.health_interval_s)

    def _publish_health(self, now: float) -> None:
        self._health_due_at = now + self._settings.mqtt.health_interval_s
        # The wall clock may have been set. Between two healths the offset is kept, so that events stay in order.
        self._wall_clock = self._read_wall_clock()
        values = payloads.Health(
            fps=self._since_health.fps(now),
            target_fps=self._sensors.fps,
            frame_age_ms=self._since_health.ages_ms,
            latency_ms=self._since_health.latencies_ms,
            cpu_temperature_c=self._sensors.temperature_c,
            throttled=self._sensors.throttled,
            under_voltage=self._sensors.under_voltage,
            rss_mb=system.rss_mb() or 0.0,
            dropped=self._pipeline.dropped,
            queued=self._publisher.queued,
            lost_events=self._lost_before + self._publisher.lost,
            uptime_s=now - self._started_at,
            mesh_backend=self._settings.mesh.backend,
            model=self._expressions.model,
            dropped_commands=self._inbox.dropped,
        )
        self._since_health = FrameMetrics(now)
        self._publisher.health(payloads.health(values, at=now, clock=self._wall_clock))
        # Even if nothing has changed: a subscriber can then tell a steady state from a stale one.
        self.state(now)

    def _show_device(self, now: float) -> None:
        state = device_state(
            self._settings,
            self._pipeline,
            self._sensors,
            self._publisher,
            problem=self._problem,
            uptime_s=now - self._started_at,
        )
        self._page.show_state(state, now)

    def _show_status(self, now: float) -> None:
        self._status_due_at = now + STATUS_EVERY_S
        shown = self._expressions.shown()
        waiting = "waiting for the camera" if self._pipeline.waiting else "no face"
        expression = shown[0].expression if shown else "paused" if self._pipeline.paused else waiting
        broker = "broker connected" if self._publisher.connected else "no broker"
        self._systemd.status(f"{self._since_status.fps(now):.1f} fps, {expression}, {broker}")
        self._since_status = FrameMetrics(now)

    def _read_wall_clock(self) -> payloads.WallClock:
        return payloads.WallClock(time.time() - self._clock(), system.clock_synchronised())
