"""The loop: camera -> face mesh -> features -> classifier -> expression -> messages -> MQTT."""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING

from edge.classifier.baseline import Baseline
from edge.classifier.calibration import CALIBRATION_S, Calibration
from edge.daemon import state_directory
from edge.daemon.governor import Governor
from edge.daemon.metrics import Gauges
from edge.daemon.shadow import Shadow
from edge.device import journal, led, system
from edge.device.versions import library_versions
from edge.errors import EdgeError, EndOfStreamError, OutputError
from edge.expression import ExpressionMachine
from edge.messages import commands, home_assistant, payloads
from edge.messages.commands import Request
from edge.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.daemon.pipeline import Pipeline
    from edge.daemon.signals import Requests
    from edge.device.systemd import Systemd
    from edge.messages.commands import Refusal
    from edge.mqtt.inbox import Inbox
    from edge.preview import Preview
    from edge.settings import Settings
    from edge.values import Change, Face, Frame, Reading

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.2
"""How long a silent camera, or a pause, keeps the loop from looking at the clock and at what signals ask."""

SILENT_FRAMES = 2
"""A camera is silent, and no face is seen, when it has missed so many frames; before, the next is only late."""

SENSORS_S = 5.0
"""Between two looks at temperature and throttling: it takes a processor longer to become hot."""

STATUS_S = 1.0
"""Between two lines for `systemctl status`."""

