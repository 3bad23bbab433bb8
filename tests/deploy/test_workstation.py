"""The scripts that the playbooks run on the workstation: inventories, settings files and archives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edge import settings
from host_training.training import signing

DEPLOY = Path(__file__).parents[2] / "deploy"
MODEL = DEPLOY.parent / "model"


def run(script: str, *arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEPLOY / script, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def error_of(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The single line of an error."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    return done.stderr


def hosts(words: str) -> dict[str, dict[str, Any]]:
    done = run("ansible/hosts.py", HOSTS=words)
    assert done.returncode == 0, done.stderr
    inventory = json.loads(done.stdout)
    assert inventory["all"]["hosts"] == list(inventory["_meta"]["hostvars"])
    return dict(inventory["_meta"]["hostvars"])


def test_hosts_are_users_names_and_ports():
    assert hosts("pi@livingroom.local, 10.0.0.7 me@hall:2222,pi@[fd00::7]:22,") == {
        "pi@livingroom.local": {"ansible_user": "pi", "ansible_host": "livingroom.local"},
        "10.0.0.7": {"ansible_host": "10.0.0.7"},
        "me@hall:2222": {"ansible_user": "me", "ansible_host": "hall", "ansible_port": 2222},
        "pi@[fd00::7]:22": {"ansible_user": "pi", "ansible_host": "fd00::7", "ansible_port": 22},
    }


@pytest.mark.parametrize("words", ["", " ,", "pi@", "@hall", "pi@hall:ssh", "-oForwardAgent", "-o@hall", "pi@hall;id"])
def test_invalid_hosts_are_rejected(words: str):
    assert "HOSTS=pi@livingroom.local" in error_of(run("ansible/hosts.py", HOSTS=words), os.EX_USAGE)


def test_a_settings_file_has_the_values_of_the_variables(tmp_path: Path):
    variables = {"camera_fps": 8, "mqtt_url": "mqtt://broker", "device_name": 'küche "1"', "mesh_max_faces": 1}
    done = run("workstation/settings_file.py", stdin=json.dumps(variables))
    file = tmp_path / "settings"
    file.write_text(done.stdout, "utf-8")
    read = settings.load(file)
    assert (read.camera.fps, read.mqtt.url, read.device.name) == (8.0, "mqtt://broker", 'küche "1"')
    assert read.camera.source == settings.Settings().camera.source


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"camera_fsp": 8}, "unknown key 'fsp' in [camera]; did you mean 'fps'?"),
        ({"camra_fps": 8}, "unknown section [camra]; did you mean 'camera'?"),
        ({"camera_fps": "8"}, "camera.fps = '8' is not allowed"),
        ({"camera_fps": None}, "camera.fps is null, but must be text or a number"),
        ({"camera": {"fps": 8}}, "must be text or a number"),
        ({"mqtt_url": "http://broker"}, "mqtt.url is 'http://broker'; write mqtt://"),
        ({"device_name": "hall/1"}, "device.name"),
    ],
)
def test_settings_that_the_daemon_would_reject_are_rejected(variables: dict[str, Any], error: str):
    assert error in error_of(run("workstation/settings_file.py", stdin=json.dumps(variables)), os.EX_CONFIG)


def pack(*arguments: str | Path) -> dict[str, str]:
    done = run("workstation/pack.py", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_bundle_is_packed_completely_and_reproducibly(tmp_path: Path):
    copy = tmp_path / "fused"
    shutil.copytree(MODEL / "fused", copy)
    packed, again = pack("bundle", MODEL / "fused"), pack("bundle", copy)
    with tarfile.open(packed["file"]) as archive:
        names = archive.getnames()
    assert packed == again
    assert names == [*(f"{packed['folder']}/{file.name}" for file in sorted(copy.iterdir())), f"{packed['name']}/whole"]
    assert packed["id"] == json.loads((copy / "manifest.json").read_text())["id"]


def test_a_key_signs_the_packed_bundle_and_not_the_original(tmp_path: Path):
    key, before = tmp_path / "fleet.key", (MODEL / "fused" / "manifest.json").read_bytes()
    signing.new_key(key)
    packed = pack("bundle", MODEL / "fused", "--key", key)
    with tarfile.open(packed["file"]) as archive:
        assert f"{packed['folder']}/manifest.json.minisig" in archive.getnames()
    assert packed == pack("bundle", MODEL / "fused", "--key", key)
    assert packed["name"] != pack("bundle", MODEL / "fused")["name"]
    assert (MODEL / "fused" / "manifest.json").read_bytes() == before
    Path(packed["file"]).unlink()


def test_a_packed_checkout_contains_what_the_installer_needs(tmp_path: Path):
    packed = pack("checkout")
    with tarfile.open(packed["file"]) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / packed["folder"]
    assert os.access(folder / "deploy" / "install.sh", os.X_OK)
    assert (folder / "model" / "landmarks" / "manifest.json").exists()
    assert not list(folder.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (["bundle", "nowhere"], os.EX_NOINPUT, "nowhere: no such folder; pass BUNDLE=DIR"),
        (["bundle", str(DEPLOY / "constraints")], os.EX_CONFIG, "constraints"),
        (["bundle", str(MODEL / "fused"), "--key", "nowhere"], os.EX_NOINPUT, "nowhere: No such file"),
        (["wheels", "m68k", "3.13"], os.EX_UNAVAILABLE, "for Python 3.13 on m68k cannot be downloaded"),
    ],
)
def test_errors_of_packing_are_reported_in_one_line(arguments: list[str], status: int, error: str):
    assert error in error_of(run("workstation/pack.py", *arguments), status)


def chosen(models: Path, bundle: str | Path = "") -> dict[str, Any]:
    done = run("workstation/choose.py", models, bundle)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder of somebody who has trained two bundles, the worse one last."""
    for name, released in (("better", "fused"), ("latest-one", "landmarks")):
        shutil.copytree(MODEL / released, tmp_path / "models" / name)
    (tmp_path / "models" / "latest").symlink_to("latest-one")
    return tmp_path / "models"


