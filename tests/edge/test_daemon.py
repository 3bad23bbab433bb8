"""The whole daemon, as a process, on real frames, with a real broker, seen by an independent subscriber."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import edge
from tests.edge.broker import Listener, retained, until

pytest_plugins = ["tests.edge.broker", "tests.edge.crop_bundles"]

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("models")
SCHEMAS = {
    name: Draft202012Validator(json.loads((Path(edge.__file__).parent / "schemas" / f"{name}.json").read_text()))
    for name in ("state", "event", "health", "info")
}


@pytest.fixture
def start(tmp_path):
    """Start daemons that end with the test."""
    running: list[subprocess.Popen] = []

    def run(*arguments: str, config: str = "") -> subprocess.Popen:
        (tmp_path / "own.toml").write_text(f'[device]\nname = "test"\n{config}')
        command = [sys.executable, "-m", "edge", "run", "--config", str(tmp_path / "own.toml"), *arguments]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY))
        return running[-1]

    yield run
    for daemon in running:
        daemon.kill()
        daemon.communicate()


def finish(daemon: subprocess.Popen, number: signal.Signals) -> tuple[int, str]:
    daemon.send_signal(number)
    _, complaints = daemon.communicate(timeout=15)
    return daemon.returncode, complaints


def test_a_face_in_front_of_the_demo_becomes_events(start, broker):
    with Listener(broker.port, "emotion/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: len(listener.payloads("event")) >= 2, "the smile, and what comes after it")
        status, complaints = finish(daemon, signal.SIGTERM)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is said")
    first, *_, last = listener.payloads("event")
    assert status == 0, complaints
    assert (first["type"], first["expression"], first["previous"]) == ("new", "happiness", "none")
    assert last["type"] == "end", "every face ends with the daemon"
    assert listener.seqs() == list(range(1, len(listener.seqs()) + 1))


def test_a_bundle_that_reads_pictures_serves_as_well(start, broker, crop_bundle):
    with Listener(broker.port, "emotion/test/#") as listener:
        config = f"[model]\nbundle = '{crop_bundle('landmarks_crop')}'\n"
        start("--camera", "demo", "--mqtt", broker.url, config=config)
        until(lambda: listener.payloads("event"), "the first event")
    event = listener.payloads("event")[0]
    SCHEMAS["event"].validate(event)
    assert (event["type"], event["model"]) == ("new", "landmarks_crop")


def test_everything_that_is_published_is_as_the_schemas_say(start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        start("--camera", "demo", "--mqtt", broker.url, config="[mqtt]\nhealth_interval_s = 1.0\n")
        for level in SCHEMAS:
            until(lambda level=level: listener.payloads(level), f"{level} is published")
    for level, schema in SCHEMAS.items():
        for payload in listener.payloads(level):
            schema.validate(payload)
    health = listener.payloads("health")[0]
    assert health["fps"] > 1
    assert health["latency_ms"]["p50"] > 1
    assert health["rss_mb"] > 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_leaves_offline_and_no_face(start, broker, number):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        status, complaints = finish(daemon, number)
    left = retained(broker.port)
    assert status == 0, complaints
    assert "Traceback" not in complaints
    assert left["availability"] == "offline"
    assert left["state"]["faces"] == []
    assert left["state"]["expression"] == "none"
    assert "event" not in left


def test_a_killed_daemon_is_declared_offline_by_the_broker(start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", "demo", "--mqtt", broker.url)
        until(lambda: listener.payloads("event"), "the first event")
        finish(daemon, signal.SIGKILL)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "the last will")


def test_it_starts_without_a_broker_and_is_there_when_one_comes(start, new_broker):
    broker = new_broker()
    daemon = start("--camera", "demo", "--mqtt", broker.url, config="[mqtt]\nretry_max_s = 1.0\n")
    assert any(": new " in line for line in iter(daemon.stderr.readline, "")), "it reads faces"
    broker.start()
    with Listener(broker.port, "emotion/test/#") as listener:
        until(lambda: [s for s in listener.payloads("state") if s["faces"]], "the state with the face")
        assert listener.payloads("availability") == ["online"]


def test_a_refused_password_ends_it_with_one_line(start, new_broker):
    broker = new_broker(settings="allow_anonymous false")
    broker.start()
    daemon = start("--camera", "demo", "--mqtt", broker.url.replace("//", "//anna:wrong@"))
    _, complaints = daemon.communicate(timeout=20)
    assert daemon.returncode == 77, complaints
    (line,) = [line for line in complaints.splitlines() if line.startswith("emotion-edge: ")]
    assert "anna" in line
    assert "wrong" not in line, "the password is nobody's business"


def test_a_video_ends_cleanly(start, broker, media):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("--camera", f"video:{media('single_face.mp4')}", "--mqtt", broker.url)
        _, complaints = daemon.communicate(timeout=30)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is said")
    assert daemon.returncode == 0, complaints
    kinds = [event["type"] for event in listener.payloads("event")]
    assert kinds[0] == "new"
    assert kinds[-1] == "end"
    assert kinds.count("new") == kinds.count("end")
    assert "happiness" in [event["expression"] for event in listener.payloads("event")], "the clip ends in a smile"
