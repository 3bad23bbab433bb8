"""Shadow mode: a second bundle reads the same faces as the one in use, and nothing acts on what it says.

What Python can tell of its faults ends the shadow and nothing else. An interpreter that crashes, hangs or takes all
memory takes the program with it; so the service notes while a shadow runs, and the next run after such an end leaves
it out.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
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
"""File, in the folder of `kept`, that is there while a shadow runs."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another after each start of the machine (random(4)): what a power cut ended is nobody's fault."""


class Shadow:
    """The second bundle, if the settings lead to one."""

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
            settings: of camera and expression; its faces follow the same rules as all others.
            installation: leads to it, see `Installation.shadow_of`.
            in_use: the bundle beside which it runs.
            baseline: the neutral face that this one has been told of, too.
            again: try it even if the last run ended unexpectedly with it.
        """
        self.id: str | None = None
        """Of its bundle; None: there is no shadow."""
        self.problem: str | None = None
        """One line on why there is none, although there should be."""
        self._bundle: Bundle | None = None
        try:
            self._begin(settings, installation, in_use, again=again)
            self.set_baseline(baseline)
        except Exception as error:  # noqa: BLE001  it acts on nothing, so it must not stop anything either
            self._end(error)

    def step(self, faces: Sequence[Face], frame: Frame | None, now: float) -> bool:
        """Read the faces that the bundle in use has just read.

        Args:
            faces: as the mesh found them; none where no frame came.
            frame: where it found them.
            now: s, monotonic; see `ExpressionMachine.step`.

        Returns:
            False: this has ended the shadow.
        """
        if self._bundle is None:
            return True
        try:
            readings = [] if frame is None else self._bundle.classifier.read(faces, frame.rgb)
            self._machine.step(readings, now)
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
        """What it would show now, the largest face first."""
        return () if self._bundle is None else self._machine.shown()

    def stop(self) -> None:
        """Note that it ended as it should."""
        if (home := state_directory.folder()) is not None:
            with contextlib.suppress(OSError):
                (home / RUNNING).unlink(missing_ok=True)

    def _begin(self, settings: Settings, installation: Installation, in_use: Bundle, *, again: bool) -> None:
        folder, home = installation.shadow_of(in_use), state_directory.folder()
        if folder is None:
            self.stop()
            return
        if home is not None:
            note = f"{BOOT_ID.read_text('ascii').strip()} {folder}\n"
            if not again and (home / RUNNING).exists() and (home / RUNNING).read_text("utf-8") == note:
                raise UnavailableError(
                    f"the program ended unexpectedly while {folder} was the shadow; a reload tries it again"
                )
            files.write_text(home / RUNNING, note)
        bundle = installation.load_shadow(folder, recording=settings.camera.is_recording)
        self._machine = ExpressionMachine(bundle.labels, settings.expression)
        self.id, self._bundle = bundle.id, bundle

    def _end(self, error: Exception) -> None:
        self.id = self._bundle = None
        self.problem = " ".join(str(error).split()) or type(error).__name__
        log.warning("there is no shadow: %s", self.problem)
