"""`emotion-edge doctor` finds common faults and says what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.commands import doctor
from edge.device import raspberry_pi, system
from edge.errors import ConfigError, EdgeError, PermissionRefusedError, UnavailableError
from edge.mqtt import local_broker
from edge.settings import CameraSettings, DeviceSettings, MqttSettings, Settings
from tests.support.broker import Listener

pytest_plugins = ["tests.support.broker", "tests.support.pi_roots", "tests.support.rtsp"]

REPOSITORY = Path(__file__).parents[3]
NO_BROKER = "mqtt://127.0.0.1:9"
NOBODY = 65534

ANYWHERE = ["python", "libraries", "settings", "permissions", "disk", "bundle", "models", "camera", "broker", "clock"]
OF_THIS_MACHINE = {"broker", "clock"}
"""Checks that don't depend on the root of the file system."""


def settings(source="auto", **mqtt) -> Settings:
    return Settings(camera=CameraSettings(source=source), mqtt=MqttSettings(**{"url": NO_BROKER, **mqtt}))


def examine(root, source="auto") -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor._examine(lambda: settings(source), root)}


def fault(check, *arguments) -> EdgeError:
    """The error of a check: one line, with a status of sysexits.h."""
    with pytest.raises(EdgeError) as caught:
        check(*arguments)
    assert "\n" not in str(caught.value)
    assert 64 <= caught.value.exit_status <= 78
    return caught.value


def test_a_network_camera_gets_the_password_of_the_service(rtsp_server, tmp_path):
    server = rtsp_server("--user", "kim", "--password", "geheim", "--digest")
    chosen = settings(f"{server.url}?key=geheim")
    chosen = replace(chosen, camera=replace(chosen.camera, username="kim"))
    password = tmp_path / "etc" / "emotion-edge" / "camera-password"
    password.parent.mkdir(parents=True)
    password.write_text("geheim\n")
    password.chmod(0o600)
    assert doctor._camera(chosen, tmp_path, {}) == f"rtsp://127.0.0.1:{server.port} delivers 320x240"
    password.write_text("falsch\n")
    assert str(fault(doctor._camera, chosen, tmp_path, {"ActiveState": "active"})) == (
        f"camera rtsp://127.0.0.1:{server.port} refuses user 'kim': check camera.username and camera.password_file"
    )


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", ["pi4", "pi5"])
def test_nothing_is_wrong_on_a_healthy_pi(name, request, distribution):
    pi = request.getfixturevalue(name)
    pi.service()
    distribution(pi)
    found = examine(pi.root)
    assert list(found) == [
        *ANYWHERE[: ANYWHERE.index("camera")], "service", "power", "heat", "pi camera", *ANYWHERE[-3:]
    ]  # fmt: skip
    assert {finding.name for finding in found.values() if not finding.ok} <= OF_THIS_MACHINE
    assert found["service"].line == "the service is active: 14.9 frames/s, happiness, broker connected"
    assert found["power"].line == "the voltage has been high enough since the boot"
    assert found["heat"].line == "the processor is at 48 °C"
    assert found["pi camera"].line == "libcamera lists imx708"
    assert found["camera"].line == "in use by the service"


@pytest.mark.usefixtures("models")
def test_checks_of_a_pi_are_omitted_elsewhere(tmp_path):
    found = examine(tmp_path, "demo")
    assert list(found) == ANYWHERE
    assert found["camera"].line == "demo delivers 640x480, 62 degrees wide"


@pytest.mark.usefixtures("models")
def test_another_camera_needs_no_picamera2(pi4):
    assert "pi camera" not in examine(pi4.root, "v4l2:/dev/video0")


@pytest.mark.usefixtures("models")
def test_on_a_pi_the_demo_does_not_count_as_a_camera(pi4, distribution):
    distribution(pi4)
    camera = examine(pi4.root)["camera"]
    assert camera.exit_status == os.EX_UNAVAILABLE
    assert "no camera found" in camera.line


