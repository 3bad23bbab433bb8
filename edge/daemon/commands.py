"""Obeys MQTT commands (pause, resume, calibrate, reload, identify) and SIGHUP, which is a reload, too."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edge.classifier.baseline import Baseline
from edge.classifier.calibration import CALIBRATION_S, Calibration
from edge.daemon import state_directory
from edge.device import led
from edge.errors import EdgeError, OutputError
from edge.messages.commands import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.daemon.expressions import Expressions
    from edge.daemon.page import Page
    from edge.daemon.pipeline import Pipeline
    from edge.daemon.reporter import Reporter
    from edge.daemon.sensors import Sensors
    from edge.device.systemd import Systemd
    from edge.mqtt.inbox import Inbox
    from edge.settings import Settings
    from edge.values import Face, Reading

log = logging.getLogger(__name__)


class Commands:
    """Carries out each command and replies to it."""

    def __init__(
        self,
        pipeline: Pipeline,
        expressions: Expressions,
        sensors: Sensors,
        reporter: Reporter,
        *,
        settings: Settings,
        load: Callable[[], Settings],
        systemd: Systemd,
        inbox: Inbox,
        page: Page,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts that commands act on.

        Args:
            pipeline: to pause, to calibrate, to reload.
            expressions: to close, to calibrate, to reload.
            sensors: to reload.
            reporter: sends the replies; to reload.
            settings: in use.
            load: reads the settings again.
            systemd: hears about reloads.
            inbox: holds the commands that have arrived.
            page: holds the aim that a viewer has asked for, and shows what comes of it.
            clock: monotonic s.
        """
        self._load = load
        self._settings = settings
        self._pipeline = pipeline
        self._expressions = expressions
        self._sensors = sensors
        self._reporter = reporter
        self._systemd = systemd
        self._inbox = inbox
        self._page = page
        self._clock = clock
        self._calibration: tuple[Request, Calibration] | None = None
        """The one in progress, and the command to reply to at its end."""

    def step(self) -> None:
        """Carry out the commands that have arrived since the last step."""
        while (asked := self._inbox.take()) is not None:
            try:
                message = self._obey(asked) if isinstance(asked, Request) else ""
            except EdgeError as error:
                self._reporter.reply(asked, problem=" ".join(str(error).split()))
            else:
                if message is not None:
                    self._reporter.reply(asked, message=message)
        if (aim := self._page.take_aim()) is not None:
            self._take_aim(*aim)

    def reload(self) -> str:
        """Switch to settings and bundle as they are now. If they are not usable, those in use stay.

        Returns:
            One line on why they are not usable; empty: they are in use now.
        """
        self._systemd.reloading()
        problem = ""
        try:
            settings = self._load()
            publisher = self._reporter.publisher_for(settings)
            anew = self._pipeline.reload(settings)
        except EdgeError as error:
            problem = " ".join(str(error).split())
            self._reporter.refused(problem)
        else:
            self.cancel_calibration("settings and model were reloaded")
            if (
                anew
                or not self._reporter.uses(publisher)
                or not self._expressions.keeps_faces(settings, self._pipeline)
            ):
                self._end_faces()
            self._settings = settings
            self._expressions.adopt(settings, self._pipeline)
            self._sensors.adopt(settings)
            self._reporter.adopt(settings, publisher)
        self._systemd.reloaded()
        return problem

    def calibrate(self, seen: Sequence[tuple[Face, Reading]] | None, now: float) -> None:
        """Hand a frame to the calibration in progress, if there is one.

        Args:
            seen: faces of the frame, each with its reading; None: the camera is silent.
            now: s, monotonic.
        """
        if self._calibration is None:
            return
        asked, calibration = self._calibration
        try:
            landmarks = calibration.step(seen, now)
            if landmarks is None:
                return
            self._end_calibration()
            baseline = Baseline.of(landmarks, self._pipeline.bundle.features, self._reporter.date(now))
            done = f"measured the neutral baseline on {len(landmarks)} frames in {CALIBRATION_S:g} s"
            self._reporter.reply(asked, message=self._use_baseline(baseline, done))
        except EdgeError as error:
            self._end_calibration()
            self._reporter.reply(asked, problem=str(error))

    def cancel_calibration(self, why: str) -> None:
        """Cancel the calibration in progress, if there is one, and reply why."""
        if self._calibration is not None:
            asked = self._calibration[0]
            self._end_calibration()
            self._reporter.reply(asked, problem=f"{why} before the calibration finished: calibrate again")

    def _obey(self, request: Request) -> str | None:
        """Carry out one command. Return a line on what was done; None: the reply follows when it has finished."""
        match request.name:
            case "identify":
                return f"LED {led.blink()} is blinking"
            case "reload":
                if problem := self.reload():
                    raise EdgeError(problem)
                return f"reloaded: {self._reporter.description()}"
            case "calibrate" if request.clear:
                self.cancel_calibration("the neutral baseline was cleared")
                return self._use_baseline(None, "cleared the neutral baseline")
            case "calibrate":
                self._begin_calibration(request)
                return None
        return self._pause(paused=request.paused and request.name == "pause")

    def _pause(self, *, paused: bool) -> str:
        if paused != self._pipeline.paused:
            if paused:
                self.cancel_calibration("the camera was paused")
                self._pipeline.pause()
                self._end_faces()
            else:
                self._pipeline.resume()
            state_directory.save_paused(paused=paused)
            self._reporter.state(self._clock())
        return "paused: the camera is closed" if paused else f"resumed: {self._pipeline.camera.name} is open"

    def _begin_calibration(self, request: Request) -> None:
        bundle = self._pipeline.bundle
        if self._calibration is not None:
            raise EdgeError("a calibration is already in progress: wait until it has finished")
        if self._pipeline.paused:
            raise EdgeError("the camera is paused: send resume, then calibrate again")
        if not bundle.supports_baseline:
            raise EdgeError(f"model {bundle.id} does not support a neutral baseline: install a newer one, then reload")
        self._calibration = request, Calibration(bundle.features, self._settings.expression.min_quality)
        self._page.calibrating(running=True)

    def _end_calibration(self) -> None:
        self._calibration = None
        self._page.calibrating(running=False)

    def _take_aim(self, rotation: int, flip: str) -> None:
        """Turn and mirror the picture as a viewer of the page asks."""
        try:
            self._pipeline.set_aim(rotation, flip)
        except EdgeError as error:
            message, ok = " ".join(str(error).split()), False
        else:
            self.cancel_calibration("the camera was turned")
            self._end_faces()
            message, ok = f"rotation {rotation}, flip {flip}, until the next reload or restart", True
        log.info("aim: %s", message)
        self._page.reply("aim", ok=ok, message=message)

    def _use_baseline(self, baseline: Baseline | None, done: str) -> str:
        """Use another neutral baseline, or none, now and after a restart. Return a line on what was done."""
        self._pipeline.set_baseline(baseline)
        self._expressions.shadow.set_baseline(baseline)
        self._reporter.info()
        try:
            saved = state_directory.save_baseline(baseline)
        except OutputError as error:
            raise OutputError(
                f"{done}, but only until the next restart: {error}; free some space and try again"
            ) from error
        return done if saved or baseline is None else f"{done}, for this run only"

    def _end_faces(self) -> None:
        now = self._clock()
        self._reporter.changes(self._expressions.close(now))
        self._reporter.state(now)