FIRST_HEALTH_S = 5.0
"""From a start or a reload to the first health after it: whoever rolls out a bundle waits for what it says."""


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
        preview: Preview | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together.

        Args:
            settings: of everything.
            pipeline: open; who opened it closes it.
            systemd: who started us, if so.
            load: reads the settings again.
            inbox: where commands arrive.
            preview: a page to look at, if it is wanted; who made it closes it.
            clock: monotonic s, the clock of `Frame.captured_at`.
            wall: Unix time, s.

        Raises:
            ConfigError: the MQTT settings are not usable.
        """
        self._settings = settings
        self._pipeline = pipeline
        self._systemd = systemd
        self._load = load
        self._clock = clock
        self._wall = wall
        self._model, self._labels = pipeline.bundle.id, pipeline.bundle.labels
        self._machine = ExpressionMachine(self._labels, settings.expression)
        self._problem: str | None = None
        self._governor = Governor(settings.camera.fps, settings.load)
        self._inbox = inbox
        self._preview = preview
        self._publisher = Publisher(settings.mqtt, settings.device_name, self._inbox)
        self._lost_before = 0
        self._run = secrets.token_hex(4)
        self._seq = 0
        self._ready = False
        self._due = float("-inf")
        self._started = self._heard_at = self._sensors_at = clock()
        self._status_at = float("inf")
        self._gauges, self._lately = Gauges(self._started), Gauges(self._started)
        self._health_at = self._started + self._first_health_s()
        self._state_at = float("-inf")
        self._wall_clock = self._read_wall_clock()
        self._temperature_c: float | None = None
        self._throttled: bool | None = None
        self._under_voltage: bool | None = None
        self._shadow = Shadow(settings, pipeline.bundle, baseline=pipeline.baseline)
        self._calibration: tuple[Request, Calibration] | None = None
        """The one that is under way, and what its end answers."""

    def run(self, requests: Requests) -> None:
        """Read expressions until a signal asks to stop or the camera has no more frames.

        Whatever ends it, every face gets its `end`, and the broker is told `offline`.

        Raises:
            EdgeError: a finite source is damaged, or the broker refuses us on the first connection.
        """
        log.info("%s", self._description())
        self._publisher.start()
        self._publish_info()
        self._publish_state(self._clock())
        try:
            while not requests.stop:
                if (problem := self._publisher.problem) is not None:
                    raise problem
                if requests.reload:
                    requests.reload = False
                    self._reload()
                while (asked := self._inbox.take()) is not None:
                    self._answer(asked)
                try:
                    self._turn()
                except EndOfStreamError:
                    log.info("%s has ended", self._pipeline.camera.name)
                    self._abandon_calibration(f"{self._pipeline.camera.name} has ended")
                    break
                now = self._clock()
                if now >= self._sensors_at:
                    self._read_sensors(now)
                if now >= self._status_at:
                    self._tell_status(now)
                if now >= self._health_at:
                    self._publish_health(now)
        finally:
            self._close()

    def _turn(self) -> None:
        """Look at the next frame, if it is due and comes soon."""
        camera = self._pipeline.camera
        pause = self._due - self._clock()
        if pause > 0:
            time.sleep(min(pause, READ_TIMEOUT_S))
            well = True
        else:
            frame = camera.read(READ_TIMEOUT_S)
            self._step(frame)
            # Files are played at their own pace, and however slow that is, it is no fault.
            well = frame is not None or not camera.live or self._pipeline.paused
        if self._pipeline.paused:
            self._get_ready(self._clock())
        if well and self._publisher.alive:
            self._systemd.watchdog()

    def _step(self, frame: Frame | None) -> None:
        started = self._clock()
        changed = False
        if frame is not None:
            faces = self._pipeline.find(frame)
            changed = self._see(faces, frame, frame.captured_at)
            self._heard_at = started
            if self._preview is not None and self._preview.wanted:
                self._preview.show(frame, faces, self._machine.shown(), self._gauges.fps(started))
        elif started - self._heard_at >= SILENT_FRAMES / self._governor.fps:
            changed = self._see((), None, started)
        finished = self._clock()
        if frame is not None:
            for gauges in (self._gauges, self._lately):
                gauges.frame(frame.captured_at, started, finished)
            self._plan_next(started)
            self._get_ready(finished)
        due = self._machine.shown() and finished - self._state_at >= self._settings.mqtt.state_interval_s
        if changed or due:
            self._publish_state(finished)

    def _get_ready(self, now: float) -> None:
        """Models and camera have worked, or nobody wants the camera to."""
        if not self._ready:
            self._ready = True
            self._systemd.ready()
            self._lately, self._status_at = Gauges(now), now + STATUS_S

    def _see(self, faces: Sequence[Face], frame: Frame | None, now: float) -> bool:
        """Whether anything has changed at `now`, in s, monotonic; the shadow's turn comes when that is told."""
        readings = [] if frame is None else self._pipeline.read(faces, frame)
        changes = self._machine.step(readings, now)
        for change in changes:
            self._publish_event(change)
        if not self._shadow.step(faces, frame, now):
            self._publish_info()
        if self._calibration is not None:
            seen = None if frame is None else list(zip(faces, readings, strict=True))
            self._calibrate(*self._calibration, seen, now)
        return bool(changes)

    def _plan_next(self, now: float) -> None:
        """Where fewer frames are to be looked at than a live camera gives, the next has to wait for its time."""
        if self._governor.full or not self._pipeline.camera.live:
            self._due = float("-inf")
        else:
            self._due = max(self._due + 1 / self._governor.fps, now)

    def _read_sensors(self, now: float) -> None:
        self._sensors_at = now + SENSORS_S
        self._temperature_c = system.cpu_temperature_c()
        self._throttled, self._under_voltage = system.throttling()
        was_full = self._governor.full
        fps = self._governor.step(now, self._temperature_c, self._throttled)
        if was_full and not self._governor.full:
            why = "slowed down by the firmware" if self._throttled else f"at {self._temperature_c:.0f} degrees Celsius"
            log.warning("the processor is %s: fewer pictures a second are looked at, now %.3g", why, fps)
        elif self._governor.full and not was_full:
            log.info("the processor is cool again: %.3g pictures a second are looked at", fps)

    def _tell_status(self, now: float) -> None:
        self._status_at = now + STATUS_S
        shown = self._machine.shown()
        expression = shown[0].expression if shown else "paused" if self._pipeline.paused else "no face"
        broker = "broker connected" if self._publisher.connected else "no broker"
        self._systemd.status(f"{self._lately.fps(now):.1f} fps, {expression}, {broker}")
        self._lately = Gauges(now)

    def _answer(self, asked: Request | Refusal) -> None:
        """Do what a command asks for, and say what has become of it, now or when that is known."""
        try:
            message = self._obey(asked) if isinstance(asked, Request) else ""
        except EdgeError as error:
            self._reply(asked, problem=" ".join(str(error).split()))
        else:
            if message is not None:
                self._reply(asked, message=message)

    def _reply(self, asked: Request | Refusal, *, problem: str = "", message: str = "") -> None:
        if isinstance(asked, Request):
            log.info("command %s: %s", asked.name, problem or message)
        answer = commands.reply(asked, at=self._clock(), clock=self._wall_clock, problem=problem, message=message)
        self._publisher.reply(asked.name, answer)

    def _obey(self, request: Request) -> str | None:
        """A line on what was done; None: it takes its time, and is answered at its end."""
        if request.name == "identify":
            return f"the light {led.blink()} blinks"
        if request.name == "reload":
            self._reload()
            if self._problem is not None:
                raise EdgeError(self._problem)
            return f"reloaded: {self._description()}"
        if request.name == "calibrate":
            if request.clear:
                self._abandon_calibration("the calibration was cleared")
                return self._count_from(None, "the calibration is forgotten")
            self._begin_calibration(request)
            return None
        paused = request.paused and request.name == "pause"
        if paused != self._pipeline.paused:
            self._pause() if paused else self._pipeline.resume()
            state_directory.keep_paused(paused=paused)
            self._publish_state(self._clock())
        return "paused: the camera is closed" if paused else f"{self._pipeline.camera.name} is open"

    def _begin_calibration(self, request: Request) -> None:
        bundle = self._pipeline.bundle
        if self._calibration is not None:
            raise EdgeError("a calibration is under way: wait for its end")
        if self._pipeline.paused:
            raise EdgeError("the camera is paused: send resume, and calibrate again")
        if not bundle.supports_baseline:
            raise EdgeError(f"model {bundle.id} cannot be told of a neutral face: install a newer one, and reload")
        self._calibration = request, Calibration(bundle.features, self._settings.expression.min_quality)

    def _calibrate(
        self, asked: Request, calibration: Calibration, seen: Sequence[tuple[Face, Reading]] | None, now: float
    ) -> None:
        """The calibration that is under way takes in a frame, with what is seen on it; None: the camera is silent."""
        try:
            landmarks = calibration.step(seen, now)
            if landmarks is None:
                return
            self._calibration = None
            baseline = Baseline.of(landmarks, self._pipeline.bundle.features, self._wall_clock.date(now))
            done = f"calibrated on {len(landmarks)} frames of {CALIBRATION_S:g} s"
            self._reply(asked, message=self._count_from(baseline, done))
        except EdgeError as error:
            self._calibration = None
            self._reply(asked, problem=str(error))

    def _abandon_calibration(self, why: str) -> None:
        if self._calibration is not None:
            asked, self._calibration = self._calibration[0], None
            self._reply(asked, problem=f"{why} before the calibration was over: calibrate again")

    def _count_from(self, baseline: Baseline | None, done: str) -> str:
        """Count from another neutral face, or from none, also over restarts; a line on how far that was done."""
        self._pipeline.set_baseline(baseline)
        self._shadow.set_baseline(baseline)
        self._publish_info()
        try:
            lasting = state_directory.keep_baseline(baseline)
        except OutputError as error:
            raise OutputError(f"{done}, but a restart undoes it, for {error}: make room, and ask again") from error
        return done if lasting or baseline is None else f"{done}, until it is stopped"

    def _pause(self) -> None:
        self._abandon_calibration("the camera was paused")
        self._pipeline.pause()
        self._end_faces()

    def _reload(self) -> None:
        """Take settings and bundle over as they are now; if they are not usable, all goes on as before."""
        self._systemd.reloading()
        try:
            settings = self._load()
            publisher = self._publisher
            if not publisher.serves(settings.mqtt, settings.device_name):
                publisher = Publisher(settings.mqtt, settings.device_name, self._inbox)
            anew = self._pipeline.reload(settings)
        except EdgeError as error:
            reason = " ".join(str(error).split())
            log.warning("reload refused, all goes on as before: %s", reason, extra=journal.fields(journal.REFUSED))
            self._problem = reason
            self._publish_info()
        else:
            self._adopt(settings, publisher, anew=anew)
            log.info("reloaded: %s", self._description(), extra=journal.fields(journal.RELOADED))
        if self._ready:
            self._systemd.ready()

    def _adopt(self, settings: Settings, publisher: Publisher, *, anew: bool) -> None:
        self._abandon_calibration("settings and model were reloaded")
        before, self._settings = self._settings, settings
        labels = self._pipeline.bundle.labels
        rules_differ = settings.expression != before.expression or labels != self._labels
        if anew or rules_differ or publisher is not self._publisher:
            self._end_faces()
        if rules_differ:
            self._machine = ExpressionMachine(labels, settings.expression)
        if (settings.camera.fps, settings.load) != (before.camera.fps, before.load):
            self._governor, self._due = Governor(settings.camera.fps, settings.load), float("-inf")
        if publisher is not self._publisher:
            log.info("other settings for the broker or the device: connecting anew, as %r", settings.device_name)
            if (settings.device_name, settings.mqtt.discovery) != (before.device_name, before.mqtt.discovery):
                self._publisher.discovery(None)
            self._publisher.stop()
            self._lost_before += self._publisher.lost + self._publisher.queued
            self._publisher = publisher
            publisher.start()
            self._publish_state(self._clock())
        self._model, self._labels, self._problem = self._pipeline.bundle.id, labels, None
        self._shadow = Shadow(settings, self._pipeline.bundle, baseline=self._pipeline.baseline, again=True)
        self._publish_info()
        self._gauges = Gauges(self._clock())
        self._health_at = self._clock() + self._first_health_s()

    def _publish_event(self, change: Change) -> None:
        self._seq += 1
        payload = payloads.event(change, run=self._run, seq=self._seq, clock=self._wall_clock, model=self._model)
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

    def _publish_state(self, now: float) -> None:
        self._state_at = now
        shown, clock = self._machine.shown(), self._wall_clock
        if self._preview is not None:
            self._preview.paused = self._pipeline.paused
            self._preview.remember(shown)
        self._publisher.state(payloads.state(shown, at=now, clock=clock, paused=self._pipeline.paused))
        if self._shadow.id is not None:
            models = self._shadow.id, self._model
            self._publisher.shadow_state(
                payloads.shadow_state(self._shadow.shown(), shown, models=models, at=now, clock=clock)
            )

    def _first_health_s(self) -> float:
        return min(FIRST_HEALTH_S, self._settings.mqtt.health_interval_s)

    def _publish_health(self, now: float) -> None:
        self._health_at = now + self._settings.mqtt.health_interval_s
        # The wall clock may have been set meanwhile; events in between keep one offset, so their order holds.
        self._wall_clock = self._read_wall_clock()
        values = payloads.Health(
            fps=self._gauges.fps(now),
            target_fps=self._governor.fps,
            frame_age_ms=self._gauges.ages_ms,
            latency_ms=self._gauges.latencies_ms,
            cpu_temperature_c=self._temperature_c,
            throttled=self._throttled,
            under_voltage=self._under_voltage,
            rss_mb=system.rss_mb() or 0.0,
            dropped=self._pipeline.dropped,
            queued=self._publisher.queued,
            lost_events=self._lost_before + self._publisher.lost,
            uptime_s=now - self._started,
            mesh_backend=self._settings.mesh.backend,
            model=self._model,
            dropped_commands=self._inbox.dropped,
        )
        self._gauges = Gauges(now)
        self._publisher.health(payloads.health(values, at=now, clock=self._wall_clock))
        # Again, though nothing may have changed: who listens can then tell what is old from what holds on.
        self._publish_state(now)

    def _read_wall_clock(self) -> payloads.WallClock:
        return payloads.WallClock(self._wall() - self._clock(), system.clock_synchronised())

    def _publish_info(self) -> None:
        bundle = self._pipeline.bundle
        values = payloads.Info(
            device=self._settings.device_name,
            versions=library_versions(),
            model_id=bundle.id,
            model_name=str(bundle.manifest.get("name", bundle.id)),
            metrics=bundle.metrics,
            camera=self._pipeline.camera.name,
            labels=bundle.labels,
            problem=self._problem,
            shadow=self._shadow.id,
            shadow_problem=self._shadow.problem,
            baseline=self._pipeline.baseline_measured,
        )
        self._publisher.info(payloads.info(values))
        mqtt, absent = self._settings.mqtt, () if bundle.supports_baseline else home_assistant.CALIBRATION
        self._publisher.discovery(
            home_assistant.discovery(values.device, mqtt.base, values, mqtt.health_interval_s, absent=absent)
        )

    def _description(self) -> str:
        camera, mesh, device = self._pipeline.camera.name, self._settings.mesh.backend, self._settings.device_name
        shadow = "" if self._shadow.id is None else f", shadow {self._shadow.id}"
        person = "" if self._pipeline.baseline_measured is None else f", calibrated {self._pipeline.baseline_measured}"
        return f"{camera} on {mesh}, device {device!r}, model {self._pipeline.bundle.id}{person}{shadow}"

    def _end_faces(self) -> None:
        now = self._clock()
        for change in self._machine.close(now):
            self._publish_event(change)
        self._shadow.close(now)
        self._publish_state(now)

    def _close(self) -> None:
        self._systemd.stopping()
        self._abandon_calibration("it was stopped")
        self._end_faces()
        self._publisher.stop()
        self._shadow.stop()
