"""MQTT commands to a real daemon over a real broker are executed and answered."""

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
    """A daemon on the demo or another camera, with a state directory."""

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
        state = {} if by_hand else {"STATE_DIRECTORY": str(self.state)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.program, "run", "--config", self.config, *options],
            env={**os.environ, **state}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=REPOSITORY,
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


def send(listener: Listener, name: str, payload: bytes | str = b"", **more: Any) -> None:
    listener.client.publish(f"emotion/kitchen/command/{name}", payload, qos=1, **more)


def answers(listener: Listener, name: str) -> list[dict]:
    found = [m.payload for m in list(listener.messages) if m.topic == f"emotion/kitchen/reply/{name}"]
    return [json.loads(payload) for payload in found]


def last_state(listener: Listener) -> dict:
    return listener.payloads("state")[-1] if listener.payloads("state") else {}


def wait_for_face(listener: Listener) -> None:
    until(lambda: last_state(listener).get("faces"), "a face is shown")


def test_a_pause_lasts_over_restarts_until_resume(device, listener, broker):
    wait_for_face(listener)
    send(listener, "pause", '{"id": "1"}')
    answer = until(lambda: answers(listener, "pause"), "the pause is answered")[0]
    Draft202012Validator(json.loads((SCHEMAS / "reply.json").read_text())).validate(answer)
    assert (answer["id"], answer["ok"]) == ("1", True)
    until(lambda: last_state(listener)["paused"], "the state is paused")
    assert last_state(listener)["faces"] == []
    until(lambda: [event["type"] for event in listener.payloads("event")][-1:] == ["end"], "the face ends")
    # It continues to publish health, but no events.
    events, healths = len(listener.payloads("event")), len(listener.payloads("health"))
    until(lambda: len(listener.payloads("health")) >= healths + 2, "health of the pause is published")
    assert listener.payloads("health")[-1]["fps"] == 0
    assert len(listener.payloads("event")) == events
    device.stop()
    healths = len(listener.payloads("health"))
    device.start()
    until(lambda: len(listener.payloads("health")) > healths, "health is published after the restart")
    assert listener.payloads("health")[-1]["fps"] == 0
    assert retained(broker.port)["state"]["paused"]
    assert len(listener.payloads("event")) == events
    send(listener, "resume")
    until(lambda: answers(listener, "resume"), "the resume is answered")
    until(lambda: last_state(listener)["faces"], "a face is shown again")
    assert not last_state(listener)["paused"]
    device.stop()
    events = len(listener.payloads("event"))
    device.start()
    until(lambda: len(listener.payloads("event")) > events, "events arrive after another restart")


@pytest.mark.usefixtures("device")
def test_pause_and_resume_on_one_topic_as_a_switch_sends_them(listener):
    wait_for_face(listener)
    send(listener, "pause", '{"paused": true}')
    until(lambda: last_state(listener)["paused"], "paused")
    send(listener, "pause", '{"paused": false}')
    until(lambda: last_state(listener)["faces"], "a face is shown again")
    assert [answer["ok"] for answer in answers(listener, "pause")] == [True, True]


def test_the_reply_to_a_reload_has_its_result(device, listener):
    wait_for_face(listener)
    send(listener, "reload", '{"id": "first"}')
    until(lambda: answers(listener, "reload"), "answered")
    device.config.write_text(device.config.read_text() + "[camera2]\n")
    send(listener, "reload", '{"id": "second"}')
    until(lambda: len(answers(listener, "reload")) == 2, "answered again")
    first, second = answers(listener, "reload")
    assert (first["id"], first["ok"], second["id"], second["ok"]) == ("first", True, "second", False)
    assert "camera2" in second["message"]


def test_invalid_commands_are_answered_and_harmless(device, listener):
    wait_for_face(listener)
    for name, payload in [("shutdown", b""), ("pause", b"\xff\xfe"), ("pause", b" " * 2000), ("pause", b'{"x": 1}')]:
        send(listener, name, payload)
    until(lambda: len(answers(listener, "pause")) == 3 and answers(listener, "shutdown"), "all are answered")
    assert not any(answer["ok"] for answer in answers(listener, "pause") + answers(listener, "shutdown"))
    assert not last_state(listener)["paused"]
    assert "Traceback" not in device.stop()


def test_a_retained_command_is_ignored(device, listener):
    wait_for_face(listener)
    device.stop()
    send(listener, "pause", "{}", retain=True)
    device.start()
    until(lambda: [h for h in listener.payloads("health") if h["dropped_commands"]], "it is counted")
    assert not answers(listener, "pause")
    assert not last_state(listener)["paused"]


