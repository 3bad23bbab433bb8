"""State of the machine, read from files as on a Raspberry Pi."""

from __future__ import annotations

import fcntl
import subprocess
import time
from pathlib import Path

import pytest

from edge.device import system

pytest_plugins = ["tests.support.pi_roots"]


def test_temperature_is_in_degrees(pi4, pi5):
    pi5.temperature(61.25)
    assert system.cpu_temperature_c(pi4.root) == 48.312
    assert system.cpu_temperature_c(pi5.root) == 61.25


def test_missing_values_are_unknown(tmp_path):
    assert system.cpu_temperature_c(tmp_path) is None
    assert system.firmware_flags(tmp_path) is None
    assert system.throttling(tmp_path) == (None, None)
    assert system.board(tmp_path) == ""
    assert system.rss_mb(root=tmp_path) is None


def test_the_board_has_a_name(pi4):
    assert system.board(pi4.root) == "Raspberry Pi 4 Model B Rev 1.5"


FLAGS = [
    # The example in the documentation: under-voltage and throttled, now and in the past.
    (0x50005, (True, True)),
    (0x50000, (False, False)),
    (0x1, (False, True)),
    (0x2, (True, False)),
    (0xE0008, (False, False)),
    (0x0, (False, False)),
]


@pytest.mark.parametrize(("flags", "expected"), FLAGS)
def test_present_and_past_throttling_are_distinguished(pi5, flags, expected):
    pi5.firmware.flags = flags
    assert system.throttling(pi5.root) == expected
    assert system.firmware_flags(pi5.root) == flags


@pytest.mark.parametrize(("flags", "expected"), FLAGS)
@pytest.mark.parametrize("soc", ["soc", "soc@107c000000"])
def test_without_access_to_the_firmware_an_older_kernel_is_used(pi4, soc, flags, expected):
    pi4.no_firmware()
    (pi4.root / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    pi4.write(f"sys/devices/platform/{soc}/{soc}:firmware/get_throttled", f"{flags:x}\n")
    assert system.throttling(pi4.root) == expected
    # The kernel forgets the past within two seconds, so the time since the boot is unknown.
    assert system.firmware_flags(pi4.root) is None


@pytest.mark.parametrize(("alarm", "low"), [("0", False), ("1", True), ("nonsense", None)])
def test_a_newer_kernel_reports_the_voltage(pi5, alarm, low):
    pi5.no_firmware()
    pi5.alarm(alarm)
    assert system.throttling(pi5.root) == (None, low)


def test_a_voltage_dip_that_only_the_kernel_detected_counts(pi5):
    pi5.alarm("1")
    assert system.throttling(pi5.root) == (False, True)


def test_the_firmware_is_queried_through_the_device_with_the_fewest_rights(pi4, pi5):
    system.throttling(pi4.root)
    system.throttling(pi5.root)
    assert pi4.firmware.requests == ["vcio", "vcio_gencmd"]


def test_the_older_device_is_used_if_the_newer_one_refuses(pi5, monkeypatch):
    def refuse_newer(device, *rest):
        if Path(f"/proc/self/fd/{device}").readlink().name == "vcio_gencmd":
            raise PermissionError
        return pi5.firmware(device, *rest)

    monkeypatch.setattr(fcntl, "ioctl", refuse_newer)
    pi5.firmware.flags = 0x50005
    assert system.throttling(pi5.root) == (True, True)


@pytest.mark.parametrize("text", ["", "nonsense", "0x"])
def test_invalid_values_are_unknown(pi4, text):
    pi4.no_firmware()
    pi4.alarm(text)
    pi4.write("sys/devices/platform/soc/soc:firmware/get_throttled", text)
    pi4.write("sys/class/thermal/thermal_zone0/temp", text)
    assert system.throttling(pi4.root) == (None, None)
    assert system.cpu_temperature_c(pi4.root) is None


def test_other_files_in_place_of_the_devices_are_ignored(tmp_path):
    for name in system.FIRMWARE_DEVICES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert system.firmware_flags(tmp_path) is None


def test_an_unknown_query_has_no_answer(pi5):
    assert system._ask_firmware("get_weather", pi5.root) is None


def test_a_reading_neither_starts_a_process_nor_sleeps(pi4, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a reading started a process"))
    monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("a reading waited"))
    assert system.throttling(pi4.root) == (False, False)
    assert system.cpu_temperature_c(pi4.root) == pytest.approx(48.312)


def test_rss_of_this_process():
    assert 5 < system.rss_mb() < 5000
