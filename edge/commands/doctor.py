"""`emotion-edge doctor`: check all that the daemon needs, one line each, with the remedy for what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge import hints
from edge.cli import add_settings_arguments, load_settings
from edge.device.system import ROOT
from edge.errors import ConfigError, EdgeError, PermissionRefusedError, UnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from paho.mqtt.enums import MQTTProtocolVersion

    from edge.mqtt.address import BrokerAddress
    from edge.settings import Settings

OLDEST_PYTHON = (3, 11)
BITS = 64
FREE_MB = 100
"""Minimum of free space, MB: for a bundle beside the one in use, and for the journal."""

STATE = "var/lib/emotion-edge"
PASSWORD, CLIENT_KEY = "etc/emotion-edge/mqtt-password", "etc/emotion-edge/mqtt-client-key"
CAMERA_PASSWORD = "etc/emotion-edge/camera-password"  # noqa: S105 - the name of its file
UNIT = "emotion-edge"
SYSTEMD_S = 5.0
"""Time within which systemd answers."""

BROKER_S = 5.0
"""Time within which a broker answers."""
KEEPALIVE_S = 60
REPORTED_S = 1.0
"""Time within which a broker says what it retains of the device."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    name: str
    line: str
    """What was found or, if something is wrong, what to do."""
    exit_status: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.exit_status == 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = "example: emotion-edge doctor --camera v4l2:/dev/video0"
    add_settings_arguments(parser, camera=True, mqtt=True, model=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line and check")


def run(args: argparse.Namespace) -> int:
    """Check everything. The exit status is that of the first failure."""
    status = 0
    for finding in _examine(lambda: load_settings(args)):
        if args.json:
            print(json.dumps({"check": finding.name, "ok": finding.ok, "line": finding.line}), flush=True)
        else:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:12}{finding.line}", flush=True)
        status = status or finding.exit_status
    return status


def _examine(load: Callable[[], Settings], root: Path = ROOT) -> Iterator[Finding]:
    """Run every check that applies: some are only for a Raspberry Pi, or for a device with the service."""
    from edge.device import raspberry_pi

    yield _check("python", _python)
    yield _check("libraries", _libraries)
    settings: list[Settings] = []

    def settings_line() -> str:
        settings.append(load())
        return f"device {settings[0].device_name!r}, topic {settings[0].mqtt.base}/{settings[0].device_name}/"

    yield _check("settings", settings_line)
    if not settings:
        return
    yield _check("permissions", lambda: _permissions(root))
    yield _check("disk", lambda: _disk(root))
    yield _check("bundle", lambda: _bundle(settings[0]))
    yield _check("models", lambda: _mesh_models(settings[0]))
    service = _service(root)
    if service:
        yield _check("service", lambda: _service_line(service))
    if raspberry_pi.is_raspberry_pi(root):
        yield _check("power", lambda: raspberry_pi.power(root))
        yield _check("heat", lambda: raspberry_pi.heat(root))
        if settings[0].camera.source.strip().startswith(("auto", "picamera2")):
            yield _check("pi camera", lambda: _pi_camera(settings[0], root))
    yield _check("camera", lambda: _camera(settings[0], root, service))
    yield _check("broker", lambda: _broker(settings[0], root, own=not service))
    yield _check("clock", _clock)