def test_a_flood_is_dropped_and_counted(device, listener):
    wait_for_face(listener)
    for _ in range(3000):
        send(listener, "identify")
    send(listener, "x" * 2000)
    health = until(
        lambda: [h for h in listener.payloads("health") if h["dropped_commands"] > 500], "the flood is counted"
    )[-1]
    assert health["dropped_commands"] + len(answers(listener, "identify")) <= 3001
    before = len(listener.payloads("state"))
    until(
        lambda: len(listener.payloads("state")) > before + 1 and last_state(listener)["faces"], "it continues to read"
    )
    assert "Traceback" not in device.stop()


names = st.text(st.characters(blacklist_characters="+#/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
commands = st.tuples(st.sampled_from(["pause", "calibrate", "reload", "identify"]) | names, st.binary(max_size=1200))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commands, max_size=10))
def test_random_messages_never_end_the_daemon(device, listener, batch):
    for name, payload in batch:
        send(listener, name, payload)
    assert device.process.poll() is None


def test_discovery_is_published_whenever_home_assistant_starts(device, listener):
    topic = "homeassistant/device/emotion-edge_kitchen/config"

    def published() -> list[dict]:
        return [json.loads(m.payload) for m in list(listener.messages) if m.topic == topic and m.payload]

    first = until(published, "published at the start")[0]
    assert first["components"]["expression"]["platform"] == "sensor"
    listener.client.publish("homeassistant/status", "online")
    until(lambda: len(published()) == 2, "published again")
    device.config.write_text(device.config.read_text().replace('"kitchen"', '"cellar"'))
    send(listener, "reload")
    until(lambda: [m for m in list(listener.messages) if m.topic == topic and not m.payload], "the old name is removed")
    until(
        lambda: [m for m in list(listener.messages) if m.topic == topic.replace("kitchen", "cellar")],
        "the new name is published",
    )


@pytest.fixture
def page(tmp_path, broker):
    """The address of a daemon's preview, and an opener with its token."""
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


def test_the_preview_shows_faces_and_turns_the_camera_off(page, listener):
    address, opener = page
    wait_for_face(listener)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.build_opener().open(f"{address}/events", timeout=20)
    with opener.open(f"{address}/events", timeout=20) as stream:
        assert any(b'"expression"' in line and b'"points"' in line for line in stream)
    opener.addheaders = [("Origin", address)]
    opener.open(f"{address}/action", b'{"do": "pause", "paused": true}', timeout=20).close()
    until(lambda: last_state(listener)["paused"], "the camera is off")


@pytest.mark.usefixtures("device")
def test_forget_refuses_a_device_that_runs_which_would_be_back(listener, broker, capfd):
    wait_for_face(listener)
    kept = {"state", "info", "availability", "emotion-edge_kitchen/config"}
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == os.EX_UNAVAILABLE
    assert "'kitchen' is online" in capfd.readouterr().err
    assert main(["forget", "--force", "--mqtt", broker.url, "kitchen"]) == 0
    assert "stop it first" in capfd.readouterr().out
    until(lambda: kept <= set(retained(broker.port)), "everything is back")
    assert retained(broker.port)["availability"] == "online"


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["forget", ""], os.EX_CONFIG, "device.name must have 1 to 200 bytes"),
        (["forget", "kitchn"], os.EX_NOINPUT, "retains nothing of a device 'kitchn'"),
        (["forget", "kit/chen"], os.EX_CONFIG, "must not contain '/'"),
        (["calibrate", "--device", ""], os.EX_CONFIG, "device.name must have 1 to 200 bytes"),
        (["watch", ""], os.EX_CONFIG, "device.name must have 1 to 200 bytes"),
        (["status", ""], os.EX_CONFIG, "device.name must have 1 to 200 bytes"),
    ],
)
def test_no_device_and_another_device_are_not_this_one(broker, capfd, words, status, reason):
    assert main([*words, "--mqtt", broker.url]) == status
    assert reason in capfd.readouterr().err


def test_forget_removes_a_device(device, listener, broker, capfd):
    wait_for_face(listener)
    device.stop()
    assert {"state", "info", "availability"} <= set(retained(broker.port))
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == 0
    assert "removed 'kitchen'" in capfd.readouterr().out
    assert set(retained(broker.port)) == set()
    assert listener.payloads("config")[-1] == ""  # removed from Home Assistant, too
    broker.kill()
    assert main(["forget", "--mqtt", broker.url, "kitchen"]) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err.count("\n") == 1


FPS = 15.0


@pytest.fixture(scope="session")
def recordings(models, tmp_path_factory) -> Path:
    """Recordings: `neutral`, two minutes of a person at rest; `short`, four seconds of it; `empty`, without a face."""
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
    """A device that plays `neutral` and calibrates quickly. It is not started."""
    device = Device(tmp_path, broker.url, f"recording:{recordings / 'neutral'}")
    device.program = "tests.support.impatient"
    yield device
    if device.process is not None and device.process.poll() is None:
        device.process.kill()
        device.process.communicate()


