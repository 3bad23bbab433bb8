"""The activity light of the board, which blinks so that a person sees which device is meant."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from typing import Final

from edge.errors import PermissionRefusedError, UnavailableError

LIGHTS: Final = Path("/sys/class/leds")
NAMES: Final = ("ACT", "led0")
"""As the kernel of Raspberry Pi OS calls it, and as it did until 2022."""
BLINKS: Final = 20
BLINK_S: Final = 0.25
"""On, and off again, so long each: ten seconds in all."""


class Light:
    """One light, and what it showed before."""

    def __init__(self, folder: Path) -> None:
        """Look at it.

        Args:
            folder: of the light, with its files `trigger` and `brightness` (the kernel's leds-class.rst).

        Raises:
            PermissionRefusedError: this user may not change it.
        """
        self._folder = folder
        try:
            shown = re.search(r"\[(.+?)\]", (folder / "trigger").read_text())
            self._before = shown.group(1) if shown else "none"
            (folder / "trigger").write_text("none")
        except OSError as error:
            raise PermissionRefusedError(f"the light {folder.name} cannot be changed ({error.strerror})") from error

    def blink(self) -> None:
        """Blink, then let it show again what it showed; all of it in a thread of its own."""
        threading.Thread(target=self._blink, name="light", daemon=True).start()

    def _blink(self) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):  # unplugged meanwhile: there is nothing left to put right
            for number in range(BLINKS):
                (self._folder / "brightness").write_text("1" if number % 2 == 0 else "0")
                pause.wait(BLINK_S)
        with contextlib.suppress(OSError):
            (self._folder / "trigger").write_text(self._before)


def blink(lights: Path = LIGHTS) -> str:
    """Let the board's light blink for some seconds; its name.

    Raises:
        UnavailableError: there is none.
        PermissionRefusedError: this user may not change it.
    """
    for name in NAMES:
        if (lights / name / "trigger").exists():
            Light(lights / name).blink()
            return name
    raise UnavailableError("this board has no light that can blink")
