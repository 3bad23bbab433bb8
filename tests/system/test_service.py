"""The service on a real systemd, with a real camera library and a real broker, in normal operation and with faults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import Listener, retained, until
from tests.system.device import SETTINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.device import Device

FRAMES = int(os.environ.get("EMOTION_EDGE_FRAMES", "2000"))
"""Number of frames for the test of memory growth; an hour at 15 frames/s has 54000."""
WARM_UP = 600
"""Number of frames after which every part has processed the whole demo."""

TIMEOUT_S = 60.0
"""Time for what takes seconds on an idle machine, s."""

SILENT, CLOSE_HANGS = "/run/camera-is-silent", "/run/camera-close-hangs"
MESH_HANGS, PUBLISHER_HANGS = "/run/mesh-hangs", "/run/publisher-hangs"
FAULTS = (SILENT, CLOSE_HANGS, MESH_HANGS, PUBLISHER_HANGS)
"""Files that make a part hang while they exist."""


@pytest.fixture(scope="module")
def with_faults(installed: Device) -> Device:
    """The installed product with fault injection."""
    packages = installed.python("import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    installed.container.push(Path(__file__).with_name("faults.py"), f"{packages}/faults.py")
    installed.write(f"{packages}/faults.pth", "import faults\n")
    return installed


@pytest.fixture
def service(with_faults: Device) -> Iterator[Device]:
    """The service, freshly started."""
    device = with_faults
    if device.broker.process is None:
        device.broker.start()
    device.run("rm", "-f", *FAULTS)
    device.set()
    device.drop_in("")
    device.run("systemctl", "reset-failed", UNIT, check=False)
    device.mark()
    device.run("systemctl", "restart", UNIT)
    yield device
    device.run("rm", "-f", *FAULTS)
    device.run("systemctl", "stop", UNIT)


@pytest.fixture
def listener(service: Device) -> Iterator[Listener]:
    with Listener(service.broker.port) as listener:
        yield listener


def next_event(listener: Listener) -> None:
    """Wait for the next event; the demo causes one every few seconds."""
    before = len(listener.payloads("event"))
    until(lambda: len(listener.payloads("event")) > before, "another event arrives")


def set_watchdog(service: Device, seconds: int) -> None:
    """Shorten the time-out of the watchdog."""
    service.drop_in(f"WatchdogSec={seconds}")
    service.run("systemctl", "restart", UNIT)
    service.mark()


def watchdog_fired(service: Device) -> bool:
    return any("Watchdog timeout" in line for line in service.journal())


def test_a_start_is_complete_when_camera_and_models_work(service: Device):
    service.run("systemctl", "stop", UNIT)
    service.run("systemctl", "start", UNIT)
    assert service.is_ready()


def test_the_status_line_shows_rate_and_broker(service: Device):
    until(lambda: "fps" in service.show("StatusText"), "the status shows the rate")
    until(lambda: service.show("StatusText").endswith("broker connected"), "the status shows the broker")


def test_events_arrive_at_the_broker(service: Device, listener: Listener):
    next_event(listener)
    now = retained(service.broker.port)
    assert now["availability"] == "online"
    assert now["info"]["camera"] == "picamera2:0"
    assert {event["expression"] for event in listener.payloads("event")} <= {*now["info"]["labels"], "uncertain", None}


def test_the_journal_has_changes_with_fields(service: Device, listener: Listener):
    next_event(listener)
    entries = service.journal("--output=verbose", "MESSAGE_ID=3cba47f0229c4213af24a836b5c56602")
    assert any("EXPRESSION=" in entry for entry in entries)
    assert any("TRACK=" in entry for entry in entries)


def test_events_continue_after_the_broker_was_away(service: Device, listener: Listener):
    next_event(listener)
    pid = service.show("MainPID")
    service.broker.kill()
    until(lambda: service.show("StatusText").endswith("no broker"), "the lost connection is detected")
    service.broker.start()
    until(lambda: listener.subscribed, "the listener has reconnected", TIMEOUT_S)
    next_event(listener)
    assert service.show("MainPID") == pid


def test_it_restarts_when_killed(service: Device):
    pid = service.show("MainPID")
    # The pause before the start is systemd's; how long the start takes depends on the machine.
    assert service.show("RestartUSec") == "1s"
    service.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    until(lambda: service.is_ready() and service.show("MainPID") != pid, "it runs again", TIMEOUT_S)


def test_a_silent_camera_is_reopened(service: Device):
    pid = service.show("MainPID")
    service.run("touch", SILENT)
    until(lambda: any("stopped delivering" in line for line in service.journal()), "the silence is detected", TIMEOUT_S)
    service.run("rm", SILENT)
    until(lambda: "camera picamera2:0 is back" in service.journal(), "the camera is reopened")
    assert service.show("MainPID") == pid


@pytest.mark.parametrize(
    "faults",
    [[SILENT], [SILENT, CLOSE_HANGS], [MESH_HANGS], [PUBLISHER_HANGS]],
    ids=["camera", "camera that cannot be closed", "mesh", "publisher"],
)
def test_a_hanging_part_causes_a_restart(service: Device, faults: list[str]):
    set_watchdog(service, 3)
    pid = service.show("MainPID")
    service.run("touch", *faults)
    until(lambda: watchdog_fired(service), "the watchdog fires", TIMEOUT_S)
    service.run("rm", *faults)
    until(lambda: service.is_ready() and service.show("MainPID") != pid, "it runs again", TIMEOUT_S)
    assert int(service.show("NRestarts")) >= 1


def test_wrong_settings_fail_once_with_the_reason(service: Device):
    service.write(SETTINGS, "[camera]\nfsp = 3\n")
    service.mark()
    assert service.run("systemctl", "restart", UNIT, check=False).returncode != 0
    # With a pending restart, it would be `activating`.
    assert service.show("ActiveState") == "failed"
    assert service.show("ExecMainStatus") == "78"
    assert service.show("NRestarts") == "0"
    lines = service.journal("--identifier=emotion-edge")
    assert lines[-1] == f"emotion-edge: {SETTINGS}: unknown key 'fsp' in [camera]; did you mean 'fps'?"
    assert len([line for line in lines if "fsp" in line]) == 1
    assert not any("Traceback" in line for line in lines)


def test_a_reload_applies_new_settings_and_keeps_the_session(service: Device, listener: Listener):
    until(lambda: listener.payloads("health"), "the first health")
    assert listener.payloads("health")[-1]["target_fps"] == 15
    connections = service.broker.log.read_text().count("New client connected")
    pid = service.show("MainPID")
    service.set(fps=8.0)
    service.run("systemctl", "reload", UNIT)
    until(lambda: listener.payloads("health")[-1]["target_fps"] == 8, "the new rate applies")
    assert service.show("MainPID") == pid
    assert service.broker.log.read_text().count("New client connected") == connections


def test_a_reload_of_wrong_settings_changes_nothing(service: Device, listener: Listener):
    until(lambda: listener.payloads("health"), "the first health")
    service.write(SETTINGS, "[camera]\nfsp = 3\n")
    service.run("systemctl", "reload", UNIT)
    until(
        lambda: any("reload refused" in line and "fsp" in line for line in service.journal()),
        "the journal has the reason",
    )
    next_event(listener)
    assert service.is_ready()


@pytest.mark.nightly
def test_memory_does_not_grow_with_the_frames(service: Device, listener: Listener, capsys: pytest.CaptureFixture[str]):
    service.set(fps=120.0)
    service.run("systemctl", "restart", UNIT)
    listener.messages.clear()

    def frames() -> float:
        return sum(health["fps"] for health in listener.payloads("health"))  # one each second

    until(lambda: frames() > WARM_UP, "the warm-up is over", 120)
    warm = listener.payloads("health")[-1]["rss_mb"]
    until(lambda: frames() > WARM_UP + FRAMES, "all frames are played", 30 + FRAMES / 20)
    after = listener.payloads("health")[-1]["rss_mb"]
    assert after - warm < 5, f"{warm} MB, and {after} MB after {frames():.0f} frames"
    assert int(service.show("MemoryCurrent")) < int(service.show("MemoryMax")) < 1e9
    with capsys.disabled():
        print(f" {warm:.0f} MB, {after:.0f} MB after {frames():.0f} more frames ", end="")


def test_a_silent_camera_does_not_delay_a_clean_stop(service: Device):
    service.run("touch", SILENT)
    until(lambda: sum("trying again" in line for line in service.journal()) > 1, "attempts to reopen the camera fail")
    service.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"
    assert retained(service.broker.port)["availability"] == "offline"


def test_a_clean_stop_leaves_offline(service: Device, listener: Listener):
    next_event(listener)
    service.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"
    assert retained(service.broker.port)["availability"] == "offline"
    # Published by the daemon: with a last will, the broker would publish it, without an end of the face.
    until(lambda: listener.payloads("event")[-1]["type"] == "end", "the face has ended")
