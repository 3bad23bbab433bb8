"""The activity LED of the board, which blinks to show a person which device is meant."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from typing import Final

from edge.errors import PermissionRefusedError, UnavailableError

LEDS: Final = Path("/sys/class/leds")
"""Folder of the kernel with a folder for each LED, with its files `trigger` and `brightness` (leds-class.rst)."""
NAMES: Final = ("ACT", "led0")
"""Names of the activity LED in the kernel of Raspberry Pi OS: the one of today, and the one until 2022."""
BLINKS: Final = 20
"""Number of changes between on and off."""
BLINK_S: Final = 0.25
"""Time between two changes."""


def blink(leds: Path = LEDS) -> str:
    """Let the activity LED blink for five seconds, in a thread of its own, then give it back to the kernel.

    Returns:
        The name of the LED.

    Raises:
        UnavailableError: this board has none.
        PermissionRefusedError: this user may not control it.
    """
    for name in NAMES:
        led = leds / name
        if (led / "trigger").exists():
            before = _take(led)
            threading.Thread(target=_blink, args=(led, before), name="led", daemon=True).start()
            return name
    raise UnavailableError("this board has no LED to blink")


def _take(led: Path) -> str:
    """Take an LED from the kernel. Return what triggered it before."""
    try:
        active = re.search(r"\[(.+?)\]", (led / "trigger").read_text())
        (led / "trigger").write_text("none")
    except OSError as error:
        raise PermissionRefusedError(f"LED {led.name} can't be controlled ({error.strerror})") from error
    return active[1] if active else "none"


def _blink(led: Path, before: str) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):  # unplugged
        for number in range(BLINKS):
            (led / "brightness").write_text("1" if number % 2 == 0 else "0")
            pause.wait(BLINK_S)
    with contextlib.suppress(OSError):
        (led / "trigger").write_text(before)
