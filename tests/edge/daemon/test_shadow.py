"""A shadow reads the same faces as the bundle in use, publishes its readings, and never affects anything else."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import edge
from edge.bundle import bundle as bundles
from edge.bundle.locate import Installation
from edge.bundle.store import BundleStore
from edge.daemon.shadow import Shadow
from edge.errors import ConfigError
from edge.settings import ModelSettings, Settings
from edge.values import Frame
from tests.support.broker import Listener, retained, until
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE

pytest_plugins = ["tests.support.broker", "tests.support.crop_bundles"]

REPOSITORY = Path(__file__).parents[3]
SCHEMA = Draft202012Validator(
    json.loads((Path(edge.__file__).parent / "messages" / "schemas" / "shadow_state.json").read_text())
)


def id_of(folder: Path) -> str:
    return json.loads((folder / bundles.MANIFEST).read_text())["id"]


ON_A_DEVICE = """
import pathlib, sys
from edge.bundle import locate
from edge.daemon import reporter
locate.DEVICE = pathlib.Path(sys.argv[1])
reporter.FIRST_HEALTH_S = 0.5
from edge.cli import main
sys.exit(main(["run", *sys.argv[2:]]))
"""
"""The daemon on a device whose bundles are in a folder of the test, with an early first health."""


@pytest.fixture
def store(tmp_path) -> BundleStore:
    store = BundleStore(tmp_path / "models", trial_s=0)
    store.install(FUSED_BUNDLE)
    return store


@pytest.fixture
def start(tmp_path, broker, models):
    """Start the daemon on the demo; it ends with the test."""
    running: list[subprocess.Popen] = []
    (tmp_path / "state").mkdir()

    def run(config: str = "") -> subprocess.Popen:
        settings = tmp_path / "own.toml"
        settings.write_text(f"[device]\nname = 'test'\n[mesh]\nmodels = '{models.folder}'\n{config}")
        arguments = ["--config", str(settings), "--camera", "demo", "--mqtt", broker.url]
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", ON_A_DEVICE, str(tmp_path / "models"), *arguments],
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
                env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")},
            )
        )  # fmt: skip
        return running[-1]

    yield run
    for daemon in running:
        daemon.kill()
        daemon.communicate()


def stop(daemon: subprocess.Popen) -> tuple[int, str]:
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=60)
    return daemon.returncode, log


def faces_of(listener: Listener) -> list[dict]:
    return [face for state in listener.payloads("shadow/state") for face in state["faces"]]


def infos(listener: Listener) -> list[tuple[str, str | None]]:
    return [(info["model"]["id"], info["shadow"]) for info in listener.payloads("info")]


@pytest.mark.usefixtures("store")
def test_a_shadow_publishes_with_each_state_what_it_would_show(start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start(f"[model]\nshadow = '{LANDMARK_BUNDLE}'\n[mqtt]\nstate_interval_s = 0.1\n")
        until(lambda: len(faces_of(listener)) >= 5, "readings of the shadow", 30)
        status, log = stop(daemon)
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline is published")
        left = retained(broker.port)
    assert status == 0, log
    states = {state["time"]: state for state in listener.payloads("state")}
    pairs = [(shadow, states.get(shadow["time"])) for shadow in listener.payloads("shadow/state")]
    # With a slow broker, only the newest state is queued, so one of the two may be missing.
    assert sum(in_use is not None for _, in_use in pairs) >= 3
    for shadow, in_use in pairs:
        SCHEMA.validate(shadow)
        if in_use is None:
            continue
        shown = {face["track"]: face["expression"] for face in in_use["faces"]}
        assert (shadow["model"], shadow["in_use"]["model"]) == (id_of(LANDMARK_BUNDLE), id_of(FUSED_BUNDLE))
        assert shadow["in_use"]["expression"] == in_use["expression"]
        assert all(face["in_use"] == shown[face["track"]] for face in shadow["faces"])
    assert infos(listener) == [(id_of(FUSED_BUNDLE), id_of(LANDMARK_BUNDLE))]
    assert {event["model"] for event in listener.payloads("event")} == {id_of(FUSED_BUNDLE)}
    assert f"model {id_of(FUSED_BUNDLE)}, shadow {id_of(LANDMARK_BUNDLE)}" in log
    assert "shadow/state" not in left, "the state of a shadow is not retained"


def test_a_shadow_becomes_the_bundle_in_use(store, start, broker):
    store.install(LANDMARK_BUNDLE, shadow=True)
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start("[mqtt]\nhealth_interval_s = 3600.0\nstate_interval_s = 0.1\n")
        until(lambda: faces_of(listener), "a reading of the shadow", 30)
        store.install(LANDMARK_BUNDLE)
        daemon.send_signal(signal.SIGHUP)
        until(lambda: len(infos(listener)) == 2, "info is updated")
        shadow_states = len(listener.payloads("shadow/state"))
        states = len(listener.payloads("state"))
        until(lambda: len(listener.payloads("state")) > states + 2, "states continue")
        until(
            lambda: [h for h in listener.payloads("health") if h["model"] == id_of(LANDMARK_BUNDLE)],
            "health names it",
            60,
        )
    assert infos(listener) == [(id_of(FUSED_BUNDLE), id_of(LANDMARK_BUNDLE)), (id_of(LANDMARK_BUNDLE), None)]
    assert len(listener.payloads("shadow/state")) == shadow_states
    assert listener.payloads("info")[-1]["shadow_problem"] is None


def test_a_reload_starts_and_ends_a_shadow_without_ending_faces(store, start, broker):
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start()
        until(lambda: listener.payloads("event"), "the first event", 30)
        for change in (lambda: store.install(LANDMARK_BUNDLE, shadow=True), store.shadow_off):
            change()
            before = len(infos(listener))
            daemon.send_signal(signal.SIGHUP)
            until(lambda before=before: len(infos(listener)) > before, "info is published again")
    assert [shadow for _, shadow in infos(listener)] == [None, id_of(LANDMARK_BUNDLE), None]
    tracks = [event["track"] for event in listener.payloads("event")]
    assert "end" not in [event["type"] for event in listener.payloads("event") if event["track"] == tracks[0]]


def test_a_shadow_that_cannot_be_loaded_is_reported_and_harmless(store, start, broker, tmp_path):
    store.install(LANDMARK_BUNDLE, shadow=True)
    network = tmp_path / "models" / "shadow" / bundles.NETWORK
    network.write_bytes(network.read_bytes()[:-1])
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = start()
        until(lambda: listener.payloads("event"), "the first event", 30)
        status, log = stop(daemon)
    assert status == 0, log
    info = listener.payloads("info")[0]
    assert (info["shadow"], info["problem"]) == (None, None)
    assert "classifier.tflite is not the file that the manifest describes" in info["shadow_problem"]
    (line,) = [line for line in log.splitlines() if "shadow" in line]
    assert line.startswith("WARNING no shadow runs: model bundle")
    assert listener.payloads("shadow/state") == []


def test_a_shadow_that_ran_during_a_crash_is_off_until_a_reload(store, start, broker, tmp_path):
    store.install(LANDMARK_BUNDLE, shadow=True)

    def run(end: signal.Signals, *, reload: bool = False) -> tuple[str | None, str | None]:
        """Start the daemon and end it; return shadow and problem of its last `info`."""
        with Listener(broker.port, "emotion/test/#") as listener:
            daemon = start()
            until(lambda: listener.payloads("event"), "the first event", 30)
            if reload:
                daemon.send_signal(signal.SIGHUP)
                until(lambda: infos(listener)[-1][1], "the shadow is back")
            daemon.send_signal(end)
            daemon.communicate(timeout=60)
        info = listener.payloads("info")[-1]
        return info["shadow"], info["shadow_problem"]

    turned_off = (
        None,
        f"the program ended unexpectedly while {tmp_path / 'models' / id_of(LANDMARK_BUNDLE)} was the shadow",
    )
    assert run(signal.SIGKILL) == (id_of(LANDMARK_BUNDLE), None)
    shadow, problem = run(signal.SIGKILL)
    assert (shadow, (problem or "").partition(";")[0]) == turned_off
    assert run(signal.SIGTERM, reload=True) == (id_of(LANDMARK_BUNDLE), None), "a reload tries it again"
    assert run(signal.SIGTERM) == (id_of(LANDMARK_BUNDLE), None), "that run ended cleanly"


@pytest.fixture
def current(store, tmp_path) -> Path:
    """Folder of the bundle in use of a device with the landmark bundle as the shadow."""
    store.install(LANDMARK_BUNDLE, shadow=True)
    return tmp_path / "models" / "current"


def shadow_of(current: Path, *, recording: bool = False, **model: object) -> str | None:
    settings = Settings(model=ModelSettings(**{key: str(value) for key, value in model.items()}))
    installation = Installation.of(settings, device=current.parent)
    folder = installation.shadow_of(bundles.load(current))
    return installation.load_shadow(folder, recording=recording).id if folder else None


def test_with_a_configured_bundle_the_shadow_must_be_configured_too(current):
    assert shadow_of(current) == id_of(LANDMARK_BUNDLE)
    assert shadow_of(current, bundle=current) is None
    assert shadow_of(current, bundle=FUSED_BUNDLE, shadow=LANDMARK_BUNDLE) == id_of(LANDMARK_BUNDLE)
    assert shadow_of(current, shadow=FUSED_BUNDLE) == id_of(FUSED_BUNDLE), "another folder with the same model"
    assert shadow_of(current, shadow=current) is None, "a bundle is no shadow of itself"


def test_a_recording_has_no_crops_for_a_shadow(current):
    assert shadow_of(current, recording=True) == id_of(LANDMARK_BUNDLE)
    with pytest.raises(ConfigError, match=r"set model\.shadow to one that reads landmarks alone"):
        shadow_of(current, recording=True, shadow=FUSED_BUNDLE)


def test_a_shadow_that_fails_while_reading_ends_with_one_line(crop_bundle, portraits, caplog):
    settings = Settings(model=ModelSettings(shadow=str(crop_bundle("crop"))))
    shadow = Shadow(settings, Installation.of(settings), bundles.load(FUSED_BUNDLE))
    picture, face = portraits[0]
    assert shadow.step([face], Frame(picture, 1.0, still=True), 1.0)
    assert [shown.track_id for shown in shadow.shown()] == [face.track_id]
    with caplog.at_level(logging.WARNING):
        nothing = np.zeros((0, 0, 3), np.uint8)
        face = replace(face, landmarks=face.landmarks.copy())  # measured again
        assert not shadow.step([face], Frame(nothing, 2.0), 2.0), "an empty picture has no crop"
        assert shadow.step([face], Frame(picture, 3.0), 3.0)
    assert (shadow.id, shadow.shown()) == (None, ())
    assert len(caplog.records) == 1
    assert shadow.problem
    assert shadow.problem in caplog.text
    assert "\n" not in shadow.problem
