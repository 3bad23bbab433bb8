"""Shadow mode: a second bundle reads the same faces as the one in use, and nothing acts on its readings.

An exception ends the shadow and nothing else. An interpreter that crashes, hangs or exhausts the memory takes the
whole program down. So a file marks a running shadow, and after such an end the next start leaves the shadow out.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
from edge.classifier.reader import Reader
from edge.daemon import state_directory
from edge.errors import UnavailableError
from edge.expression import ExpressionMachine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.bundle.bundle import Bundle
    from edge.bundle.locate import Installation
    from edge.classifier.baseline import Baseline
    from edge.settings import Settings
    from edge.values import Face, Frame, Shown

log = logging.getLogger(__name__)

RUNNING = "shadow"
"""File in the state directory that exists while a shadow runs."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""File with an id of this boot (random(4)): an end by a power cut doesn't count against the shadow."""


class Shadow:
    """The second bundle, if one is configured."""

    def __init__(
        self,
        settings: Settings,
        installation: Installation,
        in_use: Bundle,
        *,
        baseline: Baseline | None = None,
        again: bool = False,
    ) -> None:
        """Load the bundle.

        Args:
            settings: of camera and expression, the same as for the bundle in use.
            installation: names the bundle, see `Installation.shadow_of`.
            in_use: the bundle that it runs beside.
            baseline: neutral baseline that both use; None: none.
            again: try it even if the last run crashed with it.
        """
        self.id: str | None = None
        """Id of its bundle; None: no shadow runs."""
        self.problem: str | None = None
        """One line on why no shadow runs although one is configured."""
        self._bundle: Bundle | None = None
        self._reader = Reader()
        try:
            self._begin(settings, installation, in_use, again=again)
            self.set_baseline(baseline)
        except Exception as error:  # noqa: BLE001  a shadow must not stop anything
            self._end(error)

    def step(self, faces: Sequence[Face], frame: Frame | None, now: float) -> bool:
        """Read the faces that the bundle in use has just read.

        Args:
            faces: found by the mesh; none if no frame came.
            frame: the frame with these faces; None: no frame came.
            now: s, monotonic; see `ExpressionMachine.step`.

        Returns:
            False if this ended the shadow.
        """
        if self._bundle is None:
            return True
        try:
            if frame is None:
                self._machine.step([], now)
            else:
                readings = self._reader.read(self._bundle.classifier, faces, frame.rgb)
                self._machine.step(readings, now, still=frame.still)
        except Exception as error:  # noqa: BLE001  likewise
            self._end(error)
            return False
        return True

    def set_baseline(self, baseline: Baseline | None) -> None:
        """See `Pipeline.set_baseline`."""
        if self._bundle is not None:
            self._bundle = self._bundle.with_baseline(baseline)

    def close(self, now: float) -> None:
        """End every face at once; now in s, monotonic."""
        if self._bundle is not None:
            self._machine.close(now)

    def shown(self) -> tuple[Shown, ...]:
        """Faces as the shadow would show them now, the largest first."""
        return () if self._bundle is None else self._machine.shown()

    def stop(self) -> None:
        """Remove the mark of a running shadow: it ended as it should."""
        if (directory := state_directory.path()) is not None:
            with contextlib.suppress(OSError):
                (directory / RUNNING).unlink(missing_ok=True)

    def _begin(self, settings: Settings, installation: Installation, in_use: Bundle, *, again: bool) -> None:
        folder, directory = installation.shadow_of(in_use), state_directory.path()
        if folder is None:
            self.stop()
            return
        if directory is not None:
            mark = f"{BOOT_ID.read_text('ascii').strip()} {folder}\n"
            if not again and (directory / RUNNING).exists() and (directory / RUNNING).read_text("utf-8") == mark:
                raise UnavailableError(
                    f"the program ended unexpectedly while {folder} was the shadow; reload to try it again"
                )
            files.write_text(directory / RUNNING, mark)
        bundle = installation.load_shadow(folder, recording=settings.camera.is_recording)
        self._machine = ExpressionMachine(bundle.labels, settings.expression)
        self.id, self._bundle = bundle.id, bundle

    def _end(self, error: Exception) -> None:
        self.id = self._bundle = None
        self.problem = " ".join(str(error).split()) or type(error).__name__
        log.warning("no shadow runs: %s", self.problem)
