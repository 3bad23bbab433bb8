"""The daemon as a process, with real frames, a real broker and an independent subscriber."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from jsonschema import Draft202012Validator

import edge
from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings
from tests.support.broker import Listener, Mosquitto, retained, until

pytest_plugins = ["tests.support.broker", "tests.support.crop_bundles"]

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("models")
SCHEMAS = {
    name: Draft202012Validator(
        json.loads((Path(edge.__file__).parent / "messages" / "schemas" / f"{name}.json").read_text())
    )
    for name in ("state", "event", "health", "info")
}


@pytest.fixture
def start(tmp_path):
    """Start daemons that end with the test."""
    running: list[subprocess.Popen] = []

    def run(*arguments: str, config: str = "") -> subprocess.Popen:
        (tmp_path / "own.toml").write_text(f'[device]\nname = "test"\n{config}')
        command = [sys.executable, "-m", "edge", "run", "--config", str(tmp_path / "own.toml"), *arguments]
        running.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        )
        return running[-1]

    yield run
    for daemon in running:
        daemon.kill()
        daemon.communicate()


@pytest.fixture
def reload(tmp_path):
    """Reload a daemon with other settings."""

    def send(daemon: subprocess.Popen, config: str, name: str = "test") -> None:
        (tmp_path / "own.toml").write_text(f'[device]\nname = "{name}"\n{config}')
        daemon.send_signal(signal.SIGHUP)

    return send


def kinds(listener: Listener) -> list[str]:
    return [event["type"] for event in listener.payloads("event")]


def connections(broker: Mosquitto) -> int:
    return sum(" as emotion-edge-test" in line for line in broker.log.read_text().splitlines())


def stop(daemon: subprocess.Popen, number: signal.Signals) -> tuple[int, str]:
    daemon.send_signal(number)
    _, log = daemon.communicate(timeout=60)
    return daemon.returncode, log


@pytest.mark.interpreter
def test_the_demo_causes_events(start, broker):
    with Listener(broker.port, "emotion/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: len(listener.payloads("event")) >= 2, "the smile and the next event")
        status, log = stop(daemon, signal.SIGTERM)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    first, *_, last = listener.payloads("event")
    assert status == 0, log
    assert (first["type"], first["expression"], first["previous"]) == ("new", "happiness", "none")
    assert last["type"] == "end", "the face ends with the daemon"
    for face in (first, last, *(face for state in listener.payloads("state") for face in state["faces"])):
        assert face["position"] == {"x": pytest.approx(0.5, abs=0.1), "y": pytest.approx(0.5, abs=0.1)}
        assert face["distance_m"] == pytest.approx(0.6, abs=0.15), "the demo knows its field of view"
    assert listener.seqs() == list(range(1, len(listener.seqs()) + 1))


def test_a_bundle_that_reads_crops_works(start, broker, crop_bundle):
    with Listener(broker.port, "emotion/test/#") as listener:
        config = f"[model]\nbundle = '{crop_bundle('landmarks_crop')}'\n"
        start("--camera", "demo", "--mqtt", broker.url, config=config)
        until(lambda: listener.payloads("event"), "the first event")
    event = listener.payloads("event")[0]
    SCHEMAS["event"].validate(event)
    assert (event["type"], event["model"]) == ("new", "landmarks_crop")


def test_all_payloads_are_valid(start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        start("--camera", "demo", "--mqtt", broker.url, config="[mqtt]\nhealth_interval_s = 1.0\n")
        for level in SCHEMAS:
            until(lambda level=level: listener.payloads(level), f"{level} is published")
    for level, schema in SCHEMAS.items():
        for payload in listener.payloads(level):
            schema.validate(payload)
    health = listener.payloads("health")[0]
    assert health["fps"] > 0
    assert health["target_fps"] == 15
    assert health["latency_ms"]["p50"] > 0
    assert health["rss_mb"] > 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_offline_and_no_face(start, broker, number):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        status, log = stop(daemon, number)
    left = retained(broker.port)
    assert status == 0, log
    assert "Traceback" not in log
    assert left["availability"] == "offline"
    assert left["state"]["faces"] == []
    assert left["state"]["expression"] == "none"
    assert "event" not in left


def test_a_killed_daemon_is_reported_offline_by_its_last_will(start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        stop(daemon, signal.SIGKILL)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "the last will is published")


def test_it_starts_without_a_broker_and_connects_later(start, new_broker):
    broker = new_broker()
    daemon = start("--camera", "demo", "--mqtt", broker.url, config="[mqtt]\nretry_max_s = 1.0\n")
    assert any(": new " in line for line in iter(daemon.stderr.readline, "")), "it reads faces without a broker"
    broker.start()
    with Listener(broker.port, "emotion/test/#") as listener:
        until(lambda: [s for s in listener.payloads("state") if s["faces"]], "the state with the face")
        assert listener.payloads("availability") == ["online"]


def test_a_wrong_password_ends_it_with_one_line(start, new_broker):
    broker = new_broker(settings="allow_anonymous false")
    broker.start()
    daemon = start("--camera", "demo", "--mqtt", broker.url.replace("//", "//anna:wrong@"))
    _, log = daemon.communicate(timeout=60)
    assert daemon.returncode == 77, log
    (line,) = [line for line in log.splitlines() if line.startswith("emotion-edge: ")]
    assert "anna" in line
    assert "wrong" not in line, "the password is not logged"


def test_a_video_ends_cleanly(start, broker, media):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", f"video:{media('smile.avi')}", "--mqtt", broker.url)
        _, log = daemon.communicate(timeout=30)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert daemon.returncode == 0, log
    assert kinds(listener)[0] == "new"
    assert kinds(listener)[-1] == "end"
    assert kinds(listener).count("new") == kinds(listener).count("end")
    assert "happiness" in [event["expression"] for event in listener.payloads("event")], "the clip ends in a smile"


def test_a_face_does_not_end_between_two_slow_pictures(start, broker, tmp_path):
    smile = DemoCamera(CameraSettings()).draw(1.0)
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), smile[:, :, ::-1])
    with Listener(broker.port, "emotion/test/#") as listener:
        config = "[camera]\nfps = 1.0\n[expression]\nhold_s = 0.2\n"
        daemon = start("--camera", f"images:{tmp_path / 'pictures'}", "--mqtt", broker.url, config=config)
        assert daemon.wait(60) == 0
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert kinds(listener) == ["new", "end"]


def test_a_reload_without_relevant_changes_ends_no_face(start, reload, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url, config="[mqtt]\nstate_interval_s = 3600.0\n")
        until(lambda: listener.payloads("event"), "the first event")
        reload(daemon, "[mqtt]\nstate_interval_s = 0.1\n")
        until(lambda: len(listener.payloads("info")) >= 2, "info is published again")
        states = len(listener.payloads("state"))
        until(lambda: len(listener.payloads("state")) > states + 10, "the state is published more often")
        status, log = stop(daemon, signal.SIGTERM)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert status == 0, log
    assert [kind for kind in kinds(listener) if kind != "update"] == ["new", "end"], "the face continues"
    assert listener.payloads("availability") == ["online", "offline"]
    assert connections(broker) == 1
    assert listener.seqs() == list(range(1, len(listener.seqs()) + 1))
    assert "INFO reloaded: demo on litert, device 'test'" in log


@pytest.mark.parametrize(
    ("config", "first_track"),
    [
        ("[expression]\ndwell_s = 0.1\n", 1),
        ("[camera]\nwidth = 480\nheight = 360\n", 2),
        ("[mesh]\nmax_faces = 1\n", 2),
    ],
)
def test_faces_end_before_settings_that_restart_tracking_apply(start, reload, broker, config, first_track):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        reload(daemon, config)
        until(lambda: kinds(listener).count("new") >= 2, "the face is new again")
        status, log = stop(daemon, signal.SIGTERM)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert status == 0, log
    events = listener.payloads("event")
    again = kinds(listener).index("new", 1)
    assert kinds(listener)[again - 1] == "end"
    assert events[again]["track"] == first_track, "another mesh starts with a new track id"
    assert kinds(listener).count("new") == kinds(listener).count("end")
    assert listener.seqs() == list(range(1, len(events) + 1))
    assert len({event["id"].rpartition("-")[0] for event in events}) == 1, "the run is the same"
    assert connections(broker) == 1


@pytest.mark.interpreter
def test_a_reload_applies_another_bundle(start, reload, broker, crop_bundle):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        reload(daemon, f"[model]\nbundle = '{crop_bundle('landmarks_crop')}'\n")
        until(lambda: kinds(listener).count("new") >= 2, "the face is new again")
        until(lambda: len(listener.payloads("info")) >= 2, "info is published again")
    before, after = listener.payloads("info")
    events = listener.payloads("event")
    again = kinds(listener).index("new", 1)
    assert {event["model"] for event in events[:again]} == {before["model"]["id"]}, (
        "the end of the face names the old model"
    )
    assert events[again]["model"] == after["model"]["id"] == "landmarks_crop"
    assert after["labels"] == ["neutral", "happiness", "surprise"]


REFUSED = {
    "mqqt": "[mqqt]\n",
    "manifest.json": "[model]\nbundle = '/nowhere'\n",
    "/nowhere": "[mesh]\nmodels = '/nowhere'\n",
    "mqtt.base": "[mqtt]\nbase = '#'\n",
    "/dev/video99": "[camera]\nsource = 'v4l2:/dev/video99'\n",
}
"""Part of the error -> settings that can't be applied."""