class TestPower:
    def test_too_low_now(self, pi4):
        pi4.firmware.flags = 0x50005
        line = str(fault(raspberry_pi.power, pi4.root))
        assert line == "the voltage is too low: use the official power supply (5.1 V, 3 A) and its own cable"

    def test_too_low_since_the_boot(self, pi5):
        pi5.firmware.flags = 0x50000
        line = str(fault(raspberry_pi.power, pi5.root))
        assert "since the boot" in line
        assert "5.1 V, 5 A" in line

    def test_only_the_kernel_detected_it(self, pi5):
        pi5.no_firmware()
        pi5.alarm("1")
        assert "too low" in str(fault(raspberry_pi.power, pi5.root))

    def test_only_the_present_is_known(self, pi5):
        pi5.no_firmware()
        assert raspberry_pi.power(pi5.root) == "the voltage is high enough now"

    def test_nothing_is_known(self, tmp_path):
        assert "unknown" in raspberry_pi.power(tmp_path)


class TestHeat:
    def test_the_firmware_throttles(self, pi4):
        pi4.firmware.flags = 0x60006
        pi4.temperature(81.2)
        line = str(fault(raspberry_pi.heat, pi4.root))
        assert "81 °C" in line
        assert "fan" in line

    def test_the_temperature_alone_is_enough(self, pi4):
        pi4.no_firmware()
        pi4.temperature(raspberry_pi.HOT_C)
        assert "80 °C" in str(fault(raspberry_pi.heat, pi4.root))

    def test_it_was_hot_before(self, pi4):
        pi4.firmware.flags = 0x60000
        assert raspberry_pi.heat(pi4.root) == "the processor is at 48 °C; it has been throttled for heat since the boot"

    def test_a_low_voltage_is_not_reported_as_heat(self, pi4):
        for pi4.firmware.flags in (0x50005, 0x50000):
            assert raspberry_pi.heat(pi4.root) == "the processor is at 48 °C"


class TestCameraStack:
    @pytest.fixture(autouse=True)
    def _of_the_distribution(self, pi4, distribution):
        distribution(pi4)

    @pytest.mark.parametrize(
        "line", ["start_x=1", " start_x = 1  # camera", "start_file=start4x.elf", "start_file=start_x.elf"]
    )
    def test_legacy(self, pi4, line):
        pi4.config(line)
        error = str(fault(raspberry_pi.picamera2, pi4.root))
        assert "/boot/firmware/config.txt" in error
        assert "remove that line and reboot" in error

    def test_legacy_in_a_system_older_than_bookworm(self, pi4):
        (pi4.root / "boot/firmware/config.txt").rename(pi4.root / "boot/config.txt")
        pi4.write("boot/config.txt", "start_x=1\n")
        assert "/boot/config.txt has start_x=1" in str(fault(raspberry_pi.picamera2, pi4.root))

    @pytest.mark.parametrize("section", ["[pi4]", "[cm4]", "[all]", "[pi5]\n[all]"])
    def test_a_section_for_this_board_applies(self, pi4, section):
        pi4.config(section, "start_x=1")
        assert "legacy" in str(fault(raspberry_pi.picamera2, pi4.root))

    @pytest.mark.parametrize(
        "lines", [("[pi3]", "start_x=1"), ("[none]", "start_x=1"), ("#start_x=1",), ("start_x=0",)]
    )
    def test_lines_that_do_not_apply_are_ignored(self, pi4, lines):
        pi4.config(*lines)
        assert raspberry_pi.picamera2(pi4.root) == "imx708"

    def test_several_cameras(self, pi4):
        pi4.cameras({"Model": "imx708_wide"}, {"Model": "ov5647"})
        assert raspberry_pi.picamera2(pi4.root) == "imx708_wide, ov5647"

    def test_numpy_of_another_origin(self, pi4, monkeypatch):
        monkeypatch.setattr(np, "__file__", "/opt/emotion-edge/current/lib/python3.11/site-packages/numpy/__init__.py")
        line = str(fault(raspberry_pi.picamera2, pi4.root))
        assert line.startswith(
            f"NumPy {np.__version__} in /opt/emotion-edge/current/lib/python3.11/site-packages/numpy is"
        )
        assert line.endswith(f": run `sudo {REPOSITORY}/deploy/install.sh`")

    def test_a_library_of_another_version(self, pi4):
        # The error of simplejpeg with another NumPy (raspberrypi/picamera2, issue 1211).
        reason = "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88"
        pi4.write(f"{raspberry_pi.PACKAGES}/picamera2/__init__.py", f"raise ValueError({reason!r})\n")
        line = str(fault(raspberry_pi.picamera2, pi4.root))
        assert reason in line
        assert line.endswith(f": run `sudo {REPOSITORY}/deploy/install.sh`")


