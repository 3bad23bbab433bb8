"""`emotion-edge doctor`: one line for each thing that has to be right, and what to do where it is not."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings
from edge.errors import ConfigError, EdgeError, PermissionRefusedError, UnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from paho.mqtt.enums import MQTTProtocolVersion

    from edge.broker_address import BrokerAddress
    from edge.settings import Settings

OLDEST_PYTHON = (3, 11)
FREE_MB = 100
"""Less free space than this cannot hold a bundle beside the one in use, and starves the journal."""


BROKER_S = 5.0
"""How long a broker may take to answer a greeting."""
KEEPALIVE_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    line: str
    """What was found, or what to do."""
    exit_status: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is to be done."""
        return self.exit_status == 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-edge doctor --camera v4l2:/dev/video0"
    add_settings_arguments(parser, camera=True, mqtt=True)
    parser.add_argument("--json", action="store_true", help="one JSON object a check and line")


def run(args: argparse.Namespace) -> int:
    """Check everything; the exit status is that of the first thing that is wrong."""
    status = 0
    for finding in _examine(lambda: load_settings(args)):
        if args.json:
            print(json.dumps({"check": finding.name, "ok": finding.ok, "line": finding.line}), flush=True)
        else:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:12}{finding.line}", flush=True)
        status = status or finding.exit_status
    return status


def _examine(load: Callable[[], Settings]) -> Iterator[Finding]:
    yield _check("python", _python)
    yield _check("libraries", _libraries)
    settings: list[Settings] = []

    def settings_line() -> str:
        settings.append(load())
        return f"device {settings[0].device_name!r}, topic {settings[0].mqtt.base}/{settings[0].device_name}/"

    yield _check("settings", settings_line)
    if not settings:
        return
    yield _check("permissions", _permissions)
    yield _check("disk", _disk)
    yield _check("bundle", lambda: _bundle(settings[0]))
    yield _check("models", lambda: _mesh_models(settings[0]))
    yield _check("camera", lambda: _camera(settings[0]))
    yield _check("broker", lambda: _broker(settings[0]))
    yield _check("clock", _clock)


def _check(name: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(name, work())
    except EdgeError as error:
        return Finding(name, " ".join(str(error).split()), error.exit_status)


def _python() -> str:
    from edge import system

    found = f"{platform.python_version()} on {system.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        raise UnavailableError(f"{found}: 3.11 or later is needed")
    if sys.maxsize < 2**32:
        raise UnavailableError(f"{found} is a 32-bit Python: install the 64-bit Raspberry Pi OS")
    return found


def _libraries() -> str:
    try:
        from edge.daemon import library_versions
    except ImportError as error:
        raise UnavailableError(f"{error}: install emotion-edge again (pip install --force-reinstall)") from error
    versions = library_versions()
    return f"{versions['runtime']}, " + ", ".join(
        f"{name} {versions[name]}" for name in ("numpy", "opencv", "paho_mqtt")
    )


def _permissions() -> str:
    from edge.camera.v4l2 import devices

    found = devices()
    refused = [device for device in found if not os.access(device, os.R_OK | os.W_OK)]
    if refused:
        raise PermissionRefusedError(
            f"{', '.join(map(str, refused))} may not be opened by this user: "
            "run `sudo usermod -aG video $USER` and log in again"
        )
    return f"{len(found)} video devices may be opened" if found else "nothing is refused (there is no video device)"


def _disk() -> str:
    from edge.mesh_models import cache_folder

    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    space = os.statvfs(folder)
    free_mb = space.f_bavail * space.f_frsize / 1e6
    if free_mb < FREE_MB:
        raise UnavailableError(f"{free_mb:.0f} MB free at {folder}: free at least {FREE_MB} MB")
    return f"{free_mb / 1000:.1f} GB free at {folder}"


def _bundle(settings: Settings) -> str:
    from edge import bundle as bundles

    bundle = bundles.for_camera(settings)
    return f"{bundle.id} in {bundle.folder} gives the right answers here"


def _mesh_models(settings: Settings) -> str:
    from edge import bundle as bundles
    from edge.face_mesh import open_face_mesh

    models = bundles.mesh_in_use(settings)
    open_face_mesh(settings.mesh, models).close()
    return f"face mesh in {models.folder} is as published and runs on {settings.mesh.backend}"


def _camera(settings: Settings) -> str:
    from edge.camera import open_camera

    camera = open_camera(settings.camera)
    try:
        frame = camera.read(timeout_s=5.0)
    finally:
        camera.close()
    if frame is None:
        raise UnavailableError(f"{camera.name} delivers no frame: check its cable, and that no other program uses it")
    if frame.faces is not None:
        return f"{camera.name} delivers landmarks"
    if camera.name == "demo" and settings.camera.source == "auto":
        return "none found, so `run` shows the demo; connect one, or name it with --camera"
    height, width = frame.rgb.shape[:2]
    return f"{camera.name} delivers {width}x{height}"


def _broker(settings: Settings) -> str:
    from edge.broker_address import BrokerAddress
    from edge.mqtt_client import REFUSALS, V5, V311

    mqtt = settings.mqtt
    address = BrokerAddress.parse(mqtt.url, username=mqtt.username, password_file=mqtt.password_file)
    code: int | None = None
    for protocol, name in ((V5, "MQTT 5"), (V311, "MQTT 3.1.1")):
        code = _knock(address, protocol)
        if code == 0:
            return f"{address} accepts {address.user}, {name}"
        if code in REFUSALS:
            raise PermissionRefusedError(
                f"{address} refuses {address.user}: check mqtt.username and mqtt.password_file"
            )
    raise UnavailableError(f"{address} takes connections but does not speak MQTT: check mqtt.url")


def _knock(address: BrokerAddress, protocol: MQTTProtocolVersion) -> int | None:
    """Connect once, as a client of no name; the reason code, or None where the broker gives none."""
    from edge.mqtt_client import first_answer, new_client

    client = new_client(address, protocol)
    try:
        answer = first_answer(client, address, KEEPALIVE_S, BROKER_S)
    except OSError as error:
        raise UnavailableError(
            f"{address} does not answer ({error.strerror or error}): start the broker, or name another with --mqtt"
        ) from error
    client.disconnect()
    return None if answer is None else answer.value


def _clock() -> str:
    from edge import system

    if not system.clock_synchronised():
        raise ConfigError(
            "the clock is not set from a time server, so events may carry a wrong time: "
            "run `sudo timedatectl set-ntp true`"
        )
    return "set from a time server"
