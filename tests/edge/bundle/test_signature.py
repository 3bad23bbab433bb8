"""Where keys are trusted, a bundle is loaded only if one of them has signed it, every file of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import bundle as bundles
from edge.bundle import signature
from edge.bundle.locate import Installation
from edge.daemon.pipeline import Pipeline
from edge.errors import ConfigError
from edge.settings import CameraSettings, ModelSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["tests.support.crop_bundles", "tests.support.signed_bundles"]

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


def in_use(folder: Path, trusted: Path) -> bundles.Bundle:
    """The bundle as the daemon loads it with these settings."""
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


def on_device(folder: Path, trusted: Path) -> Installation:
    """The installation of a device with such a file of trusted keys, whose settings name the bundle alone."""
    return Installation.of(Settings(model=ModelSettings(bundle=str(folder))), trusted_keys=trusted)


def test_without_trusted_keys_nobody_has_to_sign(landmark_bundle, tmp_path):
    installation = on_device(landmark_bundle, tmp_path / "none" / "trusted-keys")
    assert installation.keys() is None
    assert installation.load().folder == landmark_bundle


def test_the_trusted_keys_of_the_device_count_without_any_setting(landmark_bundle, keys):
    installation = on_device(landmark_bundle, keys[0].public)
    for recording in (False, True):
        with pytest.raises(ConfigError, match=r"no manifest\.sig, and .*first\.pub asks for a signature"):
            installation.load(recording=recording)


def test_the_face_mesh_may_lie_in_it(signed, keys, models):
    folder = signed()
    shutil.copytree(models.folder, folder / "mesh")
    assert in_use(folder, keys[0].public).id == "a"


def test_another_order_and_other_white_space_are_the_same_manifest(signed, keys):
    folder = signed()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(dict(reversed(manifest.items())), indent=7))
    assert in_use(folder, keys[0].public).id == "a"


def altered(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


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
        (lambda folder: (folder / "manifest.sig").unlink(), r"no manifest\.sig"),
        (lambda folder: (folder / "manifest.sig").write_text("{}"), r"manifest\.sig is damaged"),
        (lambda folder: (folder / "manifest.sig").write_text("[" * 100_000), r"manifest\.sig is damaged"),
        (lambda folder: (folder / "manifest.sig").write_bytes(b"\xff"), r"manifest\.sig cannot be read"),
        (lambda folder: altered(folder / "manifest.sig", 60), "altered after it was signed"),
        (lambda folder: change_manifest(folder, counter=2), "altered after it was signed"),
        (lambda folder: change_manifest(folder, temperature=float("nan")), "altered after it was signed"),
        (lambda folder: change_manifest(folder, id="\ud800"), "altered after it was signed"),
        (lambda folder: change_manifest(folder, files={"../a": "0"}), "altered after it was signed"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "damaged"),
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
def test_what_is_not_as_it_was_signed_is_refused(signed, keys, change, reason):
    folder = signed()
    change(folder)
    with pytest.raises(ConfigError, match=reason) as caught:
        in_use(folder, keys[0].public)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../secret", "mesh/x", "..", "", "a\0b"])
def test_a_signed_manifest_may_not_lead_out_of_the_bundle_either(signed, sign_by_hand, keys, name):
    folder = signed()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    sign_by_hand(folder, files={**files, name: "0" * 64})
    with pytest.raises(ConfigError, match=r"not a file of the bundle|cannot be read"):
        in_use(folder, keys[0].public)


def test_an_unknown_key_is_named(signed, keys):
    with pytest.raises(ConfigError, match=f"signed with the key '{keys[1].id}', which is not in {keys[0].public}"):
        in_use(signed(key=keys[1]), keys[0].public)


def test_a_key_that_was_removed_is_trusted_no_more(signed, keys, tmp_path):
    folder, trusted = signed(key=keys[1]), tmp_path / "trusted-keys"
    trusted.write_text("".join(key.public.read_text() for key in keys))
    in_use(folder, trusted)
    trusted.write_text(keys[0].public.read_text())
    with pytest.raises(ConfigError, match=keys[1].id):
        in_use(folder, trusted)


def test_the_name_of_a_trusted_key_does_not_make_a_signature(signed, keys):
    folder = signed(key=keys[1])
    made = json.loads((folder / "manifest.sig").read_text())
    (folder / "manifest.sig").write_text(json.dumps({**made, "key": keys[0].id}))
    with pytest.raises(ConfigError, match="altered after it was signed"):
        in_use(folder, keys[0].public)


def test_a_network_is_not_run_before_the_signature_is_checked(crashing, keys):
    # tflite-runtime would take this process with it.
    (crashing / "manifest.sig").unlink()
    with pytest.raises(ConfigError, match="asks for a signature"):
        in_use(crashing, keys[0].public)


@pytest.mark.usefixtures("models")
def test_a_daemon_that_is_reloaded_goes_on_with_the_old_one(signed, keys):
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


def test_a_clock_that_is_not_set_locks_nobody_out(signed, keys, monkeypatch, caplog):
    monkeypatch.setattr(signature, "clock_synchronised", lambda: False)
    assert in_use(signed(expires=TODAY - DAY), keys[0].public).id == "a"
    assert "the clock has not been set" in caplog.text


@pytest.mark.parametrize("expires", ["soon", 20270131, None])
def test_a_date_that_is_none_is_refused(signed, sign_by_hand, keys, expires):
    folder = signed()
    sign_by_hand(folder, expires=expires)
    with pytest.raises(ConfigError, match="does not say properly when it expires"):
        in_use(folder, keys[0].public)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"cannot be read \(No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "holds no key"),
        (b"# nothing but a comment\n", "holds no key"),
        (b"\n908afa907558a9cf\n", "line 2 is no public key"),
        (b"908afa907558a9cf abc= me\n", "line 1 is no public key"),
        (b"0000000000000000 z2nP12rr94DhtXX1jk7ST9Z1LyTUfSJc8Sd6DTIrSUI= me\n", "line 1 is no public key"),
    ],
)
def test_trusted_keys_that_cannot_be_read_are_refused(signed, tmp_path, content, reason):
    trusted = tmp_path / "trusted-keys"
    if content is not None:
        trusted.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        in_use(signed(), trusted)


def test_trusted_keys_that_are_no_file_are_not_taken_for_none(landmark_bundle, tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        on_device(landmark_bundle, tmp_path).load()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aä𝄞\n"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abä"), inner, max_size=3),
)  # fmt: skip


@given(st.dictionaries(st.text("abc"), json_values))
def test_the_canonical_form_outlives_being_written_and_read(manifest):
    again = json.loads(json.dumps(manifest, indent=3))
    assert signature.canonical(again) == signature.canonical(manifest)
    assert json.loads(signature.canonical(manifest)) == manifest


def test_the_canonical_form_is_that_of_rfc_8785():
    manifest = {"b": [1, True, None, "ä"], "a": {"d": 0.5, "c": 'x"\n'}}
    assert signature.canonical(manifest) == '{"a":{"c":"x\\"\\n","d":0.5},"b":[1,true,null,"ä"]}'.encode()
