"""What MQTT commands and SIGHUP ask for: pause, resume, calibrate, reload, identify."""

from __future__ import annotations

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
    from edge.daemon.pipeline import Pipeline
    from edge.daemon.reporter import Reporter
    from edge.daemon.sensors import Sensors
    from edge.device.systemd import Systemd
    from edge.mqtt.inbox import Inbox
    from edge.settings import Settings
    from edge.values import Face, Reading


class Commands:
    """Does what is asked for, and answers it."""

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing has been asked yet.

        Args:
            pipeline: is paused, told of a baseline, and reloaded.
            expressions: likewise.
            sensors: adopt other settings.
            reporter: answers.
            settings: in use.
            load: reads them again.
            systemd: is told of reloads.
            inbox: where commands arrive.
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
        self._clock = clock
        self._calibration: tuple[Request, Calibration] | None = None
        """The one in progress, and the command that its end answers."""

    def step(self) -> None:
        """Do what has been asked for since the last step."""
        while (asked := self._inbox.take()) is not None:
            try:
                message = self._obey(asked) if isinstance(asked, Request) else ""
            except EdgeError as error:
                self._reporter.reply(asked, problem=" ".join(str(error).split()))
            else:
                if message is not None:
                    self._reporter.reply(asked, message=message)

    def reload(self) -> str:
        """Take over settings and bundle as they are now; if they are not usable, all goes on as before.

        Returns:
            One line on why they are not usable; empty: they are in use.
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
            self.abandon_calibration("settings and model were reloaded")
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
        """Let the calibration in progress, if there is one, take in a frame.

        Args:
            seen: the faces of the frame with their readings; None: the camera is silent.
            now: s, monotonic.
        """
        if self._calibration is None:
            return
        asked, calibration = self._calibration
        try:
            landmarks = calibration.step(seen, now)
            if landmarks is None:
                return
            self._calibration = None
            baseline = Baseline.of(landmarks, self._pipeline.bundle.features, self._reporter.date(now))
            done = f"calibrated on {len(landmarks)} frames of {CALIBRATION_S:g} s"
            self._reporter.reply(asked, message=self._use_baseline(baseline, done))
        except EdgeError as error:
            self._calibration = None
            self._reporter.reply(asked, problem=str(error))

    def abandon_calibration(self, why: str) -> None:
        """Answer the calibration in progress, if there is one, with why it comes to nothing."""
        if self._calibration is not None:
            asked, self._calibration = self._calibration[0], None
            self._reporter.reply(asked, problem=f"{why} before the calibration was over: calibrate again")

    def _obey(self, request: Request) -> str | None:
        """A line on what was done; None: it takes its time, and is answered at its end."""
        match request.name:
            case "identify":
                return f"the light {led.blink()} blinks"
            case "reload":
                if problem := self.reload():
                    raise EdgeError(problem)
                return f"reloaded: {self._reporter.description()}"
            case "calibrate" if request.clear:
                self.abandon_calibration("the calibration was cleared")
                return self._use_baseline(None, "the calibration is forgotten")
            case "calibrate":
                self._begin_calibration(request)
                return None
        return self._pause(paused=request.paused and request.name == "pause")

    def _pause(self, *, paused: bool) -> str:
        if paused != self._pipeline.paused:
            if paused:
                self.abandon_calibration("the camera was paused")
                self._pipeline.pause()
                self._end_faces()
            else:
                self._pipeline.resume()
            state_directory.keep_paused(paused=paused)
            self._reporter.state(self._clock())
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

    def _use_baseline(self, baseline: Baseline | None, done: str) -> str:
        """Read with another neutral baseline, or with none, also after a restart; a line on how far that was done."""
        self._pipeline.set_baseline(baseline)
        self._expressions.shadow.set_baseline(baseline)
        self._reporter.info()
        try:
            lasting = state_directory.keep_baseline(baseline)
        except OutputError as error:
            raise OutputError(f"{done}, but a restart undoes it, for {error}: make room, and ask again") from error
        return done if lasting or baseline is None else f"{done}, until it is stopped"

    def _end_faces(self) -> None:
        now = self._clock()
        self._reporter.changes(self._expressions.close(now))
        self._reporter.state(now)
