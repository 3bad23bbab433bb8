"""Says what is on a device, as one JSON object; for the playbooks, run as root on the device itself.

With the Python of the release where there is one, else with the system's, so nothing of the project is taken for
granted, and nothing is imported before it is there. What it says holds the password of the broker.
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
"""Where the playbooks put what they push."""
HEADER = "# Written by `make deploy`"
"""How settings begin that were not made by hand."""


def main() -> None:
    """Print it."""
    print(json.dumps(system() | files() | settings()))


def system() -> dict[str, Any]:
    """What wheels have to fit."""
    return {
        "architecture": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def files() -> dict[str, Any]:
    """The release, the checkout that it came from, and the bundles with what they are."""
    bundles = {link: target(MODELS / link) for link in ("current", "previous", "shadow")}
    manifests = {link: digest(MODELS / link / "manifest.json") for link in ("current", "shadow")}
    file = ETC / "emotion-edge.toml"
    return {
        "release": target(RELEASE),
        "checkout": target(CACHE / "checkout"),
        "bundles": bundles,
        "manifests": manifests,
        "settings_by_hand": file.exists() and not file.read_text("utf-8", "replace").startswith(HEADER),
    }


def settings() -> dict[str, Any]:
    """How it is called and which broker it talks to; `problem` is why that cannot be said."""
    if not RELEASE.exists():
        return {"name": "", "mqtt": None, "problem": "it is not installed: make deploy first"}
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
        # Everybody may know it, and the workstation needs it too.
        "ca": Path(read.mqtt.ca_file).read_text("utf-8") if read.mqtt.ca_file else "",
    }
    return {"name": read.device_name, "mqtt": address, "problem": ""}


def target(link: Path) -> str:
    """The name of what a link leads to; empty: there is none."""
    return link.resolve().name if link.exists() else ""


def digest(file: Path) -> str:
    """The sha256 of a file; empty: there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


if __name__ == "__main__":
    main()
