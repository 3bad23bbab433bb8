"""What is asked over MQTT is done and answered, by a real daemon over a real broker; what is not understood is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import edge
from edge import light
from edge.cli import main
from edge.errors import PermissionRefusedError, UnavailableError
from tests.edge.broker import Listener, free_port, retained, until

pytest_plugins = ("tests.edge.broker",)
pytestmark = pytest.mark.usefixtures("models")

SCHEMAS = Path(edge.__file__).parent / "schemas"


class Device:
    """A daemon on the demo, with a folder where it may remember."""

    def __init__(self, folder: Path, url: str) -> None:
        self.config = folder / "settings.toml"
        self.config.write_text(
            f'[device]\nname = "kitchen"\n[camera]\nsource = "demo"\n[mqtt]\nurl = "{url}"\nhealth_interval_s = 1.0\n'
        )
        self.state = folder / "state"
        self.state.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "--config", self.config, *options],
            env={**os.environ, "STATE_DIRECTORY": str(self.state)}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def stop(self) -> str:
        assert self.process is not None
        self.process.terminate()
        _, log = self.process.communicate(timeout=30)
        return log.decode()


@pytest.fixture
def device(tmp_path, broker):
    device = Device(tmp_path, broker.url)
    device.start()
    yield device
    if device.process is not None and device.process.poll() is None:
        device.process.kill()
        device.process.communicate()


@pytest.fixture
def listener(broker):
    with Listener(broker.port) as listener:
        yield listener


def ask(listener: Listener, name: str, payload: bytes | str = b"", **more: object) -> None:
    listener.client.publish(f"emotion/kitchen/command/{name}", payload, qos=1, **more)


def answers(listener: Listener, name: str) -> list[dict]:
    found = [m.payload for m in list(listener.heard) if m.topic == f"emotion/kitchen/reply/{name}"]
    return [json.loads(payload) for payload in found]


def newest(listener: Listener) -> dict:
    return listener.payloads("state")[-1] if listener.payloads("state") else {}


def started(listener: Listener) -> None:
    until(lambda: newest(listener).get("faces"), "a face is shown")


def test_a_pause_closes_the_camera_over_restarts_until_resume(device, listener, broker):
    started(listener)
    ask(listener, "pause", '{"id": "1"}')
    answer = until(lambda: answers(listener, "pause"), "the pause is answered")[0]
    Draft202012Validator(json.loads((SCHEMAS / "reply.json").read_text())).validate(answer)
    assert (answer["id"], answer["ok"]) == ("1", True)
    until(lambda: newest(listener)["paused"], "the state says so")
    assert newest(listener)["faces"] == []
    until(lambda: [event["type"] for event in listener.payloads("event")][-1:] == ["end"], "the face has left")
    # It goes on to tell how it is, and sees nothing.
    seen, well = len(listener.payloads("event")), len(listener.payloads("health"))
    until(lambda: len(listener.payloads("health")) >= well + 3, "health is published")
    assert listener.payloads("health")[-1]["fps"] == 0
    assert len(listener.payloads("event")) == seen
    device.stop()
    device.start()
    until(lambda: listener.payloads("availability")[-1] == "online", "it is there again")
    time.sleep(2)
    assert retained(broker.port)["state"]["paused"]
    assert len(listener.payloads("event")) == seen
    ask(listener, "resume")
    until(lambda: answers(listener, "resume"), "the resume is answered")
    until(lambda: newest(listener)["faces"], "a face is shown again")
    assert not newest(listener)["paused"]
    device.stop()
    seen = len(listener.payloads("event"))
    device.start()
    until(lambda: len(listener.payloads("event")) > seen, "it reads after a restart, too")


@pytest.mark.usefixtures("device")
def test_pause_and_resume_on_one_topic_as_a_switch_does(listener):
    started(listener)
    ask(listener, "pause", '{"paused": true}')
    until(lambda: newest(listener)["paused"], "paused")
    ask(listener, "pause", '{"paused": false}')
    until(lambda: newest(listener)["faces"], "reads again")
    assert [answer["ok"] for answer in answers(listener, "pause")] == [True, True]


def test_a_reload_is_answered_with_what_came_of_it(device, listener):
    started(listener)
    ask(listener, "reload", '{"id": "first"}')
    until(lambda: answers(listener, "reload"), "answered")
    device.config.write_text(device.config.read_text() + "[camera2]\n")
    ask(listener, "reload", '{"id": "second"}')
    until(lambda: len(answers(listener, "reload")) == 2, "answered again")
    first, second = answers(listener, "reload")
    assert (first["id"], first["ok"], second["id"], second["ok"]) == ("first", True, "second", False)
    assert "camera2" in second["message"]


def test_what_cannot_be_done_is_answered_and_harms_nothing(device, listener):
    started(listener)
    for name, payload in [("shutdown", b""), ("pause", b"\xff\xfe"), ("pause", b" " * 2000), ("pause", b'{"x": 1}')]:
        ask(listener, name, payload)
    until(lambda: len(answers(listener, "pause")) == 3 and answers(listener, "shutdown"), "all are answered")
    assert not any(answer["ok"] for answer in answers(listener, "pause") + answers(listener, "shutdown"))
    assert not newest(listener)["paused"]
    assert "Traceback" not in device.stop()


def test_a_retained_command_is_not_obeyed(device, listener):
    started(listener)
    device.stop()
    ask(listener, "pause", "{}", retain=True)
    device.start()
    until(lambda: [h for h in listener.payloads("health") if h["dropped_commands"]], "it is counted")
    assert not answers(listener, "pause")
    assert not newest(listener)["paused"]


def test_a_flood_is_dropped_and_counted(device, listener):
    started(listener)
    for _ in range(3000):
        ask(listener, "identify")
    ask(listener, "x" * 2000)
    health = until(
        lambda: [h for h in listener.payloads("health") if h["dropped_commands"] > 500], "the flood is counted"
    )[-1]
    assert health["dropped_commands"] + len(answers(listener, "identify")) <= 3001
    before = len(listener.payloads("event"))
    until(lambda: len(listener.payloads("event")) > before, "it reads on")
    assert "Traceback" not in device.stop()


names = st.text(st.characters(blacklist_characters="+#/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
commands = st.tuples(st.sampled_from(["pause", "reload", "identify"]) | names, st.binary(max_size=1200))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commands, max_size=10))
def test_random_messages_never_end_it(device, listener, batch):
    for name, payload in batch:
        ask(listener, name, payload)
    assert device.process.poll() is None


def test_it_is_announced_to_home_assistant_whenever_that_starts(device, listener):
    topic = "homeassistant/device/emotion-edge_kitchen/config"

    def announced() -> list[dict]:
        return [json.loads(m.payload) for m in list(listener.heard) if m.topic == topic and m.payload]

    first = until(announced, "announced at the start")[0]
    assert first["components"]["expression"]["platform"] == "sensor"
    listener.client.publish("homeassistant/status", "online")
    until(lambda: len(announced()) == 2, "announced again")
    device.config.write_text(device.config.read_text().replace('"kitchen"', '"cellar"'))
    ask(listener, "reload")
    until(lambda: [m for m in list(listener.heard) if m.topic == topic and not m.payload], "the old name is taken back")
    until(lambda: [m for m in list(listener.heard) if m.topic == topic.replace("kitchen", "cellar")], "and a new one")


def led(folder: Path, name: str) -> Path:
    light = folder / name
    light.mkdir(parents=True)
    (light / "trigger").write_text("none rfkill-any [mmc0] default-on\n")
    (light / "brightness").write_text("0")
    return light


@pytest.mark.parametrize("name", ["ACT", "led0"])
def test_the_light_of_the_board_blinks_and_shows_again_what_it_showed(tmp_path, monkeypatch, name):
    monkeypatch.setattr(light, "BLINK_S", 0.01)
    folder = led(tmp_path, name)
    assert light.blink(tmp_path) == name
    until(lambda: (folder / "trigger").read_text() == "mmc0", "it is as it was")


def test_without_a_light_it_says_so(tmp_path):
    with pytest.raises(UnavailableError, match="no light"):
        light.blink(tmp_path)
    folder = led(tmp_path, "ACT")
    (folder / "trigger").unlink()
    (folder / "trigger").mkdir()
    with pytest.raises(PermissionRefusedError, match="cannot be changed"):
        light.blink(tmp_path)


@pytest.fixture
def page(tmp_path, broker):
    """The address of the page of a daemon, and an opener that knows its token."""
    token, port = tmp_path / "token", free_port()
    token.touch(0o600)
    token.write_text("0123456789abcdef\n")
    device = Device(tmp_path, broker.url)
    device.start("--preview", f"127.0.0.1:{port}", "--preview-token-file", str(token))
    until(lambda: is_open(port), "the page is served")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    address = f"http://127.0.0.1:{port}"
    opener.open(f"{address}/?token=0123456789abcdef", timeout=20).close()
    yield address, opener
    device.stop()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_to_look_at_shows_the_daemon_and_turns_its_camera_off(page, listener):
    address, opener = page
    started(listener)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.build_opener().open(f"{address}/events", timeout=20)
    with opener.open(f"{address}/events", timeout=20) as stream:
        assert any(b'"expression"' in line and b'"points"' in line for line in stream)
    opener.addheaders = [("Origin", address)]
    opener.open(f"{address}/pause", b'{"paused": true}', timeout=20).close()
    until(lambda: newest(listener)["paused"], "the camera is off")


def test_a_device_that_is_gone_is_forgotten(device, listener, broker, capfd):
    started(listener)
    device.stop()
    assert {"state", "info", "availability"} <= set(retained(broker.port))
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == 0
    assert "'kitchen' is forgotten" in capfd.readouterr().out
    assert set(retained(broker.port)) == set()
    assert listener.payloads("config")[-1] == ""  # Home Assistant is told
    broker.kill()
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err.count("\n") == 1