def test_a_deployment_takes_what_was_trained_last_and_warns_where_it_reads_worse(models: Path):
    choice = chosen(models)
    released, mine = (json.loads((MODEL / name / "manifest.json").read_text())["id"] for name in ("fused", "landmarks"))
    text = "\n".join(choice["lines"])

    assert (choice["folder"], choice["id"]) == (str(models / "latest-one"), mine)
    assert (choice["released"], choice["switch"]) == (False, True)
    assert f"model bundle {mine} in {models / 'latest-one'} (trained last;" in text
    assert "on the same 3,152 test rows:" in text
    assert f"{released}      accuracy 0.840 (0.827 to 0.853)" in text
    assert f"warning: {mine} reads worse than {released}: accuracy 0.763 instead of 0.840" in text


def test_a_deployment_takes_the_bundle_asked_for(models: Path):
    choice = chosen(models, models / "better")

    assert (choice["folder"], choice["switch"]) == (str(models / "better"), True)
    assert "warning" not in "".join(choice["lines"])
    back = chosen(models, MODEL / "fused")
    assert (back["released"], back["switch"]) == (True, True), "also on devices that have one of their own"


def test_a_deployment_takes_the_released_bundle_where_nothing_was_trained(tmp_path: Path):
    choice = chosen(tmp_path / "none")

    assert (choice["folder"], choice["switch"]) == (str(MODEL / "fused"), False)
    assert "(released; nothing was trained here" in choice["lines"][0]


def test_figures_on_different_rows_are_not_compared(models: Path):
    (models / "latest-one" / "report.json").unlink()
    manifest = json.loads((models / "latest-one" / "manifest.json").read_text())
    del manifest["files"]["report.json"]
    (models / "latest-one" / "manifest.json").write_text(json.dumps(manifest))
    text = "\n".join(chosen(models)["lines"])

    assert "not compared" in text
    assert f"{manifest['id']}  accuracy 0.763" in text
    assert "accuracy 0.840" in text
    assert "warning" not in text


@pytest.mark.parametrize(
    ("gone", "asked", "status", "error"),
    [
        ("latest-one", "", os.EX_NOINPUT, "what was trained last is no longer there"),
        ("latest-one/classifier.tflite", "", os.EX_CONFIG, "classifier.tflite"),
        ("", "nowhere", os.EX_NOINPUT, "nowhere: no such folder; pass BUNDLE=DIR"),
    ],
)
def test_a_bundle_that_cannot_be_chosen_is_reported_in_one_line(
    models: Path, gone: str, asked: str, status: int, error: str
):
    if gone:
        path = models / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert error in error_of(run("workstation/choose.py", models, asked), status)
