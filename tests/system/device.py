"""A device: the product in a container, installed by its own installer, with a broker on the host's loopback."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.workstation.pack import CHECKOUT as CHECKOUT_FILES

if TYPE_CHECKING:
    from tests.support.broker import Mosquitto
    from tests.system.container import Container

REPOSITORY = Path(__file__).parents[2]
CHECKOUT = "/root/emotion-edge"

UNIT = "emotion-edge.service"
SETTINGS = "/etc/emotion-edge/emotion-edge.toml"
PYTHON = "/opt/emotion-edge/current/bin/python"


class Device:
    """Actions of tests on a device."""

    def __init__(self, container: Container, broker: Mosquitto) -> None:
        self.container = container
        self.broker = broker
        self.run = container.run
        self._cursor = ""

    def push_checkout(self) -> None:
        """Copy the files of this checkout that the installer needs."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "checkout"
            copy.mkdir()
            for name in CHECKOUT_FILES:
                source, target = REPOSITORY / name, copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, target)
            self.run("rm", "-rf", CHECKOUT)
            self.container.push(copy, CHECKOUT)

    def install(self) -> str:
        """Run the installer and return its output."""
        return self.run(f"{CHECKOUT}/deploy/install.sh", timeout_s=300).stdout

    def set(self, extra: str = "", **camera: str | float) -> None:
        """Write the settings: camera, broker and `extra` lines."""
        lines = {"source": "picamera2", **camera}
        values = "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in lines.items())
        mqtt = f'url = "{self.broker.url}"\nkeepalive_s = 5\nretry_max_s = 1.0\nhealth_interval_s = 1.0\n'
        self.write(SETTINGS, f"[camera]\n{values}[mqtt]\n{mqtt}{extra}")

    def write(self, path: str, text: str) -> None:
        """Write a world-readable file."""
        self.run("mkdir", "-p", Path(path).parent)
        Path(f"{self.container.root}{path}").write_text(text)

    def drop_in(self, text: str) -> None:
        """Replace the drop-in for the unit's section [Service]; empty text clears it."""
        self.write(f"/etc/systemd/system/{UNIT}.d/test.conf", f"[Service]\n{text}\n")
        self.run("systemctl", "daemon-reload")

    def show(self, name: str) -> str:
        """A property of the unit, from systemctl."""
        return self.run("systemctl", "show", UNIT, f"--property={name}", "--value").stdout.strip()

    def is_ready(self) -> bool:
        """Whether the daemon has reported that it is ready."""
        return self.show("ActiveState") == "active"

    def mark(self) -> None:
        """Let `journal` start here."""
        last = self.run("journalctl", "--lines=0", "--show-cursor").stdout
        self._cursor = last.partition("cursor: ")[2].strip()

    def journal(self, *matches: str) -> list[str]:
        """The journal of the unit since `mark`."""
        self.run("journalctl", "--sync")
        return self.run(
            "journalctl", "--output=cat", f"--unit={UNIT}", f"--after-cursor={self._cursor}", *matches
        ).stdout.splitlines()

    def python(self, script: str, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run a script with the Python of the installed release and return its output."""
        return self.run(PYTHON, "-c", script, *arguments, timeout_s=timeout_s).stdout
