"""The sensors are read every few seconds and limit the frame rate; they may be missing."""

from __future__ import annotations

import functools

import pytest

from edge.daemon.sensors import READ_EVERY_S, Sensors
from edge.device import system
from edge.settings import CameraSettings, LoadSettings, Settings

pytest_plugins = ["tests.support.pi_roots"]

SETTINGS = Settings(camera=CameraSettings(fps=15.0), load=LoadSettings(hot_c=75.0, least_fps=4.0))


@pytest.fixture
def here(monkeypatch):
    """Read the sensors of another root."""

    def move(root) -> None:
        for name in ("cpu_temperature_c", "throttling"):
            monkeypatch.setattr(system, name, functools.partial(getattr(system, name), root=root))

    return move


def test_a_hot_processor_lowers_the_rate_and_a_cool_one_raises_it(pi5, here, caplog):
    here(pi5.root)
    caplog.set_level("INFO")
    sensors = Sensors(SETTINGS)
    pi5.temperature(81)
    sensors.step(100.0)
    assert (sensors.temperature_c, sensors.fps, sensors.full_rate) == (81, 12, False)
    pi5.temperature(50)
    sensors.step(200.0)
    assert (sensors.fps, sensors.full_rate) == (15, True)
    assert [record.getMessage() for record in caplog.records] == [
        "the processor is at 81 °C: lowering the frame rate to 12 fps",
        "the processor has cooled down: back to 15 fps",
    ]


def test_throttling_by_the_firmware_is_named(pi5, here, caplog):
    here(pi5.root)
    pi5.firmware.flags = system.THROTTLED | system.UNDER_VOLTAGE
    sensors = Sensors(SETTINGS)
    sensors.step(100.0)
    assert (sensors.throttled, sensors.under_voltage) == (True, True)
    assert "the processor is throttled by the firmware" in caplog.text


def test_they_are_read_at_once_and_then_periodically(pi5, here):
    here(pi5.root)
    pi5.temperature(50)
    sensors = Sensors(SETTINGS)
    sensors.step(100.0)
    pi5.temperature(60)
    sensors.step(100.0 + READ_EVERY_S - 0.1)
    assert sensors.temperature_c == 50
    sensors.step(100.0 + READ_EVERY_S)
    assert sensors.temperature_c == 60


def test_without_sensors_the_rate_is_full(tmp_path, here):
    here(tmp_path)
    sensors = Sensors(SETTINGS)
    sensors.step(100.0)
    assert (sensors.temperature_c, sensors.throttled, sensors.under_voltage) == (None, None, None)
    assert sensors.full_rate


def test_other_limits_start_at_the_full_rate_and_the_same_ones_change_nothing(pi5, here):
    here(pi5.root)
    pi5.temperature(81)
    sensors = Sensors(SETTINGS)
    sensors.step(100.0)
    sensors.adopt(SETTINGS)
    assert sensors.fps == 12
    sensors.adopt(Settings(camera=CameraSettings(fps=10.0), load=SETTINGS.load))
    assert sensors.fps == 10
