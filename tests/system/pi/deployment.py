"""The life of one device in a fleet: each step of it is a command of the Makefile, and a look at what that did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema

from edge.errors import EdgeError
from edge.messages import payloads
from tests.support.broker import retained
from tests.system.device import REPOSITORY, UNIT
from tests.system.pi import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.broker import Listener, Mosquitto

WAIT_S = 300
"""For a message; an emulated processor needs about a second for each picture."""
COMMAND_S = 3600
"""For a command of the Makefile."""

EXPRESSIONS = 2
"""How many different ones have to be seen of the demo's, which shows three."""

SETTINGS = {
    "emotion_edge_camera_source": "demo",
    "emotion_edge_camera_fps": 2,
    "emotion_edge_mqtt_url": machine.BROKER_URL,
    "emotion_edge_mqtt_health_interval_s": 5,
}
"""As variables of the inventory."""


class Deployment:
    """One device, and the workstation that it is deployed from."""

    def __init__(self, pi: machine.Machine, broker: Mosquitto, listener: Listener, inventory: Path) -> None:
        """Prepare to deploy.

        Args:
            pi: The device; it may be asleep yet.
            broker: The device's, on this machine.
            listener: Hears all that the device says.
            inventory: A file to be written.
        """
        self._pi = pi
        self._listener = listener
        self._inventory = inventory
        self._broker = broker
        self._model = ""

    def wake(self) -> str:
        """Start the device."""
        self._pi.wake()
        system = self._pi.run("uname", "--kernel-release", "--machine").stdout.strip()
        debian = self._pi.run("cat", "/etc/debian_version").stdout.strip()
        python = self._pi.run("python3", "--version").stdout.strip()
        return f"Debian {debian}, Linux {system}, {python}"

    def from_nothing(self) -> str:
        """Deploy, and see the service run."""
        self._set()
        said = self._make("deploy")
        self._expect("active", self._unit("ActiveState"), "the service is")
        self._model = self._info()["model"]["id"]
        return f"{said}, with {self._model} and {self._info()['versions']['runtime']}"

    def events(self) -> str:
        """Wait until several expressions were reported, each as the contract has it."""

        def seen() -> list[str]:
            events = self._listener.payloads("event")
            for event in events:
                _check(event, "event")
            return [event["expression"] for event in events]

        shown = _until(
            lambda: len(set(seen()) - {payloads.NONE}) >= EXPRESSIONS and seen(),
            f"{EXPRESSIONS} different expressions",
        )
        health = self._health(lambda health: health["fps"] > 0)
        return f"{', '.join(shown)}; {health['fps']:.1f} frames/s, {health['latency_ms']['p50']:.0f} ms each"

    def again(self) -> str:
        """Deploy what is there already."""
        process = self._unit("MainPID")
        said = self._make("deploy", says="nothing changed")
        self._expect(process, self._unit("MainPID"), "the process is")
        return said

    def other_model(self) -> str:
        """Push a bundle, and see the device take it over without a restart."""
        folder = REPOSITORY / "model/landmarks"
        pushed = json.loads((folder / "manifest.json").read_text())["id"]
        return self._switched("deploy-model", pushed, f"BUNDLE={folder}")

    def rollback(self) -> str:
        """Go back to the bundle before."""
        return self._switched("rollback", self._model)

    def other_camera(self) -> str:
        """Change a setting of the device in the inventory, and see that frames come from there."""
        self._set(emotion_edge_camera_source="v4l2:/dev/video0")
        said = self._make("deploy")
        self._info(lambda info: info["camera"] == "v4l2:/dev/video0")
        marked = self._count("health")
        health = self._health(lambda health: health["fps"] > 0, after=marked)
        return f"{said}; {health['fps']:.1f} frames/s"

    def status(self) -> str:
        """The table of the fleet has the device, and all is well with it."""
        return self._make("status")

    def undeploy(self) -> str:
        """Take it all back."""
        said = self._make("undeploy")
        self._expect("not-found", self._unit("LoadState"), "the service is")
        left = self._pi.run("sudo", "find", "/opt/emotion-edge", "/var/lib/emotion-edge", check=False).stdout
        self._expect("", left, "there is still")
        self._expect("", ", ".join(retained(self._broker.port)), "the broker still keeps")
        return said

    def _switched(self, target: str, model: str, *variables: str) -> str:
        process, events = self._unit("MainPID"), self._count("event")
        said = self._make(target, *variables)
        self._info(lambda info: info["model"]["id"] == model and not info["problem"])
        self._expect(process, self._unit("MainPID"), "the process is")
        _until(
            lambda: any(event["model"] == model for event in self._listener.payloads("event")[events:]),
            f"an event of {model}",
        )
        return f"{said}; the process is the same, and its events are of {model}"

    def _set(self, **changes: str) -> None:
        """Write the inventory."""
        variables = {
            "ansible_ssh_common_args": f"-F {self._pi.ssh_config}",
            "ansible_ssh_timeout": 60,
            "fleet_health_gate_s": WAIT_S,
            # The golden faces alone: an emulated processor would need minutes for the trial after them.
            "fleet_trial_s": 0,
            "fleet_broker_url": self._broker.url,
            **SETTINGS,
            **changes,
        }
        self._inventory.write_text(json.dumps({"all": {"hosts": {machine.NAME: variables}}}))

    def _make(self, target: str, *variables: str, says: str = "") -> str:
        """Give a command of the Makefile, which has to print `says`; what it tells of the device in the end.

        Raises:
            EdgeError: it failed, or does not say so.
        """
        # What was asked of this make is not meant for that one.
        environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
        command = ["make", "--no-print-directory", target, f"INVENTORY={self._inventory}", *variables]
        lines = []
        with subprocess.Popen(
            ["timeout", "--foreground", str(COMMAND_S), *command],
            cwd=REPOSITORY,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"                {line}", end="", file=sys.stderr, flush=True)
                lines.append(" ".join(line.split()))
        end = next((line for line in reversed(lines) if line.startswith(f"{machine.NAME} ")), "nothing about it")
        if process.returncode:
            raise EdgeError(f"exit status {process.returncode}: {end}")
        if says not in lines and says:
            raise EdgeError(f"it does not say {says!r}: {end}")
        return end.removeprefix(f"{machine.NAME} ")

    def _unit(self, name: str) -> str:
        """A property of the service, as systemd tells it."""
        return self._pi.run("systemctl", "show", UNIT, f"--property={name}", "--value").stdout.strip()

    def _expect(self, wanted: str, found: str, what: str) -> None:
        if found != wanted:
            raise EdgeError(f"{what} {found or 'nothing'} instead of {wanted or 'nothing'}")

    def _count(self, level: str) -> int:
        return len(self._listener.payloads(level))

    def _info(self, good: Callable[[Any], bool] = bool) -> Any:
        """What the device last said that it is, once that is `good`."""
        return self._said("info", good, 0)

    def _health(self, good: Callable[[Any], bool], *, after: int = 0) -> Any:
        return self._said("health", good, after)

    def _said(self, level: str, good: Callable[[Any], bool], after: int) -> Any:
        """The last message of a kind, once that is `good` and valid."""

        def last() -> Any:
            said = self._listener.payloads(level)[after:]
            return said[-1] if said and good(said[-1]) else None

        payload = _until(last, f"{level} is as it should be; the last is {self._listener.payloads(level)[-1:]}")
        _check(payload, level)
        return payload


@cache
def _schema(kind: str) -> Any:
    return json.loads((REPOSITORY / f"edge/messages/schemas/{kind}.json").read_text())


def _check(payload: Any, kind: str) -> None:
    """Look whether a message is as its JSON Schema has it.

    Raises:
        EdgeError: it is not.
    """
    try:
        jsonschema.validate(payload, _schema(kind))
    except jsonschema.ValidationError as error:
        raise EdgeError(f"{kind} is not as the contract has it: {error.message}") from None


def _until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` is true and give its value.

    Raises:
        EdgeError: it never is.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise EdgeError(f"not within {WAIT_S} s: {what}")
