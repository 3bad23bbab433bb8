"""The product on its device: installed in a container by its own installer, with a broker at the host's loopback."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.workstation.pack import CHECKOUT as NEEDED

if TYPE_CHECKING:
    from tests.support.broker import Mosquitto
    from tests.system.container import Container

REPOSITORY = Path(__file__).parents[2]
CHECKOUT = "/root/emotion-edge"

UNIT = "emotion-edge.service"
SETTINGS = "/etc/emotion-edge/emotion-edge.toml"
PYTHON = "/opt/emotion-edge/current/bin/python"


class Device:
    """What tests do with it."""

    def __init__(self, container: Container, broker: Mosquitto) -> None:
        self.container = container
        self.broker = broker
        self.run = container.run
        self._cursor = ""

    def push_checkout(self) -> None:
        """Copy this checkout to where `git clone` would put it, with the task file that `make` has fetched."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "checkout"
            copy.mkdir()
            for name in NEEDED:
                source, target = REPOSITORY / name, copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, target)
            self.run("rm", "-rf", CHECKOUT)
            self.container.push(copy, CHECKOUT)

    def install(self) -> str:
        """Run the installer and give what it printed."""
        return self.run(f"{CHECKOUT}/deploy/install.sh", timeout_s=300).stdout

    def set(self, extra: str = "", **camera: str | float) -> None:
        """Write the settings: the camera's, this broker's, and whatever more."""
        lines = {"source": "picamera2", **camera}
        values = "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in lines.items())
        mqtt = f'url = "{self.broker.url}"\nkeepalive_s = 5\nretry_max_s = 1.0\nhealth_interval_s = 1.0\n'
        self.write(SETTINGS, f"[camera]\n{values}[mqtt]\n{mqtt}{extra}")

    def write(self, path: str, text: str) -> None:
        """Write a file that everybody may read."""
        self.run("mkdir", "-p", Path(path).parent)
        Path(f"{self.container.root}{path}").write_text(text)

    def drop_in(self, text: str) -> None:
        """Add to the unit's section [Service]; an empty text takes that back."""
        self.write(f"/etc/systemd/system/{UNIT}.d/test.conf", f"[Service]\n{text}\n")
        self.run("systemctl", "daemon-reload")

    def show(self, name: str) -> str:
        """A property of the unit, as systemd tells it."""
        return self.run("systemctl", "show", UNIT, f"--property={name}", "--value").stdout.strip()

    def is_ready(self) -> bool:
        """Whether the daemon has said that it is ready."""
        return self.show("ActiveState") == "active"

    def mark(self) -> None:
        """From here on the journal is read."""
        last = self.run("journalctl", "--lines=0", "--show-cursor").stdout
        self._cursor = last.partition("cursor: ")[2].strip()

    def journal(self, *matches: str) -> list[str]:
        """The lines of the daemon, and of systemd about it, since `mark`."""
        self.run("journalctl", "--sync")
        return self.run(
            "journalctl", "--output=cat", f"--unit={UNIT}", f"--after-cursor={self._cursor}", *matches
        ).stdout.splitlines()

    def python(self, script: str, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run a script with the release's Python and give what it printed."""
        return self.run(PYTHON, "-c", script, *arguments, timeout_s=timeout_s).stdout
