"""Making keys and signing bundles, as a user does it, and as a device sees it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from edge.bundle import bundle as edge_bundle
from edge.bundle import signature
from edge.errors import ConfigError
from host_training import cli
from host_training.training import signing
from tests.support.released import LANDMARK_BUNDLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(LANDMARK_BUNDLE, tmp_path / "emotion")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    assert cli.main(["sign", "--new-key", str(tmp_path / "fleet.key")]) == 0
    return tmp_path / "fleet.key"


def trusted(key: Path) -> signature.TrustedKeys:
    keys = signature.read_trusted_keys(Path(f"{key}.pub"))
    assert keys is not None
    return keys


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = cli.main(["sign", *map(str, arguments)])
    (line,) = capsys.readouterr().err.splitlines()
    return status, line


def test_only_the_owner_can_read_a_new_key(key: Path):
    secret = signing.read_key(key)
    assert dict(trusted(key).public) == {secret.name: bytes(secret.secret.verify_key)}
    assert key.stat().st_mode & 0o777 == 0o600
    assert Path(f"{key}.pub").read_text().startswith(f"untrusted comment: emotion-edge public key {secret.name}\n")


@pytest.mark.parametrize("there", ["fleet.key", "fleet.key.pub"])
def test_never_replaces_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str):
    (tmp_path / there).write_text("precious")
    status, line = refused(capsys, "--new-key", tmp_path / "fleet.key")
    assert status == os.EX_CANTCREAT
    assert f"{there}: exists" in line
    assert content(tmp_path) == {there: b"precious"}


def test_reports_a_key_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    status, line = refused(capsys, "--new-key", tmp_path / "nowhere" / "fleet.key")
    assert (status, "cannot be written (No such file or directory)" in line) == (os.EX_CANTCREAT, True)


def test_a_device_accepts_a_signed_bundle(folder: Path, key: Path, capsys: pytest.CaptureFixture[str]):
    before = edge_bundle.load(folder)
    now = int(time.time())
    assert cli.main(["sign", str(folder), "--key", str(key)]) == 0
    bundle = edge_bundle.load(folder, trusted(key))
    assert bundle.id == before.id
    assert bundle.manifest.provenance == before.manifest.provenance
    assert now <= bundle.manifest.counter <= time.time()
    assert f"{before.id}, counter {bundle.manifest.counter}\n" in capsys.readouterr().out
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_counter_and_expiry_are_signed_too(folder: Path, key: Path):
    assert cli.main(["sign", str(folder), "--key", str(key), "--counter", "7", "--expires", "2999-01-31"]) == 0
    manifest = edge_bundle.load(folder, trusted(key)).manifest
    assert (manifest.counter, manifest.expires) == (7, date(2999, 1, 31))
    assert cli.main(["sign", str(folder), "--key", str(key), "--counter", "8"]) == 0
    assert edge_bundle.load(folder, trusted(key)).manifest.expires is None


def test_signs_every_file_but_the_face_mesh(folder: Path, key: Path):
    (folder / "notes.txt").write_text("mine")
    (folder / "mesh").mkdir()
    assert cli.main(["sign", str(folder), "--key", str(key)]) == 0
    files = edge_bundle.load(folder, trusted(key)).manifest.files
    assert set(files) == {path.name for path in folder.iterdir()} - {"manifest.json", "manifest.json.minisig", "mesh"}
    (folder / "notes.txt").write_text("yours")
    with pytest.raises(ConfigError, match=r"notes\.txt is not the file"):
        edge_bundle.load(folder, trusted(key))


def test_a_damaged_bundle_is_not_signed(folder: Path, key: Path, capsys: pytest.CaptureFixture[str]):
    os.truncate(folder / "classifier.tflite", 100)
    before = content(folder)
    capsys.readouterr()
    status, line = refused(capsys, folder, "--key", key)
    assert (status, f"{folder}: classifier.tflite is not the file" in line) == (os.EX_CONFIG, True)
    assert content(folder) == before


def test_a_folder_within_is_not_signed(folder: Path, key: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.jpg").write_text("meow")
    capsys.readouterr()
    status, line = refused(capsys, folder, "--key", key)
    assert (status, "'photos' is in it" in line) == (os.EX_CONFIG, True)


@pytest.mark.parametrize("text", ["", "untrusted comment: a\nabc\n", "a\nAAAA\n", "a\nb\nc", "\xff"])
def test_a_file_that_is_no_secret_key_is_refused(folder, tmp_path, capsys, text):
    (tmp_path / "key").write_text(text, "latin-1")
    status, line = refused(capsys, folder, "--key", tmp_path / "key")
    assert (status, "is not a secret key" in line) == (os.EX_DATAERR, True)


def test_a_key_with_a_password_does_not_sign(folder: Path, key: Path, capsys: pytest.CaptureFixture[str]):
    comment, line = key.read_text().splitlines()
    data = bytearray(base64.b64decode(line))
    data[2:4] = b"Sc"
    key.write_text(f"{comment}\n{base64.b64encode(data).decode()}\n")
    capsys.readouterr()
    status, line = refused(capsys, folder, "--key", key)
    assert (status, "is encrypted with a password" in line) == (os.EX_DATAERR, True)


def test_the_same_key_and_counter_give_the_same_files(folder: Path, key: Path):
    """What a deployment signs again is not installed again."""
    sign = ["sign", str(folder), "--key", str(key), "--counter", "7"]
    assert cli.main(sign) == 0
    once = content(folder)
    assert cli.main(sign) == 0
    assert content(folder) == once


def test_the_public_half_does_not_sign(folder: Path, key: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    status, line = refused(capsys, folder, "--key", f"{key}.pub")
    assert (status, "not its .pub" in line) == (os.EX_DATAERR, True)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ([], os.EX_USAGE, "--help"),
        (["emotion"], os.EX_USAGE, "--help"),
        (["--key", "key"], os.EX_USAGE, "give its folder"),
        (["emotion", "--new-key", "key"], os.EX_USAGE, "takes no other argument"),
        (["--new-key", "key", "--counter", "1"], os.EX_USAGE, "takes no other argument"),
        (["emotion", "--key", "key", "--counter", "-1"], os.EX_USAGE, "give 0 or more"),
        (["emotion", "--key", "key", "--expires", "soon"], os.EX_USAGE, "not a date; give one such as 2027-01-31"),
        (["emotion", "--key", "key", "--expires", "2020-01-31"], os.EX_USAGE, "is in the past"),
        (["emotion", "--key", "key"], os.EX_NOINPUT, "key: No such file"),
    ],
)
def test_reports_bad_usage_in_one_line(tmp_path, monkeypatch, capsys, arguments, status, reason):
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, *arguments)[0] == status
    assert reason in refused(capsys, *arguments)[1]
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
step, arguments = sys.argv[1], sys.argv[2:]
def hook(event, found):
    name = os.path.basename(str(found[0])) if found else ""
    if f"{event} {name}".startswith(step) and (event != "open" or found[1] == "w"):
        os.kill(os.getpid(), signal.SIGKILL)
from host_training import cli
from host_training.training import signing
sys.addaudithook(hook)
sys.exit(cli.main(arguments))
"""


@pytest.mark.parametrize(
    ("step", "signed"),
    [
        ("open manifest.json", 1),
        ("open manifest.json.minisig", 1),
        ("ctypes.dlsym <", 1),
        ("shutil.rmtree .emotion-", 2),
    ],
)
def test_killed_signing_leaves_the_old_or_the_new_signature(folder: Path, key: Path, step: str, signed: int):
    sign = ["sign", str(folder), "--key", str(key), "--counter"]
    assert cli.main([*sign, "1"]) == 0
    done = subprocess.run([sys.executable, "-c", KILLED, step, *sign, "2"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert edge_bundle.load(folder, trusted(key)).manifest.counter == signed
    assert json.loads((folder / "manifest.json").read_text())["counter"] == signed
