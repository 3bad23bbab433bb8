"""Paths that a user gives hold from where they were given: any folder, and also when they are read again later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import pytest

from edge import settings
from edge.camera import open_camera
from edge.camera.demo.camera import DemoCamera
from edge.cli import absolute_path, main
from edge.errors import EdgeError
from edge.face_mesh.models import cache_folder
from edge.settings import CameraSettings, Settings
from edge.validation import Text, allowed
from tests.support.broker import Listener, until
from tests.support.released import FUSED_BUNDLE

pytest_plugins = ["tests.support.broker"]
pytestmark = pytest.mark.usefixtures("models")

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def there(tmp_path) -> Path:
    """A folder far from the project: settings, a picture of a smile, a bundle and a token."""
    (tmp_path / "own.toml").write_text('[device]\nname = "test"\n[expression]\nhold_s = 0.1\n')
    (tmp_path / "pictures").mkdir()
    smile = DemoCamera(CameraSettings()).draw(1.0)
    cv2.imwrite(str(tmp_path / "pictures" / "smile.png"), smile[:, :, ::-1])
    (tmp_path / "bundle").symlink_to(FUSED_BUNDLE)
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "token").chmod(0o600)
    return tmp_path


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edge", *map(str, words)]


def surroundings(there: Path) -> dict:
    return {"cwd": there, "env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}, "text": True}


def run(there: Path, *words: object) -> str:
    done = subprocess.run(command(*words), capture_output=True, check=False, timeout=60, **surroundings(there))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_classify_takes_a_picture_and_settings_of_the_folder(there):
    result = json.loads(run(there, "classify", "--json", "--config", "own.toml", "pictures/smile.png"))
    assert result["source"] == "pictures/smile.png"
    assert result["faces"][0]["expression"] == "happiness"


def test_a_recording_is_written_to_the_folder_and_played_from_it(there):
    for number in range(3):  # a face has to be in view for a moment
        shutil.copy(there / "pictures" / "smile.png", there / "pictures" / f"smile-{number}.png")
    run(there, "record", "--config", "own.toml", "--camera", "images:pictures", "smile.landmarks")
    assert (there / "smile.landmarks").is_file()
    played = run(there, "run", "--camera", "recording:smile.landmarks", "--mqtt", "mqtt://127.0.0.1:9")
    assert "new happiness" in played


def test_a_bundle_of_the_folder_is_verified(there):
    assert "bundle: " in run(there, "model", "verify", "bundle")


def test_the_home_folder_is_found_where_the_shell_leaves_it_alone(there, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder().parents[1]))
    monkeypatch.setenv("HOME", str(there))
    played = run(there, "run", "--config=~/own.toml", "--camera", "images:~/pictures", "--mqtt", "mqtt://127.0.0.1:9")
    assert "device 'test'" in played
    assert "new happiness" in played


def test_settings_and_pictures_are_found_again_at_a_reload(there, broker):
    words = ("--config", "own.toml", "--preview=127.0.0.1:0", "--preview-token-file", "token", "--mqtt", broker.url)
    with Listener(broker.port, "emotion/+/#") as listener:
        daemon = subprocess.Popen(
            command("run", "--camera", "demo", *words), stdin=subprocess.DEVNULL, **surroundings(there)
        )
        try:
            until(lambda: listener.payloads("event"), "the first event")
            (there / "own.toml").write_text('[device]\nname = "renamed"\n')
            daemon.send_signal(signal.SIGHUP)
            until(lambda: "renamed" in {info["device"] for info in listener.payloads("info")}, "the other settings")
        finally:
            daemon.terminate()
            daemon.wait(20)


def test_a_path_becomes_absolute_before_anything_else_happens(there, monkeypatch):
    monkeypatch.chdir(there)
    monkeypatch.setenv("HOME", "/home/anna")
    assert absolute_path("own.toml") == there / "own.toml"
    assert absolute_path("~/own.toml") == Path("/home/anna/own.toml")
    assert absolute_path("~root/own.toml") == Path("/root/own.toml")
    assert absolute_path("~nobody.toml") == there / "~nobody.toml"


@pytest.mark.parametrize("option", ["--config", "--preview-token-file"])
def test_an_empty_path_is_not_the_default(capfd, option):
    assert main(["run", "--camera", "demo", option, ""]) == 64
    assert f"argument {option}: the path is empty" in capfd.readouterr().err


def test_the_home_folder_is_found_in_every_path_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    sections = {section.name: allowed(type(getattr(Settings(), section.name))) for section in fields(Settings)}
    paths = {
        f"{section}.{key}"
        for section, keys in sections.items()
        for key, (_, rule) in keys.items()
        if isinstance(rule, Text) and rule.meaning in {"a folder", "a file"}
    }
    assert {"mesh.models", "model.bundle", "mqtt.password_file"} <= paths
    (tmp_path / "own.toml").touch()
    read = settings.load(tmp_path / "own.toml", dict.fromkeys(paths, "~/here"))
    given = {getattr(getattr(read, section), key) for section, key in (path.split(".") for path in paths)}
    assert given == {"/home/anna/here"}


@pytest.mark.parametrize("kind", ["v4l2", "video", "images", "recording"])
def test_the_home_folder_is_found_in_the_source_of_the_camera(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(EdgeError, match=f"{tmp_path}/nothing"):
        open_camera(CameraSettings(source=f"{kind}:~/nothing"))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["classify", "~/nothing.jpg"], 1),
        (["model", "verify", "~/nothing"], 78),
        (["model", "fetch", "--from=~/nothing", "--to=~/there"], 66),
        (["record", "--camera=demo", "~/nothing/new.landmarks"], 73),
        (["status", "--config=~/nothing.toml"], 78),
        (["run", "--camera=demo", "--preview=127.0.0.1:0", "--preview-token-file=~/nothing"], 78),
    ],
)
def test_the_home_folder_is_found_in_every_option(tmp_path, monkeypatch, capfd, words, status):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder().parents[1]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    assert main(words) == status
    shown = capfd.readouterr().err
    assert f"{tmp_path}/nothing" in shown or "preview.token_file names" in shown
