"""The activity LED blinks and returns to its previous trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.device import led
from edge.errors import PermissionRefusedError, UnavailableError
from tests.support.broker import until

if TYPE_CHECKING:
    from pathlib import Path


def new_led(folder: Path, name: str) -> Path:
    one = folder / name
    one.mkdir(parents=True)
    (one / "trigger").write_text("none rfkill-any [mmc0] default-on\n")
    (one / "brightness").write_text("0")
    return one


@pytest.mark.parametrize("name", ["ACT", "led0"])
def test_the_led_blinks_and_its_trigger_is_restored(tmp_path, monkeypatch, name):
    monkeypatch.setattr(led, "BLINK_S", 0.01)
    folder = new_led(tmp_path, name)
    assert led.blink(tmp_path) == name
    until(lambda: (folder / "trigger").read_text() == "mmc0", "the trigger is restored")


def test_a_missing_led_is_an_error(tmp_path):
    with pytest.raises(UnavailableError, match="no LED"):
        led.blink(tmp_path)
    folder = new_led(tmp_path, "ACT")
    (folder / "trigger").unlink()
    (folder / "trigger").mkdir()
    with pytest.raises(PermissionRefusedError, match="can't be controlled"):
        led.blink(tmp_path)
