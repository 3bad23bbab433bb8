"""Prints what is installed on a device, as one JSON object. The playbooks run it as root on the device.

It runs with the release's Python if there is a release, else with the system's. So it imports nothing of the project
before it knows that the release is there. Its output contains the broker's password.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

RELEASE = Path("/opt/emotion-edge/current")
MODELS = Path("/var/lib/emotion-edge/models")
ETC = Path("/etc/emotion-edge")
CACHE = Path("/var/cache/emotion-edge")
"""Folder into which the playbooks push."""
HEADER = "# Written by `make deploy`"
"""First words of a settings file that was not written by hand."""


def main() -> None:
    """Print the object."""
    print(json.dumps(system() | files() | settings()))


def system() -> dict[str, Any]:
    """The platform that wheels must fit."""
    return {
        "architecture": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def files() -> dict[str, Any]:
    """The release, the checkout it came from, complete archives that were pushed, and the model bundles."""
    bundles = {link: target(MODELS / link) for link in ("current", "previous", "shadow")}
    manifests = {link: digest(MODELS / link / "manifest.json") for link in ("current", "shadow")}
    file = ETC / "emotion-edge.toml"
    return {
        "release": target(RELEASE),
        "checkout": target(CACHE / "checkout"),
        "archives": sorted(last.parent.name for last in CACHE.glob("*/whole")),
        "bundles": bundles,
        "manifests": manifests,
        "settings_by_hand": file.exists() and not file.read_text("utf-8-sig", "replace").startswith(HEADER),
    }


def settings() -> dict[str, Any]:
    """The device name and its broker; `problem` says why they are unknown."""
    if not RELEASE.exists():
        return {"name": "", "mqtt": None, "problem": "emotion-edge is not installed: run make deploy first"}
    from edge import settings as edge_settings
    from edge.errors import EdgeError
    from edge.mqtt.address import BrokerAddress

    os.environ["CREDENTIALS_DIRECTORY"] = str(ETC)
    try:
        read = edge_settings.load(None)
        broker = BrokerAddress.of(read.mqtt)
    except EdgeError as error:
        return {"name": "", "mqtt": None, "problem": str(error)}
    address = {
        "url": str(broker),
        "here": broker.host in {"localhost", "::1"} or broker.host.startswith("127."),
        "base": read.mqtt.base,
        "username": broker.username or "",
        "password": broker.password or "",
        # A certificate is public, and the workstation needs it too.
        "ca": Path(read.mqtt.ca_file).read_text("utf-8-sig") if read.mqtt.ca_file else "",
    }
    return {"name": read.device_name, "mqtt": address, "problem": ""}


def target(link: Path) -> str:
    """The name of the folder that a link points to; empty: no such link."""
    return link.resolve().name if link.exists() else ""


def digest(file: Path) -> str:
    """The sha256 of a file; empty: no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


if __name__ == "__main__":
    main()
