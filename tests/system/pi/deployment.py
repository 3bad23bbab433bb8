"""The life of a device in a fleet: each step runs a make target and checks its effect."""

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
"""Maximum time to wait for a message. An emulated processor needs about a second for each frame."""
COMMAND_S = 3600
"""Maximum time for a make target."""

EXPRESSIONS = 2
"""Number of different expressions that must be reported; the demo shows three."""

SETTINGS = {
    "emotion_edge_camera_source": "demo",
    "emotion_edge_camera_fps": 2,
    "emotion_edge_mqtt_url": machine.BROKER_URL,
    "emotion_edge_mqtt_health_interval_s": 5,
}
"""Settings of the device, as inventory variables."""


class Deployment:
    """A device, and the workstation from which it is deployed."""

    def __init__(self, pi: machine.Machine, broker: Mosquitto, listener: Listener, inventory: Path) -> None:
        """Keep the parts.

        Args:
            pi: the device, which need not run yet.
            broker: its broker, on this machine.
            listener: subscribed to everything that the device publishes.
            inventory: path at which to write the inventory.
        """
        self._pi = pi
        self._listener = listener
        self._inventory = inventory
        self._broker = broker
        self._model = ""

    def resume(self) -> str:
        """Start the device."""
        self._pi.resume()
        system = self._pi.run("uname", "--kernel-release", "--machine").stdout.strip()
        debian = self._pi.run("cat", "/etc/debian_version").stdout.strip()
        python = self._pi.run("python3", "--version").stdout.strip()
        return f"Debian {debian}, Linux {system}, {python}"

    def first(self) -> str:
        """Deploy, and check that the service runs."""
        self._set()
        result = self._make("deploy")
        self._expect("active", self._unit("ActiveState"), "the service is")
        self._model = self._info()["model"]["id"]
        return f"{result}, with {self._model} and {self._info()['versions']['runtime']}"

    def events(self) -> str:
        """Wait until several expressions have been reported, each in a valid event."""

        def reported() -> list[str]:
            events = self._listener.payloads("event")
            for event in events:
                _check(event, "event")
            return [event["expression"] for event in events]

        shown = _until(
            lambda: len(set(reported()) - {payloads.NONE}) >= EXPRESSIONS and reported(),
            f"{EXPRESSIONS} different expressions",
        )
        health = self._health(lambda health: health["fps"] > 0)
        return f"{', '.join(shown)}; {health['fps']:.1f} frames/s, {health['latency_ms']['p50']:.0f} ms each"

    def again(self) -> str:
        """Deploy the same again."""
        process = self._unit("MainPID")
        result = self._make("deploy", expected="nothing changed")
        self._expect(process, self._unit("MainPID"), "the process is")
        return result

    def other_model(self) -> str:
        """Deploy a bundle, and check that the device loads it without a restart."""
        folder = REPOSITORY / "model/landmarks"
        pushed = json.loads((folder / "manifest.json").read_text())["id"]
        return self._switched("deploy-model", pushed, f"BUNDLE={folder}")

    def rollback(self) -> str:
        """Return to the previous bundle."""
        return self._switched("rollback", self._model)

    def other_camera(self) -> str:
        """Change the camera in the inventory, and check that frames arrive."""
        self._set(emotion_edge_camera_source="v4l2:/dev/video0")
        result = self._make("deploy")
        self._info(lambda info: info["camera"] == "v4l2:/dev/video0")
        marked = self._count("health")
        health = self._health(lambda health: health["fps"] > 0, after=marked)
        return f"{result}; {health['fps']:.1f} frames/s"

    def status(self) -> str:
        """Check the device in the status table."""
        return self._make("status")

    def undeploy(self) -> str:
        """Remove everything."""
        result = self._make("undeploy")
        self._expect("not-found", self._unit("LoadState"), "the service is")
        left = self._pi.run("sudo", "find", "/opt/emotion-edge", "/var/lib/emotion-edge", check=False).stdout
        self._expect("", left, "the files left are")
        self._expect("", ", ".join(retained(self._broker.port)), "the broker still retains")
        return result

    def _switched(self, target: str, model: str, *variables: str) -> str:
        process, events = self._unit("MainPID"), self._count("event")
        result = self._make(target, *variables)
        self._info(lambda info: info["model"]["id"] == model and not info["problem"])
        self._expect(process, self._unit("MainPID"), "the process is")
        _until(
            lambda: any(event["model"] == model for event in self._listener.payloads("event")[events:]),
            f"an event of {model}",
        )
        return f"{result}; the process is the same, and its events name {model}"

    def _set(self, **changes: str) -> None:
        """Write the inventory."""
        variables = {
            "ansible_ssh_common_args": f"-F {self._pi.ssh_config}",
            "ansible_ssh_timeout": 60,
            "fleet_health_gate_s": WAIT_S,
            # Only the self-test: the trial after it would take minutes on an emulated processor.
            "fleet_trial_s": 0,
            "fleet_broker_url": self._broker.url,
            **SETTINGS,
            **changes,
        }
        self._inventory.write_text(json.dumps({"all": {"hosts": {machine.NAME: variables}}}))

    def _make(self, target: str, *variables: str, expected: str = "") -> str:
        """Run a make target, which must print the line `expected`; return the device's line of the summary.

        Raises:
            EdgeError: it failed, or didn't print that line.
        """
        # The options of the calling make are not meant for this one.
        environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
        command = ["make", "--no-print-directory", target, f"INVENTORY={self._inventory}"]
        command += [f"MODELS={self._inventory.parent / 'models'}", *variables]  # not what was trained in this checkout
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
        end = next(
            (line for line in reversed(lines) if line.startswith(f"{machine.NAME} ")), "no line about the device"
        )
        if process.returncode:
            raise EdgeError(f"exit status {process.returncode}: {end}")
        if expected and expected not in lines:
            raise EdgeError(f"it didn't print {expected!r}: {end}")
        return end.removeprefix(f"{machine.NAME} ")

    def _unit(self, name: str) -> str:
        """A property of the service, from systemctl."""
        return self._pi.run("systemctl", "show", UNIT, f"--property={name}", "--value").stdout.strip()

    def _expect(self, expected: str, found: str, what: str) -> None:
        if found != expected:
            raise EdgeError(f"{what} {found or 'nothing'} instead of {expected or 'nothing'}")

    def _count(self, level: str) -> int:
        return len(self._listener.payloads(level))

    def _info(self, good: Callable[[Any], bool] = bool) -> Any:
        """The last `info` of the device, once it is `good`."""
        return self._last("info", good, 0)

    def _health(self, good: Callable[[Any], bool], *, after: int = 0) -> Any:
        return self._last("health", good, after)

    def _last(self, level: str, good: Callable[[Any], bool], after: int) -> Any:
        """The last payload of a topic, once it is `good`; raises EdgeError if it is invalid."""

        def last() -> Any:
            received = self._listener.payloads(level)[after:]
            return received[-1] if received and good(received[-1]) else None

        payload = _until(last, f"a matching {level}; the last is {self._listener.payloads(level)[-1:]}")
        _check(payload, level)
        return payload


@cache
def _schema(kind: str) -> Any:
    return json.loads((REPOSITORY / f"edge/messages/schemas/{kind}.json").read_text())


def _check(payload: Any, kind: str) -> None:
    """Validate a payload against its JSON Schema.

    Raises:
        EdgeError: it is invalid.
    """
    try:
        jsonschema.validate(payload, _schema(kind))
    except jsonschema.ValidationError as error:
        raise EdgeError(f"{kind} violates its schema: {error.message}") from None


def _until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` is true and return its value.

    Raises:
        EdgeError: the time-out has passed.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise EdgeError(f"not within {WAIT_S} s: {what}")
