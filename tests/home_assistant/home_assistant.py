"""A real Home Assistant in a separate process, and a device that publishes discovery messages."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.messages import home_assistant, payloads
from edge.messages.topics import AVAILABILITY, DISCOVERY, Namespace
from tests.support.broker import free_port, until

if TYPE_CHECKING:
    from typing import Self

    from edge.messages.payloads import Payload
    from edge.messages.topics import Topic
    from tests.support.broker import Mosquitto

REPOSITORY = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("EMOTION_EDGE_HOME_ASSISTANT", REPOSITORY / ".venv" / "home-assistant" / "bin" / "python"))
"""Python of an environment with Home Assistant, whose dependencies conflict with those of the tests."""

ANSWER_S = 180.0
"""Maximum time for an answer. Starting Home Assistant takes long on a busy machine."""

CONFIGURATION = """
homeassistant:
  name: test
http:
  server_host: 127.0.0.1
  server_port: {port}
"""


class HomeAssistant:
    """Sends requests to `instance.py`, which runs inside Home Assistant."""

    def __init__(self, folder: Path, broker: Mosquitto, automations: str = "") -> None:
        if not PYTHON.exists():
            pytest.skip(f"Home Assistant is missing in {PYTHON.parents[1]}; make test-home-assistant installs it")
        self._options = {"folder": str(folder), "broker_port": broker.port}
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=free_port()) + automations)
        self._log = folder / "instance.log"
        self._answers: queue.Queue[bytes] = queue.Queue()

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, Path(__file__).with_name("instance.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        threading.Thread(target=self._receive, daemon=True).start()
        assert self._send(self._options) == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        # The process ends with its input.
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def request(self, name: str, **options: Any) -> Any:
        """Send a request to `instance.py` and return its result."""
        return self._send({"do": name, **options})

    def call(self, service: str, entity: str) -> None:
        """Call a service, as a switch or button in a browser does."""
        domain, _, action = service.partition(".")
        self.request("call", domain=domain, service=action, data={"entity_id": entity})

    def state(self, entity: str) -> str | None:
        """The state of an entity; None if it doesn't exist."""
        return self.request("states").get(entity, {}).get("state")

    def attributes(self, entity: str) -> dict[str, Any]:
        return self.request("states")[entity]["attributes"]

    def until_state(self, entity: str, expected: str | None) -> None:
        until(lambda: self.state(entity) == expected, f"{entity} is {expected}", ANSWER_S)

    def until_other(self, entity: str, than: str | None) -> None:
        until(lambda: self.state(entity) not in {None, than}, f"{entity} is no longer {than}", ANSWER_S)

    def _send(self, line: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()
        try:
            answer = json.loads(self._answers.get(timeout=ANSWER_S) or "{}")
        except queue.Empty:
            pytest.fail(f"Home Assistant doesn't answer {line}; its log: {self._log.read_text()[-2000:]}")
        if "is" not in answer:
            pytest.fail(f"{line}: {answer.get('failed') or self._log.read_text()[-2000:]}")
        return answer["is"]

    def _receive(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")


class Device:
    """Publishes the payloads of a device, made by the daemon's code, with a real client."""

    def __init__(self, broker: Mosquitto, name: str = "livingroom") -> None:
        self.name = name
        self.names = Namespace("emotion", name, "homeassistant")
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish_discovery(
        self, info: payloads.Info, health_interval_s: float = 30.0, absent: tuple[str, ...] = ()
    ) -> Payload:
        payload = home_assistant.discovery(self.name, self.names.base, info, health_interval_s, absent=absent)
        self.publish_payload(DISCOVERY, payload)
        return payload

    def publish_payload(self, topic: Topic, payload: Payload) -> None:
        self.publish(topic, payloads.encode(payload))

    def publish_availability(self, payload: bytes) -> None:
        self.publish(AVAILABILITY, payload)

    def remove(self) -> None:
        """Remove the discovery message, as `emotion-edge forget` does first."""
        self.publish(DISCOVERY, b"")

    def publish(self, topic: Topic, payload: bytes) -> None:
        sent = self._client.publish(self.names.path(topic), payload, topic.qos, topic.retained)
        sent.wait_for_publish(ANSWER_S)