def _check(name: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(name, work())
    except EdgeError as error:
        return Finding(name, " ".join(str(error).split()), error.exit_status)


def _python() -> str:
    from edge.device import system

    found = f"{platform.python_version()} on {system.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        raise UnavailableError(f"{found}: Python 3.11 or later is needed")
    _check_bits(platform.machine(), 8 * struct.calcsize("P"))
    return found


def _check_bits(kernel: str, bits: int) -> None:
    """Refuse a 32-bit system, which often has a 64-bit kernel; `kernel` as in `uname -m`."""
    if bits != BITS:
        kind = f"a {bits}-bit system on a 64-bit kernel" if "64" in kernel else f"a {bits}-bit system"
        raise UnavailableError(f"{kind}, for which there is no LiteRT: write the 64-bit Raspberry Pi OS to the card")


def _libraries() -> str:
    try:
        from edge.device.versions import library_versions
    except ImportError as error:
        raise UnavailableError(f"{error}: {hints.install('litert')}") from error
    versions = library_versions()
    return f"{versions['runtime']}, " + ", ".join(
        f"{name} {versions[name]}" for name in ("numpy", "opencv", "paho_mqtt")
    )


def _permissions(root: Path) -> str:
    from edge.camera.v4l2 import devices

    found = devices(root / "dev")
    refused = [device for device in found if not os.access(device, os.R_OK | os.W_OK)]
    if refused:
        raise PermissionRefusedError(
            f"{', '.join(map(str, refused))} may not be opened by this user: "
            "run `sudo usermod -aG video $USER` and log in again"
        )
    return f"{len(found)} video devices may be opened" if found else "no video device found"


def _disk(root: Path) -> str:
    from edge.face_mesh.models import cache_folder

    free: list[tuple[float, Path]] = []
    for folder in (cache_folder(), root / STATE):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        space = os.statvfs(there)
        free.append((space.f_bavail * space.f_frsize / 1e6, there))
    free_mb, there = min(free)
    if free_mb < FREE_MB:
        raise UnavailableError(f"only {free_mb:.0f} MB free at {there}: make room for at least {FREE_MB} MB")
    return f"{free_mb / 1000:.1f} GB free at {there}"


def _bundle(settings: Settings) -> str:
    from edge.bundle.locate import Installation

    bundle = Installation.of(settings).load(recording=settings.camera.is_recording)
    return f"{bundle.id} in {bundle.folder} works on this machine"


def _mesh_models(settings: Settings) -> str:
    from edge.bundle.locate import Installation
    from edge.face_mesh import open_face_mesh

    models = Installation.of(settings).mesh_models()
    open_face_mesh(settings.mesh, models).close()
    return f"face mesh models in {models.folder} are as published and run on {settings.mesh.backend}"


def _service(root: Path) -> dict[str, str]:
    """State of the service according to systemd; empty: no systemd, or no such unit."""
    try:
        answer = subprocess.run(
            [root / "usr/bin/systemctl", "show", UNIT, "-p", "LoadState,ActiveState,SubState,Result,StatusText"],
            capture_output=True, text=True, timeout=SYSTEMD_S, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    state = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return state if state.get("LoadState") == "loaded" else {}


def _service_line(state: dict[str, str]) -> str:
    if state["ActiveState"] == "failed" or state["SubState"] == "auto-restart":
        raise UnavailableError(
            f"the service keeps failing (result: {state['Result']}): see `journalctl -u {UNIT} -n 20`"
        )
    if state["ActiveState"] == "inactive":
        return f"the service is stopped; start it with `sudo systemctl start {UNIT}`"
    return f"the service is {state['ActiveState']}: {state['StatusText']}".rstrip(": ")


def _pi_camera(settings: Settings, root: Path) -> str:
    from edge.camera import v4l2
    from edge.device import raspberry_pi

    cameras = raspberry_pi.picamera2(root)
    if cameras:
        return f"libcamera lists {cameras}"
    if settings.camera.source.strip() == "auto" and any(map(v4l2.may_be_camera, v4l2.devices(root / "dev"))):
        return "none is connected, so a USB camera is used"
    raise UnavailableError(raspberry_pi.no_camera(root))


def _camera(settings: Settings, root: Path, service: dict[str, str]) -> str:
    from edge.camera import open_camera
    from edge.device import raspberry_pi

    runs = service.get("ActiveState") in {"active", "reloading"}
    chosen = settings.camera
    if chosen.is_network:
        password_file = chosen.password_file or _secret_of_service(root / CAMERA_PASSWORD)
        chosen = dataclasses.replace(chosen, password_file=password_file)
    try:
        # On a Pi a camera is expected, and the service never falls back to the demo.
        camera = open_camera(chosen, allow_demo=not runs and not raspberry_pi.is_raspberry_pi(root))
    except UnavailableError:
        if runs and not chosen.is_network:
            return "in use by the service"
        raise
    try:
        frame = camera.read(timeout_s=5.0)
    finally:
        camera.close()
    if frame is None:
        raise UnavailableError(f"{camera.name} delivers no frame: check its cable, and whether another program uses it")
    if frame.faces is not None:
        return f"{camera.name} delivers landmarks"
    if camera.name == "demo" and settings.camera.source == "auto":
        return "none found, so `run` shows the demo; connect a camera, or name one with --camera"
    width, height = frame.size
    field_of_view = settings.camera.field_of_view or frame.field_of_view
    seen = "" if field_of_view is None else f", {field_of_view:.0f} degrees wide"
    return f"{camera.name} delivers {width}x{height}{seen}"


def _broker(settings: Settings, root: Path, *, own: bool = False) -> str:
    """Check the broker of the settings.

    Args:
        settings: of everything.
        root: of the file system.
        own: whether `run` may be used with a broker of its own, as where there is no service.
    """
    from edge.messages.topics import Namespace
    from edge.mqtt import local_broker
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.client import V5, V311
    from edge.mqtt.probe import probe
    from edge.mqtt.reasons import REFUSALS
    from edge.settings import MqttSettings

    mqtt = settings.mqtt
    password_file = mqtt.password_file or _secret_of_service(root / PASSWORD)
    key_file = mqtt.key_file or _secret_of_service(root / CLIENT_KEY)
    address = BrokerAddress.of(dataclasses.replace(mqtt, password_file=password_file, key_file=key_file))
    if own and mqtt == MqttSettings() and local_broker.available() and not local_broker.answers(address):
        return f"none answers at {address}; `run --local-broker`, as in `make run`, starts one for as long as it runs"
    code: int | None = None
    for protocol, name in ((V5, "MQTT 5"), (V311, "MQTT 3.1.1")):
        code = _knock(address, protocol)
        if code == 0:
            probe(address, protocol, Namespace(mqtt.base, settings.device_name), answer_s=BROKER_S)
            if problem := _reported(address, mqtt.base, settings.device_name):
                raise UnavailableError(f"{settings.device_name!r} is online, and reports: {problem}")
            return f"{address} accepts {address.user}, {name}, and delivers what is published"
        if code in REFUSALS:
            raise PermissionRefusedError(
                f"{address} refuses {address.user}: check mqtt.username and mqtt.password_file"
            )
    raise UnavailableError(f"{address} accepts connections but does not speak MQTT: check mqtt.url")


def _reported(address: BrokerAddress, base: str, device: str) -> str:
    """The problem that this device reports, such as what the broker does not take of it; empty: none is known."""
    from edge.fleet.reader import read
    from edge.fleet.status import device_status
    from edge.messages.untrusted import printable

    found, _ = read(address, base, [device], wait_s=REPORTED_S)
    status = device_status(device, found[device])
    return printable(status.problem or "", limit=None) if status.online else ""


def _secret_of_service(file: Path) -> str:
    """The file of a secret that systemd gives to the service; empty if it has no content."""
    if not file.is_file() or not file.stat().st_size:
        return ""
    if not os.access(file, os.R_OK):
        raise PermissionRefusedError(f"only root can read {file}: run `sudo emotion-edge doctor`")
    return str(file) if file.read_bytes().strip() else ""


def _knock(address: BrokerAddress, protocol: MQTTProtocolVersion) -> int | None:
    """Connect once, without a client id. Return the reason code; None if the broker closes without one."""
    from edge.mqtt.client import connect_and_wait, new_client

    client = new_client(address, protocol)
    try:
        answer = connect_and_wait(client, address, KEEPALIVE_S, BROKER_S)
    except OSError as error:
        raise UnavailableError(
            f"{address} does not answer ({error.strerror or error}): start the broker, or name another with --mqtt"
        ) from error
    client.disconnect()
    return None if answer is None else answer.value


def _clock() -> str:
    from edge.device import system

    if not system.clock_synchronised():
        raise ConfigError(
            "the clock is not synchronised, so events may carry a wrong time: run `sudo timedatectl set-ntp true` if "
            "there is a network, else `sudo date -s 'YYYY-MM-DD hh:mm'` after each boot"
        )
    return "synchronised with a time server"