def test_settings_that_cannot_be_applied_are_reported_and_change_nothing(start, reload, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        # On a busy machine, reopening a camera takes longer than the default of `hold_s`.
        patient = "[expression]\nhold_s = 10.0\n"
        daemon = start("--mqtt", broker.url, config=f"[camera]\nsource = 'demo'\n{patient}")
        until(lambda: listener.payloads("event"), "the first event")
        for count, (reason, config) in enumerate(REFUSED.items(), 2):
            reload(daemon, patient + (config if "camera" in config else f"[camera]\nsource = 'demo'\n{config}"))
            until(lambda count=count: len(listener.payloads("info")) == count, f"info names {reason}")
        states = len(listener.payloads("state"))
        until(lambda: len(listener.payloads("state")) > states + 1, "the state is published again")
        assert [face["track"] for face in listener.payloads("state")[-1]["faces"]] == [1]
        status, log = stop(daemon, signal.SIGTERM)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert status == 0, log
    lines = [line for line in log.splitlines() if "reload" in line]
    before, *after = listener.payloads("info")
    assert before["problem"] is None
    for reason, line, info in zip(REFUSED, lines, after, strict=True):
        assert line.startswith("WARNING reload refused, nothing has changed: ")
        assert reason in line
        assert reason in info["problem"]
    assert [kind for kind in kinds(listener) if kind != "update"] == ["new", "end"], "the face continues"
    assert connections(broker) == 1


def test_a_reload_works_after_a_refused_one(start, reload, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        reload(daemon, "[mqqt]\n")
        until(lambda: [info for info in listener.payloads("info") if info["problem"]], "info names the problem")
        reload(daemon, "")
        until(lambda: len(listener.payloads("info")) >= 3, "info is published again")
    assert listener.payloads("info")[-1]["problem"] is None


def test_another_device_name_needs_another_connection(start, reload, broker):
    with Listener(broker.port, "emotion/test/#") as old, Listener(broker.port, "emotion/other/#") as new:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: old.payloads("event"), "the first event")
        reload(daemon, "", name="other")
        until(lambda: new.payloads("event"), "the face is new under the other name")
        status, log = stop(daemon, signal.SIGTERM)
        until(lambda: new.payloads("availability")[-1:] == ["offline"], "offline is published")
    assert status == 0, log
    assert "reconnecting as 'other'" in log
    assert (kinds(old)[0], kinds(old)[-1]) == ("new", "end")
    assert (kinds(new)[0], kinds(new)[-1]) == ("new", "end")
    assert old.payloads("availability") == new.payloads("availability") == ["online", "offline"]
    assert old.payloads("state")[-1]["faces"] == []
    assert old.seqs() + new.seqs() == list(range(1, len(old.seqs()) + len(new.seqs()) + 1)), "seq continues"
    assert new.payloads("info")[0]["device"] == "other"


HOT = """
import functools, pathlib, sys
from edge.device import system
for name in ("cpu_temperature_c", "throttling"):
    setattr(system, name, functools.partial(getattr(system, name), root=pathlib.Path(sys.argv[1])))
from edge.cli import main
sys.exit(main(["run", *sys.argv[2:]]))
"""
"""The daemon on a machine whose /sys is a folder of the test."""


def test_a_hot_processor_processes_fewer_frames(broker, tmp_path):
    sensor = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    sensor.parent.mkdir(parents=True)
    sensor.write_text("81000\n")
    (tmp_path / "own.toml").write_text(
        '[device]\nname = "test"\n[load]\nleast_fps = 4.0\n[mqtt]\nhealth_interval_s = 1.0\n'
    )
    command = ["--config", str(tmp_path / "own.toml"), "--camera", "demo", "--mqtt", broker.url]
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = subprocess.Popen(
            [sys.executable, "-c", HOT, str(tmp_path), *command], stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        try:
            until(lambda: len(listener.payloads("health")) >= 2, "health is published twice")
        finally:
            _, log = stop(daemon, signal.SIGTERM)
    health = listener.payloads("health")[1]
    SCHEMAS["health"].validate(health)
    assert (health["target_fps"], health["cpu_temperature_c"]) == (12, 81)
    assert 0 < health["fps"] <= 13, "the limit holds on an idle machine"
    (line,) = [line for line in log.splitlines() if "frame rate" in line]
    assert line == "WARNING the processor is at 81 °C: lowering the frame rate to 12 fps"
    assert kinds(listener).count("new") == 1, "the face does not end between frames"
