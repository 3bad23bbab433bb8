"""What is asked over MQTT is done and answered, by a real daemon over a real broker; what is not understood is not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import edge
from edge.bundle import bundle as bundles
from edge.camera.demo.camera import DemoCamera
from edge.camera.demo.script import NEUTRAL, pose_at
from edge.camera.recording_file import RecordingWriter
from edge.classifier.features import Features
from edge.cli import main
from edge.commands import calibrate
from edge.daemon import state_directory
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.settings import CameraSettings, MeshSettings
from edge.values import Frame
from tests.support.broker import Listener, free_port, retained, until
from tests.support.impatient import CALIBRATION_S
from tests.support.released import LANDMARK_BUNDLE

pytest_plugins = ("tests.support.broker",)
pytestmark = pytest.mark.usefixtures("models")

SCHEMAS = Path(edge.__file__).parent / "messages" / "schemas"
REPOSITORY = Path(__file__).parents[3]
ACCESS_LIST = REPOSITORY / "deploy" / "integrations" / "mosquitto" / "acl"


class Device:
    """A daemon on the demo or another camera, with a folder where it may remember."""

    def __init__(self, folder: Path, url: str, source: str = "demo") -> None:
        self.program = "edge"
        self.config = folder / "settings.toml"
        self.config.write_text(
            f'[device]\nname = "kitchen"\n[camera]\nsource = "{source}"\n'
            f'[mqtt]\nurl = "{url}"\nhealth_interval_s = 1.0\n'
        )
        self.state = folder / "state"
        self.state.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, by_hand: bool = False) -> None:
        remembers = {} if by_hand else {"STATE_DIRECTORY": str(self.state)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.program, "run", "--config", self.config, *options],
            env={**os.environ, **remembers}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=REPOSITORY,
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


def ask(listener: Listener, name: str, payload: bytes | str = b"", **more: Any) -> None:
    listener.client.publish(f"emotion/kitchen/command/{name}", payload, qos=1, **more)


def answers(listener: Listener, name: str) -> list[dict]:
    found = [m.payload for m in list(listener.messages) if m.topic == f"emotion/kitchen/reply/{name}"]
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
    until(lambda: len(listener.payloads("health")) >= well + 2, "health is published of a time in which it was paused")
    assert listener.payloads("health")[-1]["fps"] == 0
    assert len(listener.payloads("event")) == seen
    device.stop()
    well = len(listener.payloads("health"))
    device.start()
    until(lambda: len(listener.payloads("health")) > well, "it is there again, and has had time to look")
    assert listener.payloads("health")[-1]["fps"] == 0
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
    before = len(listener.payloads("state"))
    until(lambda: len(listener.payloads("state")) > before + 1 and newest(listener)["faces"], "it reads on")
    assert "Traceback" not in device.stop()


names = st.text(st.characters(blacklist_characters="+#/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
commands = st.tuples(st.sampled_from(["pause", "calibrate", "reload", "identify"]) | names, st.binary(max_size=1200))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commands, max_size=10))
def test_random_messages_never_end_it(device, listener, batch):
    for name, payload in batch:
        ask(listener, name, payload)
    assert device.process.poll() is None


def test_it_is_announced_to_home_assistant_whenever_that_starts(device, listener):
    topic = "homeassistant/device/emotion-edge_kitchen/config"

    def announced() -> list[dict]:
        return [json.loads(m.payload) for m in list(listener.messages) if m.topic == topic and m.payload]

    first = until(announced, "announced at the start")[0]
    assert first["components"]["expression"]["platform"] == "sensor"
    listener.client.publish("homeassistant/status", "online")
    until(lambda: len(announced()) == 2, "announced again")
    device.config.write_text(device.config.read_text().replace('"kitchen"', '"cellar"'))
    ask(listener, "reload")
    until(
        lambda: [m for m in list(listener.messages) if m.topic == topic and not m.payload], "the old name is taken back"
    )
    until(
        lambda: [m for m in list(listener.messages) if m.topic == topic.replace("kitchen", "cellar")], "and a new one"
    )


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
    assert "removed 'kitchen'" in capfd.readouterr().out
    assert set(retained(broker.port)) == set()
    assert listener.payloads("config")[-1] == ""  # Home Assistant is told
    broker.kill()
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err.count("\n") == 1


FPS = 15.0


@pytest.fixture(scope="session")
def recordings(models, tmp_path_factory) -> Path:
    """A folder with `neutral`, two minutes of a person at rest, `short`, four seconds of it, and `empty`, of nobody."""
    folder = tmp_path_factory.mktemp("recordings")
    camera, mesh = DemoCamera(CameraSettings(width=640, height=480)), LiteRTFaceMesh(MeshSettings(), models)
    pictures = [camera._portrait.draw(pose_at(abs(i / FPS - 1)), NEUTRAL) for i in range(round(2 * FPS))]
    frames = [mesh.process(Frame(picture, i / FPS)) for i, picture in enumerate(pictures)]
    for name, faces, seconds in (("neutral", frames, 120), ("short", frames, 4), ("empty", [()], 120)):
        with RecordingWriter(folder / name, width=640, height=480) as writer:
            for i in range(round(seconds * FPS)):
                writer.write(Frame(pictures[0], i / FPS, faces[i % len(faces)]))
    return folder


@pytest.fixture
def person(tmp_path, broker, recordings):
    """A device that sees a person at rest, and calibrates quickly."""
    device = Device(tmp_path, broker.url, f"recording:{recordings / 'neutral'}")
    device.program = "tests.support.impatient"
    yield device
    if device.process is not None and device.process.poll() is None:
        device.process.kill()
        device.process.communicate()


def baseline(listener: Listener) -> str | None:
    """When the neutral face was measured, as `info` says."""
    return listener.payloads("info")[-1]["baseline"]


def answered(listener: Listener, count: int = 1) -> dict:
    until(lambda: len(answers(listener, "calibrate")) >= count, "the calibration is answered", 30 + CALIBRATION_S)
    return answers(listener, "calibrate")[count - 1]


def begun(person: Device, listener: Listener) -> None:
    """A calibration is under way, and lasts; while it does, another is refused."""
    person.program = "edge"
    person.start()
    started(listener)
    ask(listener, "calibrate", '{"id": "first"}')
    ask(listener, "calibrate", '{"id": "second"}')
    assert answered(listener)["message"] == "a calibration is already in progress: wait until it has finished"


def probabilities(listener: Listener) -> dict[str, float]:
    return newest(listener)["faces"][0]["probabilities"]


def test_a_neutral_face_is_measured_used_kept_and_cleared(person, listener, broker):
    person.start()
    started(listener)
    assert baseline(listener) is None
    before = probabilities(listener)
    ask(listener, "calibrate", '{"id": "7"}')
    answer = answered(listener)
    assert (answer["id"], answer["ok"]) == ("7", True), answer
    assert re.fullmatch(r"measured the neutral baseline on \d+ frames in 1.5 s", answer["message"])
    until(lambda: baseline(listener), "info says so")
    Draft202012Validator(json.loads((SCHEMAS / "info.json").read_text())).validate(listener.payloads("info")[-1])
    until(
        lambda: max(abs(share - before[label]) for label, share in probabilities(listener).items()) > 0.01,
        "the same face is read otherwise",
    )
    assert {event["type"] for event in listener.payloads("event")} <= {"new", "update"}, "the face has stayed"
    file = person.state / state_directory.BASELINE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    person.stop()
    person.start()
    until(lambda: listener.payloads("availability")[-2:] == ["offline", "online"], "it is there again")
    measured = baseline(listener)
    assert retained(broker.port)["info"]["baseline"] == measured
    assert measured is not None
    ask(listener, "calibrate", '{"clear": true}')
    assert answered(listener, 2)["message"] == "cleared the neutral baseline"
    until(lambda: baseline(listener) is None, "info says so")
    assert not file.exists()
    log = person.stop()
    assert f", neutral baseline of {measured}" in log, "it is told at the start"
    assert "Traceback" not in log


def test_started_by_hand_it_says_for_how_long_it_holds(person, listener):
    person.start(by_hand=True)
    started(listener)
    ask(listener, "calibrate")
    answer = answered(listener)
    assert answer["ok"]
    assert answer["message"].endswith(" frames in 1.5 s, for this run only")
    assert not list(person.state.iterdir())


def test_nobody_is_there_or_nobody_looks(tmp_path, broker, listener, recordings):
    device = Device(tmp_path, broker.url, f"recording:{recordings / 'empty'}")
    device.program = "tests.support.impatient"
    device.start()
    until(lambda: listener.payloads("health"), "it is there")
    ask(listener, "calibrate")
    assert "no face was seen" in answered(listener)["message"]
    ask(listener, "pause")
    ask(listener, "calibrate")
    answer = answered(listener, 2)
    assert (answer["ok"], answer["message"]) == (False, "the camera is paused: send resume, then calibrate again")
    device.stop()


def test_who_does_not_keep_still_is_told_and_events_go_on(device, listener):
    started(listener)
    before = len(listener.payloads("event"))
    ask(listener, "calibrate", '{"id": "7"}')
    answer = answered(listener)
    assert not answer["ok"]
    assert "calibrate again" in answer["message"]
    assert len(listener.payloads("event")) > before
    assert baseline(listener) is None
    assert not (device.state / state_directory.BASELINE).exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("pause", "the camera was paused before the calibration finished: calibrate again"),
        ("reload", "settings and model were reloaded before the calibration finished: calibrate again"),
        ("calibrate", "the neutral baseline was cleared before the calibration finished: calibrate again"),
    ],
)
def test_what_comes_in_between_ends_it_with_an_answer(person, listener, command, reason):
    begun(person, listener)
    ask(listener, command, '{"clear": true}' if command == "calibrate" else "")
    first = answered(listener, 2)
    assert (first["id"], first["ok"], first["message"]) == ("first", False, reason)
    # The calibration and what cleared it answer on the same topic, one after the other.
    until(lambda: any(answer["ok"] for answer in answers(listener, command)[-1:]), "that is done")
    person.stop()


def test_the_end_of_the_program_or_its_source_ends_it_with_an_answer(person, listener, recordings):
    begun(person, listener)
    person.stop()
    assert answered(listener, 2)["message"].startswith("the daemon was stopped before")
    person.config.write_text(person.config.read_text().replace("/neutral", "/short"))
    until(lambda: newest(listener)["faces"] == [], "it has ended")
    person.start()
    started(listener)
    ask(listener, "calibrate")
    assert answered(listener, 3)["message"].startswith(f"recording:{recordings / 'short'} has ended before")


def test_on_a_full_disk_it_holds_until_a_restart_and_says_so(person, listener):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", person.state], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        (person.state / "ballast").write_bytes(bytes(shutil.disk_usage(person.state).free))
        person.start()
        started(listener)
        ask(listener, "calibrate")
        answer = answered(listener)
        assert not answer["ok"]
        assert answer["message"].endswith(
            f", but only until the next restart: can't write to {person.state} (No space left on device); "
            "free some space and try again"
        )
        assert baseline(listener)
        assert [path.name for path in person.state.iterdir()] == ["ballast"]
        assert "Traceback" not in person.stop()
    finally:
        subprocess.run(["umount", person.state], check=True)


def test_a_damaged_file_is_told_and_left(person, listener):
    (person.state / state_directory.BASELINE).write_bytes(b"nonsense")
    person.start()
    started(listener)
    assert baseline(listener) is None
    log = person.stop()
    assert log.count("the neutral face is damaged") == 1
    assert (person.state / state_directory.BASELINE).read_bytes() == b"nonsense"


def older(folder: Path) -> Path:
    """A bundle as they were before they knew the average neutral face."""
    shutil.copytree(LANDMARK_BUNDLE, folder)
    features = dataclasses.replace(Features.load(folder / bundles.FEATURES), neutral=None)
    features.save(folder / bundles.FEATURES)
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["files"][bundles.FEATURES] = hashlib.sha256((folder / bundles.FEATURES).read_bytes()).hexdigest()
    manifest |= {"id": "older", "feature_contract": features.contract_hash}
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    return folder


def button(listener):
    """What Home Assistant was told last of the button that calibrates."""
    return listener.payloads("config")[-1]["components"]["calibrate"]


def test_another_model_is_told_of_the_face_and_one_that_takes_none_is_not(person, listener, tmp_path):
    person.start()
    started(listener)
    ask(listener, "calibrate")
    assert answered(listener)["ok"]
    measured = until(lambda: baseline(listener), "info says so")
    settings = person.config.read_text()
    person.config.write_text(f"{settings}[model]\nbundle = '{older(tmp_path / 'older')}'\n")
    ask(listener, "reload")
    until(lambda: listener.payloads("info")[-1]["model"]["id"] == "older", "the other model")
    assert baseline(listener) is None
    until(lambda: button(listener) == {"platform": "button"}, "Home Assistant takes it away")
    ask(listener, "calibrate")
    assert "model older does not support a neutral baseline" in answered(listener, 2)["message"]
    person.config.write_text(f"{settings}[model]\nbundle = '{LANDMARK_BUNDLE}'\n")
    ask(listener, "reload")
    until(lambda: baseline(listener) == measured, "it is the person's, not the model's")
    until(lambda: "command_topic" in button(listener), "Home Assistant has it again")
    assert person.stop().count("the measured one is not in use") == 1


def test_the_command_line_asks_and_prints_the_answer(person, listener, broker, capfd, monkeypatch):
    person.start()
    started(listener)
    ours = ["calibrate", "--mqtt", broker.url, "--device", "kitchen"]
    assert main(ours) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == "look at the camera with a relaxed face for 5 s"
    assert re.fullmatch(r"measured the neutral baseline on \d+ frames in 1.5 s", second)
    assert main([*ours, "--clear"]) == 0
    assert capfd.readouterr().out == "cleared the neutral baseline\n"
    ask(listener, "pause")
    until(lambda: newest(listener)["paused"], "paused")
    assert main(ours) == 1
    assert "send resume" in capfd.readouterr().err
    monkeypatch.setattr(calibrate, "PRESENT_S", 0.2)
    assert main([*ours[:-1], "cellar"]) == os.EX_UNAVAILABLE
    assert "no online device 'cellar'" in capfd.readouterr().err
    person.stop()
    assert main(ours) == os.EX_UNAVAILABLE
    broker.kill()
    assert main(ours) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err.count("\n") == 2


def test_on_the_device_the_access_list_lets_its_own_user_calibrate(person, new_broker, tmp_path, capfd, monkeypatch):
    passwords = tmp_path / "passwords"
    for number, user in enumerate(("kitchen", "cellar", "listener")):
        create = [] if number else ["-c"]
        subprocess.run(["mosquitto_passwd", *create, "-b", str(passwords), user, "right"], check=True)
    fenced = new_broker(
        port=free_port(), settings=f"allow_anonymous false\npassword_file {passwords}\nacl_file {ACCESS_LIST}"
    )
    fenced.start()
    url = fenced.url.replace("//", "//kitchen:right@")
    person.start("--mqtt", url)
    with Listener(fenced.port, "emotion/#", username="listener", password="right") as listener:  # noqa: S106
        started(listener)
    assert main(["calibrate", "--mqtt", url, "--device", "kitchen", "--clear"]) == 0
    assert capfd.readouterr().out == "cleared the neutral baseline\n"
    monkeypatch.setattr(calibrate, "PRESENT_S", 0.2)
    assert main(["calibrate", "--mqtt", url.replace("kitchen", "cellar"), "--device", "kitchen"]) == os.EX_UNAVAILABLE
