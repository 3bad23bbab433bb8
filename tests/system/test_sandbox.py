"""What the service can do and cannot, asked from inside: of a second unit with the very same settings."""

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

SCORE = 2.0
"""Of `systemd-analyze security`, at most: 0 is a locked box, 10 is no sandbox at all."""

BROKER, ELSEWHERE = "192.0.2.10", "192.0.2.20"
"""Addresses for documentation (RFC 5737), in a network namespace of their own."""
METRICS_HOST = "play.googleapis.com"
"""Where mediapipe 1.2 reports to."""

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

MAY = (
    "connect to the broker",
    "write to its state",
    "write to its home",
    "write to /tmp",
    "read the password",
    "open a device of the camera",
    "ask whether the clock is set",
)
MUST_NOT = {
    "connect to another address": {"timeout"},
    "write to /etc": {"EROFS"},
    "write to the models": {"EROFS"},
    "write to its release": {"EROFS"},
    "read /root": {"EACCES"},
    "read the password where it comes from": {"EACCES"},
    "open a device of another group": {"EACCES"},
    "open another device": {"EPERM"},
    "set the clock": {"EPERM"},
    "make memory that can be written and run": {"EPERM", "EACCES"},  # of the filter, or of a newer kernel itself
    "make a user namespace": {"EPERM"},
    "mount": {"EPERM"},
}


@pytest.fixture(scope="module")
def network(installed: Device) -> Iterator[Device]:
    """A network of two addresses, on each of which somebody listens, and tells the journal who came."""
    run = installed.run
    run("ip", "netns", "add", "lab")
    run("ip", "-n", "lab", "link", "set", "lo", "up")
    for address in (BROKER, ELSEWHERE):
        run("ip", "-n", "lab", "address", "add", f"{address}/32", "dev", "lo")
    installed.write("/opt/listen.py", LISTEN)
    listeners = (f"{BROKER}:1883", f"{ELSEWHERE}:1883", f"{ELSEWHERE}:443")
    in_lab = ("systemd-run", "--unit=listen", "--property=NetworkNamespacePath=/run/netns/lab")
    run(*in_lab, "python3", "/opt/listen.py", *listeners)
    until(
        lambda: run("ip", "netns", "exec", "lab", "ss", "-Htl").stdout.count("LISTEN") == len(listeners), "they listen"
    )
    yield installed
    run("systemctl", "stop", "listen.service")
    run("ip", "netns", "delete", "lab")


@pytest.fixture(scope="module")
def answers(network: Device) -> Iterator[dict[str, str]]:
    """What the probe was told in the sandbox."""
    # Two numbers of devices that systemd would not allow by itself, tun and fuse.
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
    """Run the probe in a unit that is the service's in all but its command, with `more` settings."""
    device.container.push(Path(__file__).with_name("probe.py"), "/opt/probe.py")
    device.write(SETTINGS, f'[mqtt]\nurl = "mqtt://{BROKER}"\n')
    unit = f"""
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 /opt/probe.py {BROKER}:1883 {ELSEWHERE}:1883
StandardOutput=truncate:/run/probe.json
NetworkNamespacePath=/run/netns/lab
{more}
"""
    allowed = device.run(PYTHON, f"{CHECKOUT}/deploy/device/allow_broker.py").stdout
    device.write(
        "/run/systemd/system/probe.service", device.container.read(f"/etc/systemd/system/{UNIT}") + allowed + unit
    )
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "start", "probe.service")
    found: dict[str, str] = json.loads(device.container.read("/run/probe.json"))
    return found


def detects(device: Device) -> bool:
    """Whether the service sees the face before its camera."""
    return any(label in device.show("StatusText") for label in ("happiness", "neutral", "surprise"))


@pytest.mark.parametrize("system", ["trixie", "bookworm"])
def test_systemd_finds_little_exposed(system: str, request: pytest.FixtureRequest):
    container: Container = request.getfixturevalue(system)
    container.push(REPOSITORY / "deploy" / "device" / UNIT, f"/run/judged/{UNIT}")
    judge = ("systemd-analyze", "security", "--offline=yes", f"--threshold={SCORE * 10:.0f}")
    done = container.run(*judge, f"/run/judged/{UNIT}", check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_understands_every_line_of_it(installed: Device):
    done = installed.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_service_is_no_more_exposed(installed: Device):
    done = installed.run("systemd-analyze", "security", f"--threshold={SCORE * 10:.0f}", UNIT, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("deed", MAY)
def test_the_service_may(answers: dict[str, str], deed: str):
    assert answers[deed] == "ok"


@pytest.mark.parametrize("deed", MUST_NOT)
def test_the_service_must_not(answers: dict[str, str], deed: str):
    assert answers[deed] in MUST_NOT[deed]


def test_it_is_the_filter_that_keeps_other_addresses_away(network: Device, answers: dict[str, str]):
    assert answers["connect to another address"] == "timeout"
    assert probe(network, "IPAddressDeny=")["connect to another address"] == "ok"


def test_mediapipe_detects_faces_and_does_not_reach_its_maker(network: Device):
    device = network
    packages = ("libegl1", "libgles2")
    device.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", *packages, timeout_s=300)
    # Without its own dependencies: they would lay a second OpenCV over the headless one.
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
        # It reports when it is closed.
        device.run("systemctl", "stop", UNIT)
        device.run("journalctl", "--sync")
        reported[filtered] = device.run("journalctl", "--unit=listen", "--output=cat").stdout.count(f"{ELSEWHERE} 443")

    device.drop_in("")
    device.write("/etc/hosts", hosts)
    assert reported[True] == 0
    assert reported[False] > 0