def test_picamera2_is_missing(pi4, monkeypatch):
    monkeypatch.setattr(raspberry_pi, "PACKAGES", "nowhere")
    if importlib.util.find_spec("picamera2"):
        pytest.skip("picamera2 is installed on this machine")
    assert "apt install python3-picamera2" in str(fault(raspberry_pi.picamera2, pi4.root))


def test_picamera2_is_installed_but_hidden_from_this_python(pi4):
    if importlib.util.find_spec("picamera2"):
        pytest.skip("picamera2 is installed on this machine")
    assert "this Python can't find it" in str(fault(raspberry_pi.picamera2, pi4.root))


@pytest.mark.parametrize("whose", ["the distribution's", "another"])
def test_the_imported_numpy_is_checked(pi4, whose):
    packages = pi4.root / raspberry_pi.PACKAGES
    if whose == "the distribution's":
        for folder in Path(np.__file__).parents[1].glob("numpy*"):
            (packages / folder.name).symlink_to(folder)
    done = subprocess.run(
        [sys.executable, "-c", f"from edge.device.raspberry_pi import *; print(picamera2(Path({str(pi4.root)!r})))"],
        capture_output=True, text=True, check=False, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(packages)},
    )  # fmt: skip
    if whose == "the distribution's":
        assert done.stdout == "imx708\n"
    else:
        assert "is not the distribution's" in done.stderr.splitlines()[-1]


class TestNoCamera:
    @pytest.fixture(autouse=True)
    def _none(self, pi4, pi5):
        for pi in (pi4, pi5):
            pi.cameras()

    def check(self, pi, distribution, source="auto"):
        distribution(pi)
        return str(fault(doctor._pi_camera, settings(source), pi.root))

    @pytest.mark.parametrize("source", ["auto", "picamera2", "picamera2:1"])
    def test_the_cable(self, pi4, distribution, source):
        line = self.check(pi4, distribution, source)
        assert line.startswith("no camera found: switch off, push the camera cable fully in at both ends")
        assert "with the contacts facing the HDMI sockets" in line

    def test_a_pi_5_has_another_connector(self, pi5, distribution):
        line = self.check(pi5, distribution)
        assert "22 contacts" in line
        assert "facing the Ethernet socket" in line

    @pytest.mark.parametrize("lines", [(), ("camera_auto_detect=0",)])
    def test_detection_is_off(self, pi4, distribution, lines):
        pi4.config(*lines, instead_of="camera_auto_detect=1")
        line = self.check(pi4, distribution)
        assert "add the line camera_auto_detect=1 to /boot/firmware/config.txt and reboot" in line

    def test_a_sensor_is_configured(self, pi4, distribution):
        pi4.config("dtoverlay=imx519,cam0", instead_of="camera_auto_detect=1")
        assert "cable" in self.check(pi4, distribution)

    def test_a_usb_camera_is_enough(self, pi4, distribution):
        pi4.write("dev/video0", "")
        distribution(pi4)
        assert "USB" in doctor._pi_camera(settings("auto"), pi4.root)
        assert "cable" in str(fault(doctor._pi_camera, settings("picamera2"), pi4.root))