def baseline(listener: Listener) -> str | None:
    """Time of the baseline in the last `info`."""
    return listener.payloads("info")[-1]["baseline"]


def calibration_reply(listener: Listener, count: int = 1) -> dict:
    until(lambda: len(answers(listener, "calibrate")) >= count, "the calibration is answered", 30 + CALIBRATION_S)
    return answers(listener, "calibrate")[count - 1]


def begin_calibration(person: Device, listener: Listener) -> None:
    """Start a long calibration, and check that a second one is refused meanwhile."""
    person.program = "edge"
    person.start()
    wait_for_face(listener)
    send(listener, "calibrate", '{"id": "first"}')
    send(listener, "calibrate", '{"id": "second"}')
    assert calibration_reply(listener)["message"] == "a calibration is already in progress: wait until it has finished"


def probabilities(listener: Listener) -> dict[str, float]:
    return last_state(listener)["faces"][0]["probabilities"]


def test_a_baseline_is_measured_applied_saved_and_cleared(person, listener, broker):
    person.start()
    wait_for_face(listener)
    assert baseline(listener) is None
    before = probabilities(listener)
    send(listener, "calibrate", '{"id": "7"}')
    answer = calibration_reply(listener)
    assert (answer["id"], answer["ok"]) == ("7", True), answer
    assert re.fullmatch(r"measured the neutral baseline on \d+ frames in 1.5 s", answer["message"])
    until(lambda: baseline(listener), "info is updated")
    Draft202012Validator(json.loads((SCHEMAS / "info.json").read_text())).validate(listener.payloads("info")[-1])
    until(
        lambda: max(abs(share - before[label]) for label, share in probabilities(listener).items()) > 0.01,
        "readings of the same face change",
    )
    assert {event["type"] for event in listener.payloads("event")} <= {"new", "update"}, "the face has not ended"
    file = person.state / state_directory.BASELINE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    person.stop()
    person.start()
    until(lambda: listener.payloads("availability")[-2:] == ["offline", "online"], "it is online again")
    measured = baseline(listener)
    assert retained(broker.port)["info"]["baseline"] == measured
    assert measured is not None
    send(listener, "calibrate", '{"clear": true}')
    assert calibration_reply(listener, 2)["message"] == "cleared the neutral baseline"
    until(lambda: baseline(listener) is None, "info is updated")
    assert not file.exists()
    log = person.stop()
    assert f", neutral baseline of {measured}" in log, "it is logged at the start"
    assert "Traceback" not in log


def test_without_a_state_directory_the_baseline_is_for_this_run_only(person, listener):
    person.start(by_hand=True)
    wait_for_face(listener)
    send(listener, "calibrate")
    answer = calibration_reply(listener)
    assert answer["ok"]
    assert answer["message"].endswith(" frames in 1.5 s, for this run only")
    assert not list(person.state.iterdir())


def test_calibration_without_a_face_or_during_a_pause_fails(tmp_path, broker, listener, recordings):
    device = Device(tmp_path, broker.url, f"recording:{recordings / 'empty'}")
    device.program = "tests.support.impatient"
    device.start()
    until(lambda: listener.payloads("health"), "health is published")
    send(listener, "calibrate")
    assert "no face was seen" in calibration_reply(listener)["message"]
    send(listener, "pause")
    send(listener, "calibrate")
    answer = calibration_reply(listener, 2)
    assert (answer["ok"], answer["message"]) == (False, "the camera is paused: send resume, then calibrate again")
    device.stop()


def test_a_moving_face_fails_and_events_continue(device, listener):
    wait_for_face(listener)
    before = len(listener.payloads("event"))
    send(listener, "calibrate", '{"id": "7"}')
    answer = calibration_reply(listener)
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
def test_other_commands_end_a_calibration_with_a_reply(person, listener, command, reason):
    begin_calibration(person, listener)
    send(listener, command, '{"clear": true}' if command == "calibrate" else "")
    first = calibration_reply(listener, 2)
    assert (first["id"], first["ok"], first["message"]) == ("first", False, reason)
    # The replies to the calibration and to clearing are on the same topic, one after the other.
    until(lambda: any(answer["ok"] for answer in answers(listener, command)[-1:]), "the other command succeeds")
    person.stop()


def test_the_end_of_the_daemon_or_its_source_ends_a_calibration_with_a_reply(person, listener, recordings):
    begin_calibration(person, listener)
    person.stop()
    assert calibration_reply(listener, 2)["message"].startswith("the daemon was stopped before")
    person.config.write_text(person.config.read_text().replace("/neutral", "/short"))
    until(lambda: last_state(listener)["faces"] == [], "the daemon has ended")
    person.start()
    wait_for_face(listener)
    send(listener, "calibrate")
    assert calibration_reply(listener, 3)["message"].startswith(f"recording:{recordings / 'short'} has ended before")


