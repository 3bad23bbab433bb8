"""The service on a real systemd, with a real camera library and a real broker, through what may happen to it."""

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
"""So many are played to see whether memory grows; an hour of 15 frames/s has 54000."""
WARM_UP = 600
"""Frames until every part has seen every situation of the demo."""

SILENT, CLOSE_HANGS = "/run/camera-is-silent", "/run/camera-close-hangs"
MESH_HANGS, PUBLISHER_HANGS = "/run/mesh-hangs", "/run/publisher-hangs"
FAULTS = (SILENT, CLOSE_HANGS, MESH_HANGS, PUBLISHER_HANGS)
"""While one of these files is there, that part hangs."""


@pytest.fixture(scope="module")
def with_faults(installed: Device) -> Device:
    """The installed product, parts of which can be made to hang."""
    packages = installed.python("import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    installed.container.push(Path(__file__).with_name("faults.py"), f"{packages}/faults.py")
    installed.write(f"{packages}/faults.pth", "import faults\n")
    return installed


@pytest.fixture
def service(with_faults: Device) -> Iterator[Device]:
    """The service, running, with nothing in its past."""
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
    """Wait for a change that has not happened yet; the demo has one every few seconds."""
    before = len(listener.payloads("event"))
    until(lambda: len(listener.payloads("event")) > before, "another event arrives")


def watched(service: Device, seconds: int) -> None:
    """Let the watchdog be less patient."""
    service.drop_in(f"WatchdogSec={seconds}")
    service.run("systemctl", "restart", UNIT)
    service.mark()


def barked(service: Device) -> bool:
    return any("Watchdog timeout" in line for line in service.journal())


def test_a_start_is_over_when_the_camera_and_the_models_work(service: Device):
    service.run("systemctl", "stop", UNIT)
    service.run("systemctl", "start", UNIT)
    assert service.is_ready()


def test_the_status_line_says_what_it_does(service: Device):
    until(lambda: "fps" in service.show("StatusText"), "a status with the rate")
    until(lambda: service.show("StatusText").endswith("broker connected"), "a status with the broker")


def test_events_arrive_at_the_broker(service: Device, listener: Listener):
    next_event(listener)
    now = retained(service.broker.port)
    assert now["availability"] == "online"
    assert now["info"]["camera"] == "picamera2:0"
    assert {event["expression"] for event in listener.payloads("event")} <= {*now["info"]["labels"], "uncertain", None}


def test_a_change_is_in_the_journal_with_its_fields(service: Device, listener: Listener):
    next_event(listener)
    entries = service.journal("--output=verbose", "MESSAGE_ID=3cba47f0229c4213af24a836b5c56602")
    assert any("EXPRESSION=" in entry for entry in entries)
    assert any("TRACK=" in entry for entry in entries)


def test_events_go_on_when_the_broker_was_away(service: Device, listener: Listener):
    next_event(listener)
    pid = service.show("MainPID")
    service.broker.kill()
    until(lambda: service.show("StatusText").endswith("no broker"), "the broker is missed")
    service.broker.start()
    until(lambda: listener.subscribed, "the listener is back", 30)
    next_event(listener)
    assert service.show("MainPID") == pid


def test_back_within_five_seconds_when_killed(service: Device):
    pid = service.show("MainPID")
    service.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    until(lambda: service.is_ready() and service.show("MainPID") != pid, "it runs again", 5)


def test_a_camera_that_falls_silent_is_opened_again(service: Device):
    pid = service.show("MainPID")
    service.run("touch", SILENT)
    until(lambda: any("stopped delivering" in line for line in service.journal()), "the silence is noticed", 4)
    service.run("rm", SILENT)
    until(lambda: "camera picamera2:0 is back" in service.journal(), "the camera is back")
    assert service.show("MainPID") == pid


@pytest.mark.parametrize(
    "faults",
    [[SILENT], [SILENT, CLOSE_HANGS], [MESH_HANGS], [PUBLISHER_HANGS]],
    ids=["camera", "camera that cannot be closed", "mesh", "publisher"],
)
def test_what_hangs_ends_in_a_restart(service: Device, faults: list[str]):
    watched(service, 3)
    pid = service.show("MainPID")
    service.run("touch", *faults)
    until(lambda: barked(service), "the watchdog barks", 30)
    service.run("rm", *faults)
    until(lambda: service.is_ready() and service.show("MainPID") != pid, "it runs again", 30)
    assert int(service.show("NRestarts")) >= 1


def test_broken_settings_fail_once_and_say_why(service: Device):
    service.write(SETTINGS, "[camera]\nfsp = 3\n")
    service.mark()
    assert service.run("systemctl", "restart", UNIT, check=False).returncode != 0
    # A restart that is still to come would show as `activating`.
    assert service.show("ActiveState") == "failed"
    assert service.show("ExecMainStatus") == "78"
    assert service.show("NRestarts") == "0"
    said = service.journal("--identifier=emotion-edge")
    assert said[-1] == f"emotion-edge: {SETTINGS}: unknown key 'fsp' in [camera]; did you mean 'fps'?"
    assert len([line for line in said if "fsp" in line]) == 1
    assert not any("Traceback" in line for line in said)


def test_a_reload_takes_new_settings_and_keeps_the_session(service: Device, listener: Listener):
    until(lambda: listener.payloads("health"), "the first health")
    assert listener.payloads("health")[-1]["target_fps"] == 15
    connections = service.broker.log.read_text().count("New client connected")
    pid = service.show("MainPID")
    service.set(fps=8.0)
    service.run("systemctl", "reload", UNIT)
    until(lambda: listener.payloads("health")[-1]["target_fps"] == 8, "the new rate")
    assert service.show("MainPID") == pid
    assert service.broker.log.read_text().count("New client connected") == connections


def test_a_reload_of_broken_settings_changes_nothing(service: Device, listener: Listener):
    until(lambda: listener.payloads("health"), "the first health")
    service.write(SETTINGS, "[camera]\nfsp = 3\n")
    service.run("systemctl", "reload", UNIT)
    until(lambda: any("reload refused" in line and "fsp" in line for line in service.journal()), "a line that says why")
    next_event(listener)
    assert service.is_ready()


@pytest.mark.nightly
def test_memory_does_not_grow_with_the_frames(service: Device, listener: Listener, capsys: pytest.CaptureFixture[str]):
    service.set(fps=120.0)
    service.run("systemctl", "restart", UNIT)
    listener.messages.clear()

    def frames() -> float:
        return sum(health["fps"] for health in listener.payloads("health"))  # one each second

    until(lambda: frames() > WARM_UP, "warm", 120)
    warm = listener.payloads("health")[-1]["rss_mb"]
    until(lambda: frames() > WARM_UP + FRAMES, "all frames are played", 30 + FRAMES / 20)
    after = listener.payloads("health")[-1]["rss_mb"]
    assert after - warm < 5, f"{warm} MB, and {after} MB after {frames():.0f} frames"
    assert int(service.show("MemoryCurrent")) < int(service.show("MemoryMax")) < 1e9
    with capsys.disabled():
        print(f" {warm:.0f} MB, {after:.0f} MB after {frames():.0f} more frames ", end="")


def test_a_silent_camera_does_not_delay_a_clean_stop(service: Device):
    service.run("touch", SILENT)
    until(lambda: sum("trying again" in line for line in service.journal()) > 1, "the camera is opened in vain")
    service.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"
    assert retained(service.broker.port)["availability"] == "offline"


def test_a_clean_stop_leaves_offline(service: Device, listener: Listener):
    next_event(listener)
    service.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"
    assert retained(service.broker.port)["availability"] == "offline"
    # By the daemon itself: a last will would be published by the broker, and without the end of the face.
    until(lambda: listener.payloads("event")[-1]["type"] == "end", "the face has ended")
