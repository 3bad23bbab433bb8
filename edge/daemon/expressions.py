"""The expressions of the faces in view, read by the bundle in use and by its shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.daemon.shadow import Shadow
from edge.expression import ExpressionMachine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.daemon.pipeline import Pipeline
    from edge.settings import Settings
    from edge.values import Change, Reading, Shown


class Expressions:
    """Owns the expression machine of the bundle in use, and the shadow."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        """No face is in view.

        Args:
            settings: of expression and shadow.
            pipeline: provides bundle, shadow and baseline.
        """
        self._rules = settings.expression, pipeline.bundle.labels
        self._machine = self._new_machine()
        self.model = pipeline.bundle.id
        """Id of the bundle whose readings decide."""
        self.shadow = Shadow(settings, pipeline.installation, pipeline.bundle, baseline=pipeline.baseline)

    def step(self, readings: Sequence[Reading], now: float, *, still: bool = False) -> list[Change]:
        """Take in the readings of one frame; see `ExpressionMachine.step`. The shadow has a step of its own."""
        return self._machine.step(readings, now, still=still)

    def shown(self) -> tuple[Shown, ...]:
        """Faces as they are shown now, the largest first."""
        return self._machine.shown()

    def close(self, now: float) -> list[Change]:
        """End every face at once, also those of the shadow; now in s, monotonic."""
        self.shadow.close(now)
        return self._machine.close(now)

    def keeps_faces(self, settings: Settings, pipeline: Pipeline) -> bool:
        """Whether the faces in view can continue with new settings and the bundle now in the pipeline."""
        return self._rules == (settings.expression, pipeline.bundle.labels)

    def adopt(self, settings: Settings, pipeline: Pipeline) -> None:
        """Switch to new settings and the bundle now in the pipeline. Close first where `keeps_faces` is false."""
        if not self.keeps_faces(settings, pipeline):
            self._rules = settings.expression, pipeline.bundle.labels
            self._machine = self._new_machine()
        self.model = pipeline.bundle.id
        self.shadow = Shadow(settings, pipeline.installation, pipeline.bundle, baseline=pipeline.baseline, again=True)

    def _new_machine(self) -> ExpressionMachine:
        rules, labels = self._rules
        return ExpressionMachine(labels, rules)
