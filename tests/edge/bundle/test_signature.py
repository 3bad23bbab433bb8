"""With trusted keys, a bundle is loaded only if one of them has signed all of its files."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from edge.bundle import bundle as bundles
from edge.bundle import signature
from edge.bundle.locate import Installation
from edge.bundle.manifest import Manifest
from edge.daemon.pipeline import Pipeline
from edge.errors import ConfigError
from edge.settings import CameraSettings, ModelSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["tests.support.crop_bundles", "tests.support.signed_bundles"]

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


def in_use(folder: Path, trusted: Path) -> bundles.Bundle:
    """Load a bundle as the daemon does with these settings."""
    return Installation.of(Settings(model=ModelSettings(bundle=str(folder), trusted_keys=str(trusted)))).load()


def change_manifest(folder: Path, **values) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_signed_bundle_is_loaded(signed, keys):
    assert in_use(signed("a"), keys[0].public).id == "a"


def test_any_of_several_keys_may_have_signed_it(signed, keys, tmp_path):
    first, second = (key.public.read_text() for key in keys)
    trusted = tmp_path / "trusted-keys"
    trusted.write_text(f"# the old one and the new one\n\n{first}{second}")
    assert in_use(signed("a", key=keys[0]), trusted).id == "a"
    assert in_use(signed("b", key=keys[1]), trusted).id == "b"


def test_trusted_keys_and_signature_may_begin_with_a_byte_order_mark(signed, keys, tmp_path):
    folder, trusted = signed("a"), tmp_path / "trusted-keys"
    trusted.write_bytes(b"\xef\xbb\xbf" + keys[0].public.read_bytes().splitlines()[1] + b"\r\n")
    signature = folder / "manifest.json.minisig"
    signature.write_bytes(b"\xef\xbb\xbf" + signature.read_bytes())
    assert in_use(folder, trusted).id == "a"


def on_device(folder: Path, trusted: Path) -> Installation:
    """The installation of a device with a file of trusted keys, whose settings name only the bundle."""
    return Installation.of(Settings(model=ModelSettings(bundle=str(folder))), trusted_keys=trusted)


def test_without_trusted_keys_no_signature_is_needed(landmark_bundle, tmp_path):
    installation = on_device(landmark_bundle, tmp_path / "none" / "trusted-keys")
    assert installation.keys() is None
    assert installation.load().folder == landmark_bundle


def test_the_trusted_keys_of_the_device_apply_without_a_setting(landmark_bundle, keys):
    installation = on_device(landmark_bundle, keys[0].public)
    for recording in (False, True):
        with pytest.raises(ConfigError, match=r"no manifest\.json\.minisig, and .*first\.pub asks for a signature"):
            installation.load(recording=recording)


def test_a_signed_bundle_may_contain_the_face_mesh(signed, keys, models):
    folder = signed()
    shutil.copytree(models.folder, folder / "mesh")
    assert in_use(folder, keys[0].public).id == "a"


def test_the_bytes_of_the_manifest_are_signed(signed, keys):
    folder = signed()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=7))
    with pytest.raises(ConfigError, match="altered after it was signed"):
        in_use(folder, keys[0].public)


def test_nothing_is_parsed_before_the_signature_is_verified(signed, keys, monkeypatch):
    folder = signed()
    altered(folder / "manifest.json", 100)
    monkeypatch.setattr(Manifest, "from_json", lambda _data: pytest.fail("the manifest was parsed"))
    with pytest.raises(ConfigError, match="altered after it was signed"):
        in_use(folder, keys[0].public)


needs_minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")


def minisign(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["minisign", *arguments], capture_output=True, text=True, check=False)


@needs_minisign
def test_minisign_verifies_what_was_signed_here(signed, keys):
    folder = signed("a", 7)
    verify = ["-V", "-p", keys[0].public, "-m", folder / "manifest.json"]
    done = minisign(*verify)
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: a, counter 7" in done.stdout
    altered(folder / "manifest.json", 100)
    assert minisign(*verify).returncode != 0


@needs_minisign
def test_a_bundle_signed_by_minisign_is_loaded(signed, keys, tmp_path):
    """With a key that minisign made, and with one of ours."""
    folder = signed()
    assert minisign("-G", "-W", "-p", tmp_path / "own.pub", "-s", tmp_path / "own").returncode == 0
    for secret, public in ((tmp_path / "own", tmp_path / "own.pub"), (keys[0].public.with_suffix(""), keys[0].public)):
        (folder / "manifest.json.minisig").unlink()
        done = minisign("-S", "-s", secret, "-m", folder / "manifest.json")
        assert done.returncode == 0, done.stderr
        assert in_use(folder, public).id == "a"


@needs_minisign
def test_a_signature_in_the_legacy_format_is_refused(signed, keys):
    """Ed25519 over the file itself: minisign has used the other format since 2021."""
    folder = signed()
    minisign("-S", "-l", "-s", keys[0].public.with_suffix(""), "-m", folder / "manifest.json")
    with pytest.raises(ConfigError, match="not one that `minisign -S` writes"):
        in_use(folder, keys[0].public)


def altered(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def altered_line(folder: Path, number: int) -> None:
    """Change the last letter but two of a line of the signature."""
    lines = (folder / "manifest.json.minisig").read_text().splitlines()
    line = lines[number]
    lines[number] = f"{line[:-6]}{'A' if line[-6] != 'A' else 'B'}{line[-5:]}"
    (folder / "manifest.json.minisig").write_text("\n".join(lines) + "\n")


def moved_out(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / "elsewhere"))


def mesh_with(name: str):
    def add(folder: Path) -> None:
        (folder / "mesh").mkdir()
        (folder / "mesh" / name).write_text("")

    return add


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "manifest.json.minisig").unlink(), r"no manifest\.json\.minisig"),
        (lambda folder: (folder / "manifest.json.minisig").write_text(""), r"manifest\.json\.minisig is damaged"),
        (lambda folder: (folder / "manifest.json.minisig").write_text("a\nb\nc\nd\n"), "damaged, or not one that"),
        (lambda folder: (folder / "manifest.json.minisig").write_bytes(b"\xff"), r"minisig cannot be read"),
        (lambda folder: altered_line(folder, 1), "altered after it was signed"),
        (lambda folder: altered_line(folder, 2), "altered after it was signed"),
        (lambda folder: altered_line(folder, 3), "altered after it was signed"),
        (lambda folder: change_manifest(folder, counter=2), "altered after it was signed"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "altered after it was signed"),
        (lambda folder: altered(folder / "classifier.tflite", 100), "classifier.tflite is not the file"),
        (lambda folder: os.truncate(folder / "classifier.tflite", 100), "classifier.tflite is not the file"),
        (lambda folder: (folder / "golden.npz").unlink(), "golden.npz cannot be read"),
        (lambda folder: (folder / "extra.txt").write_text(""), r"'extra\.txt' is in it"),
        (lambda folder: (folder / ".hidden").write_text(""), r"'\.hidden' is in it"),
        (lambda folder: (folder / "more").mkdir(), "'more' is in it"),
        (lambda folder: os.mkfifo(folder / "pipe"), "'pipe' is in it"),
        (lambda folder: moved_out(folder / "golden.npz"), r"'golden\.npz' is in it"),
        (mesh_with("other.tflite"), r"'mesh/other\.tflite' is in it"),
        (lambda folder: (folder / "mesh").write_text(""), "'mesh' is in it"),
    ],
)  # fmt: skip
def test_any_change_after_signing_is_refused(signed, keys, change, reason):
    folder = signed()
    change(folder)
    with pytest.raises(ConfigError, match=reason) as caught:
        in_use(folder, keys[0].public)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../secret", "mesh/x", "..", "", "a\0b"])
def test_a_signed_manifest_may_not_name_files_outside_of_the_bundle(signed, sign_by_hand, keys, name):
    folder = signed()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    sign_by_hand(folder, files={**files, name: "0" * 64})
    with pytest.raises(ConfigError, match=r"not a file of the bundle|cannot be read"):
        in_use(folder, keys[0].public)


def test_an_unknown_key_is_named(signed, keys):
    with pytest.raises(ConfigError, match=f"signed with the key {keys[1].id}, which is not in {keys[0].public}"):
        in_use(signed(key=keys[1]), keys[0].public)


def test_a_removed_key_is_no_longer_trusted(signed, keys, tmp_path):
    folder, trusted = signed(key=keys[1]), tmp_path / "trusted-keys"
    trusted.write_text("".join(key.public.read_text() for key in keys))
    in_use(folder, trusted)
    trusted.write_text(keys[0].public.read_text())
    with pytest.raises(ConfigError, match=keys[1].id):
        in_use(folder, trusted)


def test_the_id_of_a_trusted_key_is_not_enough(signed, keys):
    folder = signed(key=keys[1])
    untrusted, line, *others = (folder / "manifest.json.minisig").read_text().splitlines()
    data = base64.b64decode(line)
    line = base64.b64encode(data[:2] + keys[0].secret.id + data[10:]).decode()
    (folder / "manifest.json.minisig").write_text("\n".join([untrusted, line, *others]))
    with pytest.raises(ConfigError, match="altered after it was signed"):
        in_use(folder, keys[0].public)


def test_a_network_is_not_run_before_the_signature_is_checked(crashing, keys):
    # The network would crash this process with tflite-runtime.
    (crashing / "manifest.json.minisig").unlink()
    with pytest.raises(ConfigError, match="asks for a signature"):
        in_use(crashing, keys[0].public)


@pytest.mark.usefixtures("models")
def test_a_reload_with_a_refused_bundle_keeps_the_old_one(signed, keys):
    def settings(folder: Path) -> Settings:
        model = ModelSettings(bundle=str(folder), trusted_keys=str(keys[0].public))
        return Settings(camera=CameraSettings(source="demo"), model=model)

    pipeline = Pipeline(settings(signed("a")))
    try:
        with pytest.raises(ConfigError, match=keys[1].id):
            pipeline.reload(settings(signed("b", key=keys[1])))
        assert pipeline.bundle.id == "a"
        pipeline.reload(settings(signed("c")))
        assert pipeline.bundle.id == "c"
    finally:
        pipeline.close()


@pytest.mark.parametrize(("last", "fine"), [(TODAY - DAY, False), (TODAY, True), (TODAY + DAY, True)])
def test_a_bundle_is_loaded_up_to_the_day_on_which_it_expires(signed, keys, last, fine, monkeypatch):
    monkeypatch.setattr(signature, "clock_synchronised", lambda: True)
    folder = signed(expires=last)
    if fine:
        assert in_use(folder, keys[0].public).id == "a"
    else:
        with pytest.raises(ConfigError, match=f"it expired on {last}"):
            in_use(folder, keys[0].public)


def test_without_a_set_clock_no_bundle_expires(signed, keys, monkeypatch, caplog):
    monkeypatch.setattr(signature, "clock_synchronised", lambda: False)
    assert in_use(signed(expires=TODAY - DAY), keys[0].public).id == "a"
    assert "the clock has not been set" in caplog.text


@pytest.mark.parametrize("expires", ["soon", 20270131])
def test_an_invalid_date_is_refused(signed, sign_by_hand, keys, expires):
    folder = signed()
    sign_by_hand(folder, expires=expires)
    with pytest.raises(ConfigError, match=r"manifest\.json: expires = .* is not allowed; give a date"):
        in_use(folder, keys[0].public)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"cannot be read \(No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "contains no key"),
        (b"# nothing but a comment\n", "contains no key"),
        (b"untrusted comment: mine\nRWQ+zwDw8uGdlKTUCvkZi9Q=\n", "line 2 is not a minisign public key"),
        (b"RWQ+zwDw8uGdlKTUCvkZi9TnsZzRNN25+XsrNitmAHM7l1j1WFUTt7q\n", "line 1 is not a minisign public key"),
        (b"RUQ+zwDw8uGdlKTUCvkZi9TnsZzRNN25+XsrNitmAHM7l1j1WFUTt7qr\n", "line 1 is not a minisign public key"),
    ],
)
def test_trusted_keys_that_cannot_be_read_are_refused(signed, tmp_path, content, reason):
    trusted = tmp_path / "trusted-keys"
    if content is not None:
        trusted.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        in_use(signed(), trusted)


def test_a_missing_file_of_trusted_keys_is_an_error(landmark_bundle, tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        on_device(landmark_bundle, tmp_path).load()
