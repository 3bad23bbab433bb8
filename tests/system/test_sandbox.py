"""What the service can and can't do, tried inside the sandbox of a second unit with the same settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import until
from tests.system.device import CHECKOUT, PYTHON, REPOSITORY, SETTINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.container import Container
    from tests.system.device import Device

MAX_EXPOSURE = 2.0
"""Maximum exposure in `systemd-analyze security`, from 0 (best sandbox) to 10 (none)."""

BROKER, ELSEWHERE, NETWORK_CAMERA = "192.0.2.10", "192.0.2.20", "192.0.2.30"
"""Addresses for documentation (RFC 5737), used in a network namespace."""
METRICS_HOST = "play.googleapis.com"
"""Host to which mediapipe 1.2 sends usage metrics."""

LISTEN = """
import socket, sys, threading
def serve(address, port):
    server = socket.create_server((address, int(port)))
    while True:
        server.accept()[0].close()
        print(address, port, flush=True)
for each in sys.argv[1:]:
    threading.Thread(target=serve, args=each.split(":")).start()
"""

ALLOWED = (
    "connect to the broker",
    "connect to the network camera",
    "write to its state directory",
    "write to its home directory",
    "write to /tmp",
    "read the passwords",
    "open a camera device",
    "read the state of the clock",
)
FORBIDDEN = {
    "connect to another address": {"timeout"},
    "write to /etc": {"EROFS"},
    "write to the models": {"EROFS"},
    "write to its release": {"EROFS"},
    "read /root": {"EACCES"},
    "read the file of the password": {"EACCES"},
    "open a device of another group": {"EACCES"},
    "open another device": {"EPERM"},
    "set the clock": {"EPERM"},
    "map memory that is writable and executable": {"EPERM", "EACCES"},  # from the filter, or from a newer kernel itself
    "create a user namespace": {"EPERM"},
    "mount": {"EPERM"},
}


@pytest.fixture(scope="module")
def network(installed: Device) -> Iterator[Device]:
    """A network namespace with two addresses. A server on each logs connections to the journal."""
    run = installed.run
    run("ip", "netns", "add", "lab")
    run("ip", "-n", "lab", "link", "set", "lo", "up")
    for address in (BROKER, ELSEWHERE, NETWORK_CAMERA):
        run("ip", "-n", "lab", "address", "add", f"{address}/32", "dev", "lo")
    installed.write("/opt/listen.py", LISTEN)
    listeners = (f"{BROKER}:1883", f"{ELSEWHERE}:1883", f"{ELSEWHERE}:443", f"{NETWORK_CAMERA}:554")
    in_lab = ("systemd-run", "--unit=listen", "--property=NetworkNamespacePath=/run/netns/lab")
    run(*in_lab, "python3", "/opt/listen.py", *listeners)
    until(
        lambda: run("ip", "netns", "exec", "lab", "ss", "-Htl").stdout.count("LISTEN") == len(listeners),
        "all servers listen",
    )
    yield installed
    run("systemctl", "stop", "listen.service")
    run("ip", "netns", "delete", "lab")


@pytest.fixture(scope="module")
def answers(network: Device) -> Iterator[dict[str, str]]:
    """The results of the probe in the sandbox."""
    # The device numbers of tun and fuse, which systemd doesn't allow by default.
    for name, numbers, group in (
        ("udmabuf", "10 200", "video"),
        ("of-root", "10 200", "root"),
        ("probe", "10 229", "video"),
    ):
        network.run("mknod", "--mode=660", f"/dev/{name}", "c", *numbers.split())
        network.run("chgrp", group, f"/dev/{name}")
    yield probe(network)
    network.run("rm", "/dev/udmabuf", "/dev/of-root", "/dev/probe")


def probe(device: Device, more: str = "") -> dict[str, str]:
    """Run the probe in a unit that differs from the service only in its command and in `more` settings."""
    device.container.push(Path(__file__).with_name("probe.py"), "/opt/probe.py")
    device.write(SETTINGS, f'[mqtt]\nurl = "mqtt://{BROKER}"\n[camera]\nsource = "rtsp://{NETWORK_CAMERA}/"\n')
    unit = f"""
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 /opt/probe.py {BROKER}:1883 {ELSEWHERE}:1883 {NETWORK_CAMERA}:554
StandardOutput=truncate:/run/probe.json
NetworkNamespacePath=/run/netns/lab
{more}
"""
    allowed = device.run(PYTHON, f"{CHECKOUT}/deploy/device/allow_network.py").stdout
    device.write(
        "/run/systemd/system/probe.service", device.container.read(f"/etc/systemd/system/{UNIT}") + allowed + unit
    )
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "start", "probe.service")
    found: dict[str, str] = json.loads(device.container.read("/run/probe.json"))
    return found


def detects(device: Device) -> bool:
    """Whether the service reads the face in front of its camera."""
    return any(label in device.show("StatusText") for label in ("happiness", "neutral", "surprise"))


@pytest.mark.parametrize("system", ["trixie", "bookworm"])
def test_the_unit_has_a_low_exposure(system: str, request: pytest.FixtureRequest):
    container: Container = request.getfixturevalue(system)
    container.push(REPOSITORY / "deploy" / "device" / UNIT, f"/run/analyzed/{UNIT}")
    analyze = ("systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE * 10:.0f}")
    done = container.run(*analyze, f"/run/analyzed/{UNIT}", check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_accepts_every_line_of_the_unit(installed: Device):
    done = installed.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_service_has_a_low_exposure(installed: Device):
    done = installed.run("systemd-analyze", "security", f"--threshold={MAX_EXPOSURE * 10:.0f}", UNIT, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("action", ALLOWED)
def test_allowed(answers: dict[str, str], action: str):
    assert answers[action] == "ok"


@pytest.mark.parametrize("action", FORBIDDEN)
def test_forbidden(answers: dict[str, str], action: str):
    assert answers[action] in FORBIDDEN[action]


def test_only_the_address_filter_blocks_other_addresses(network: Device, answers: dict[str, str]):
    assert answers["connect to another address"] == "timeout"
    assert probe(network, "IPAddressDeny=")["connect to another address"] == "ok"


def test_mediapipe_detects_faces_and_sends_no_metrics(network: Device):
    device = network
    packages = ("libegl1", "libgles2")
    device.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", *packages, timeout_s=300)
    # Without all of its dependencies: they include a second OpenCV, which would overwrite the headless one.
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--constraint", "/opt/emotion-edge/current/numpy.txt")
    device.run(*pip, "absl-py", "certifi", "matplotlib", timeout_s=300)
    device.run(*pip, "--no-deps", "mediapipe<2", timeout_s=300)
    hosts = device.container.read("/etc/hosts")
    device.write("/etc/hosts", f"{hosts}{ELSEWHERE} {METRICS_HOST}\n")

    reported = {}
    for filtered in (True, False):
        device.set('[mesh]\nbackend = "mediapipe"\n')
        device.drop_in("NetworkNamespacePath=/run/netns/lab" + ("" if filtered else "\nIPAddressDeny="))
        device.run("systemctl", "restart", UNIT)
        until(lambda: detects(device), "mediapipe detects a face")
        # It sends metrics when it is closed.
        device.run("systemctl", "stop", UNIT)
        device.run("journalctl", "--sync")
        reported[filtered] = device.run("journalctl", "--unit=listen", "--output=cat").stdout.count(f"{ELSEWHERE} 443")

    device.drop_in("")
    device.write("/etc/hosts", hosts)
    assert reported[True] == 0
    assert reported[False] > 0