def test_on_a_full_disk_the_baseline_lasts_until_a_restart(person, listener):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", person.state], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (person.state / "ballast").write_bytes(bytes(shutil.disk_usage(person.state).free))
        person.start()
        wait_for_face(listener)
        send(listener, "calibrate")
        answer = calibration_reply(listener)
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


def test_a_damaged_file_is_reported_and_not_touched(person, listener):
    (person.state / state_directory.BASELINE).write_bytes(b"nonsense")
    person.start()
    wait_for_face(listener)
    assert baseline(listener) is None
    log = person.stop()
    assert log.count("the neutral face is damaged") == 1
    assert (person.state / state_directory.BASELINE).read_bytes() == b"nonsense"


def older_bundle(folder: Path) -> Path:
    """Make a bundle without the average neutral face, as in older versions."""
    shutil.copytree(LANDMARK_BUNDLE, folder)
    features = dataclasses.replace(Features.load(folder / bundles.FEATURES), neutral=None)
    features.save(folder / bundles.FEATURES)
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["files"][bundles.FEATURES] = hashlib.sha256((folder / bundles.FEATURES).read_bytes()).hexdigest()
    manifest |= {"id": "older", "feature_contract": features.contract_hash}
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    return folder


def button(listener):
    """The button for calibration in the last discovery message."""
    return listener.payloads("config")[-1]["components"]["calibrate"]


def test_a_baseline_survives_a_model_that_does_not_support_it(person, listener, tmp_path):
    person.start()
    wait_for_face(listener)
    send(listener, "calibrate")
    assert calibration_reply(listener)["ok"]
    measured = until(lambda: baseline(listener), "info is updated")
    settings = person.config.read_text()
    person.config.write_text(f"{settings}[model]\nbundle = '{older_bundle(tmp_path / 'older')}'\n")
    send(listener, "reload")
    until(lambda: listener.payloads("info")[-1]["model"]["id"] == "older", "the other model runs")
    assert baseline(listener) is None
    until(lambda: button(listener) == {"platform": "button"}, "the button is removed")
    send(listener, "calibrate")
    assert "model older does not support a neutral baseline" in calibration_reply(listener, 2)["message"]
    person.config.write_text(f"{settings}[model]\nbundle = '{LANDMARK_BUNDLE}'\n")
    send(listener, "reload")
    until(lambda: baseline(listener) == measured, "the baseline is back")
    until(lambda: "command_topic" in button(listener), "the button is back")
    assert person.stop().count("the measured one is not in use") == 1


def test_the_command_calibrate_prints_the_reply(person, listener, broker, capfd, monkeypatch):
    person.start()
    wait_for_face(listener)
    ours = ["calibrate", "--mqtt", broker.url, "--device", "kitchen"]
    assert main(ours) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == "look at the camera with a relaxed face for 5 s"
    assert re.fullmatch(r"measured the neutral baseline on \d+ frames in 1.5 s", second)
    assert main([*ours, "--clear"]) == 0
    assert capfd.readouterr().out == "cleared the neutral baseline\n"
    send(listener, "pause")
    until(lambda: last_state(listener)["paused"], "paused")
    assert main(ours) == 1
    assert "send resume" in capfd.readouterr().err
    monkeypatch.setattr(calibrate, "PRESENT_S", 0.2)
    assert main([*ours[:-1], "cellar"]) == os.EX_UNAVAILABLE
    assert "device 'cellar' is not online" in capfd.readouterr().err
    person.stop()
    assert main(ours) == os.EX_UNAVAILABLE
    broker.kill()
    assert main(ours) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err.count("\n") == 2


def test_the_access_list_lets_a_device_calibrate_only_itself(person, new_broker, tmp_path, capfd, monkeypatch):
    passwords = tmp_path / "passwords"
    for number, user in enumerate(("kitchen", "cellar", "listener")):
        create = [] if number else ["-c"]
        subprocess.run(["mosquitto_passwd", *create, "-b", str(passwords), user, "right"], check=True)
    restricted = new_broker(
        port=free_port(), settings=f"allow_anonymous false\npassword_file {passwords}\nacl_file {ACCESS_LIST}"
    )
    restricted.start()
    url = restricted.url.replace("//", "//kitchen:right@")
    person.start("--mqtt", url)
    with Listener(restricted.port, "emotion/#", username="listener", password="right") as listener:  # noqa: S106
        wait_for_face(listener)
    assert main(["calibrate", "--mqtt", url, "--device", "kitchen", "--clear"]) == 0
    assert capfd.readouterr().out == "cleared the neutral baseline\n"
    monkeypatch.setattr(calibrate, "PRESENT_S", 0.2)
    assert main(["calibrate", "--mqtt", url.replace("kitchen", "cellar"), "--device", "kitchen"]) == os.EX_UNAVAILABLE