class TestService:
    @pytest.mark.parametrize(
        ("state", "result"),
        [
            ({"ActiveState": "failed", "SubState": "failed"}, "exit-code"),
            ({"ActiveState": "failed", "SubState": "failed"}, "watchdog"),
            ({"ActiveState": "activating", "SubState": "auto-restart"}, "exit-code"),
        ],
    )
    def test_it_failed(self, pi4, state, result):
        pi4.service(**state, Result=result, StatusText="")
        error = fault(doctor._service_line, doctor._service(pi4.root))
        assert error.exit_status == os.EX_UNAVAILABLE
        assert f"result: {result}" in str(error)
        assert "journalctl -u emotion-edge -n 20" in str(error)

    def test_it_is_stopped(self, pi4):
        pi4.service(ActiveState="inactive", SubState="dead", StatusText="")
        assert "sudo systemctl start emotion-edge" in doctor._service_line(doctor._service(pi4.root))

    def test_it_is_starting(self, pi4):
        pi4.service(ActiveState="activating", SubState="start", StatusText="")
        assert doctor._service_line(doctor._service(pi4.root)) == "the service is activating"

    @pytest.mark.parametrize("load", ["not-found", "masked"])
    def test_it_is_not_installed(self, pi4, load):
        pi4.service(LoadState=load)
        assert doctor._service(pi4.root) == {}

    def test_systemd_is_missing(self, pi4):
        assert doctor._service(pi4.root) == {}

    def test_a_systemctl_without_systemd_is_not_a_fault(self):
        if not Path("/usr/bin/systemctl").exists() or Path("/run/systemd/system").exists():
            pytest.skip("needs systemctl on a machine without systemd")
        assert doctor._service(system.ROOT) == {}


@pytest.mark.parametrize(
    ("kernel", "bits", "words"),
    [("aarch64", 32, "a 32-bit system on a 64-bit kernel"), ("armv7l", 32, "a 32-bit system")],
)
def test_a_32_bit_system_is_a_fault(kernel, bits, words):
    line = str(fault(doctor._check_bits, kernel, bits))
    assert line.startswith(words)
    assert "64-bit Raspberry Pi OS" in line


def test_a_64_bit_system_is_fine():
    doctor._check_bits("aarch64", 64)
    doctor._check_bits("x86_64", 64)


