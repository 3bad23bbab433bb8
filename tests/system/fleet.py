"""Containers as devices that a workstation reaches over ssh, and the playbooks that run on them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.broker import free_port
from tests.system.device import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.broker import Mosquitto
    from tests.system.container import Container

BIN = REPOSITORY / ".venv" / "test" / "bin"
"""Programs of the workstation, from the environment of `make test-fleet`."""

USER = "pi"

_LINE = re.compile(
    r"^  (?P<host>\S+)\s+(?P<word>done|unchanged|would do|offline|failed|rolled back|not tried)\s+(?P<why>.*)$"
)


@dataclass(frozen=True)
class Outcome:
    """The result of a playbook."""

    status: int
    text: str
    """Its output."""

    @property
    def words(self) -> dict[str, str]:
        """Outcome by device, from the summary."""
        return {found["host"]: found["word"] for found in self._lines()}

    @property
    def reasons(self) -> dict[str, str]:
        """Reason by device, from the summary."""
        return {found["host"]: found["why"] for found in self._lines()}

    @property
    def nothing_changed(self) -> bool:
        return self.text.rstrip().endswith("nothing changed")

    def _lines(self) -> list[re.Match[str]]:
        table = self.text.partition("\nSummary\n")[2]
        return [found for line in table.splitlines() if (found := _LINE.match(line))]


@dataclass
class Fleet:
    """A workstation with devices, an inventory and a broker."""

    folder: Path
    broker: Mosquitto
    devices: dict[str, Container] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    """Inventory variables of all devices."""
    of_device: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Inventory variables by device."""

    def __post_init__(self) -> None:
        self.key = self.folder / "ssh-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)

    def join(self, name: str, container: Container) -> None:
        """Add a container that is reachable over ssh, with a user who may use sudo, as on a Pi."""
        run = container.run
        run("useradd", "--create-home", "--shell=/bin/bash", "--password=*", USER)
        run("install", "--directory", f"--owner={USER}", "--mode=700", f"/home/{USER}/.ssh")
        container.push(self.key.with_suffix(".pub"), f"/home/{USER}/.ssh/authorized_keys")
        run("chown", USER, f"/home/{USER}/.ssh/authorized_keys")
        container.push(self._file("sudoers", f"{USER} ALL=(ALL) NOPASSWD: ALL\n"), "/etc/sudoers.d/010_pi-nopasswd")
        self.devices[name] = container
        self.of_device[name] = {
            "ansible_host": "127.0.0.1",
            "ansible_port": free_port(),
            "ansible_user": USER,
            "emotion_edge_device_name": name,
        }
        self.connect(name)

    def connect(self, name: str) -> None:
        """Start the device's sshd."""
        port = self.of_device[name]["ansible_port"]
        run = self.devices[name].run
        run("mkdir", "-p", "/run/sshd")
        run(
            *("systemd-run", "--quiet", "--collect", "--unit=testbed-sshd", "--property=KillMode=control-group"),
            *("/usr/sbin/sshd", "-D", "-e", f"-oPort={port}", "-oListenAddress=127.0.0.1"),
        )

    def disconnect(self, name: str) -> None:
        """Make the device unreachable."""
        device = self.devices[name]
        device.run("systemctl", "stop", "testbed-sshd.service")
        # A session outlives the service, and ssh would reuse it for the next command.
        device.run("loginctl", "terminate-user", USER, check=False)

    def play(self, book: str, *arguments: str, only: str = "", **environment: str) -> Outcome:
        """Run a playbook as `make` does."""
        return self.run(
            *(str(BIN / "ansible-playbook"), "--inventory", str(self.inventory())),
            *(f"deploy/ansible/{book}.yml", *arguments),
            *(["--limit", only] if only else []),
            **environment,
        )

    def run(self, *argv: str | Path, **environment: str) -> Outcome:
        """Run a command on the workstation, in the checkout."""
        done = subprocess.run(
            argv,
            cwd=REPOSITORY,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": "deploy/ansible/ansible.cfg",
                "MODELS": str(self.folder / "models"),  # not what was trained in this checkout
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        return Outcome(done.returncode, done.stdout)

    def inventory(self) -> Path:
        """Write the inventory. JSON is valid YAML."""
        common = {
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": "-oUserKnownHostsFile=/dev/null",
        }
        return self._file(
            "fleet.yml", json.dumps({"all": {"vars": {**common, **self.variables}, "hosts": self.of_device}}, indent=1)
        )

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path