@contextlib.contextmanager
def unprivileged():
    """Run as a user without rights."""
    if os.getuid():
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def open_folder():
    """A folder that all users may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_user_outside_the_group_video_is_told_the_command(open_folder):
    (open_folder / "dev").mkdir()
    for name in ("video0", "video10", "video9"):
        (open_folder / "dev" / name).write_text("")
        (open_folder / "dev" / name).chmod(0)
    with unprivileged():
        error = fault(doctor._permissions, open_folder)
    assert isinstance(error, PermissionRefusedError)
    assert "usermod -aG video" in str(error)
    assert "video0, " in str(error)


def test_a_password_that_only_root_may_read_asks_for_sudo(open_folder):
    password = open_folder / doctor.PASSWORD
    password.parent.mkdir(parents=True)
    password.write_text("right\n")
    password.chmod(0o600 if os.getuid() == 0 else 0)
    with unprivileged():
        error = fault(doctor._broker, settings(), open_folder)
    assert error.exit_status == os.EX_NOPERM
    assert "sudo emotion-edge doctor" in str(error)


def test_the_password_of_the_service_is_used(tmp_path, new_broker):
    passwords, password = tmp_path / "passwords", tmp_path / doctor.PASSWORD
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "anna", "right"], check=True)
    password.parent.mkdir(parents=True)
    restricted = new_broker(settings=f"password_file {passwords}")
    restricted.start()
    anna = settings(url=restricted.url, username="anna")
    password.touch(0o600)
    password.write_text("right\n")
    assert "accepts user 'anna'" in doctor._broker(anna, tmp_path)
    password.write_text("wrong\n")
    assert "mqtt.password_file" in str(fault(doctor._broker, anna, tmp_path))


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ("topic readwrite emotion/#", ""),
        ("topic read #", "use emotion/kitchen/reply/doctor (Not authorized)"),
        ("topic write #", "does not deliver what is published on emotion/kitchen/reply/doctor"),
        ("topic readwrite elsewhere/#", "use emotion/kitchen/reply/doctor (Not authorized)"),
    ],
)
def test_a_broker_that_forbids_to_publish_is_found(tmp_path, new_broker, monkeypatch, access, reason):
    monkeypatch.setattr(doctor, "BROKER_S", 1.0)
    (tmp_path / "access").write_text(f"{access}\n")
    broker = new_broker(settings=f"allow_anonymous true\nacl_file {tmp_path}/access")
    broker.start()
    kitchen = replace(settings(url=broker.url), device=DeviceSettings("kitchen"))
    if reason:
        assert reason in str(error := fault(doctor._broker, kitchen, tmp_path))
        assert error.exit_status == os.EX_NOPERM
        assert "emotion/kitchen/reply/+ in the access list" in str(error)
    else:
        assert "delivers what is published" in doctor._broker(kitchen, tmp_path)


def test_what_the_device_itself_reports_is_found(tmp_path, broker):
    kitchen = replace(settings(url=broker.url), device=DeviceSettings("kitchen"))
    with Listener(broker.port, "nothing") as listener:
        for topic, payload in (("availability", b"online"), ("info", b'{"problem": "the broker rejects x"}')):
            listener.client.publish(f"emotion/kitchen/{topic}", payload, 1, retain=True).wait_for_publish(10)
    assert str(fault(doctor._broker, kitchen, tmp_path)) == "'kitchen' is online, and reports: the broker rejects x"


def test_without_a_service_the_default_broker_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(local_broker, "answers", lambda _address: False)
    default = Settings()
    assert "`run --local-broker`, as in `make run`, starts one" in doctor._broker(default, tmp_path, own=True)
    monkeypatch.setattr(local_broker, "available", lambda: False)
    monkeypatch.setattr(doctor, "_knock", lambda *_: fail_to_connect())
    for own in (True, False):
        assert "start the broker" in str(fault(lambda own=own: doctor._broker(default, tmp_path, own=own)))


def fail_to_connect() -> None:
    raise UnavailableError("start the broker")


@pytest.mark.parametrize("text", ["", "\n"])
def test_the_empty_password_file_of_the_installer_is_ignored(tmp_path, broker, text):
    password = tmp_path / doctor.PASSWORD
    password.parent.mkdir(parents=True)
    password.touch(0o600)
    password.write_text(text)
    assert "a client without a user name" in doctor._broker(settings(url=broker.url), tmp_path)


def test_a_full_disk_with_the_cache_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "FREE_MB", 1e12)
    assert "make room for at least" in str(fault(doctor._disk, tmp_path))


def test_a_full_disk_with_the_state_is_found(tmp_path):
    state = tmp_path / doctor.STATE
    state.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", state], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        assert str(fault(doctor._disk, tmp_path)) == f"only 4 MB free at {state}: make room for at least 100 MB"
    finally:
        subprocess.run(["umount", state], check=True)


def test_the_kernel_knows_whether_the_clock_is_synchronised():
    if system.clock_synchronised():
        assert doctor._clock() == "synchronised with a time server"
    else:
        error = fault(doctor._clock)
        assert isinstance(error, ConfigError)
        assert "timedatectl set-ntp true" in str(error)


def test_the_exit_status_is_that_of_the_first_fault(capsys, monkeypatch):
    first = doctor.Finding("power", "low", UnavailableError.exit_status)
    findings = [doctor.Finding("python", "3.13"), first, replace(first, name="clock", exit_status=78)]
    monkeypatch.setattr(doctor, "_examine", lambda _load: iter(findings))
    args = doctor_arguments("--json")
    assert doctor.run(args) == os.EX_UNAVAILABLE
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed[1] == {"check": "power", "ok": False, "line": "low"}
    assert [each["ok"] for each in printed] == [True, False, False]


def doctor_arguments(*arguments):
    import argparse

    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.usefixtures("models")
def test_doctor_checks_this_machine():
    done = subprocess.run(
        [sys.executable, "-m", "edge", "doctor", "--json", "--camera", "demo", "--mqtt", NO_BROKER],
        capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    found = {finding["check"]: finding for finding in map(json.loads, done.stdout.splitlines())}
    pi = raspberry_pi.is_raspberry_pi(system.ROOT)
    assert set(found) - {"service"} == {*ANYWHERE, *(["power", "heat"] if pi else [])}
    assert done.returncode == os.EX_UNAVAILABLE
    assert not found["broker"]["ok"]
    assert "Traceback" not in done.stderr
