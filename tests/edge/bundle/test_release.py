"""The bundles of a release come to a device together or not at all, and what somebody has chosen there stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edge import cli
from edge.bundle import bundle as bundles
from edge.bundle import locate
from edge.bundle.store import BundleStore
from edge.errors import ConfigError, NoInputError
from edge.face_mesh import models as mesh_models
from tests.support.bundle_folders import SWEEP, links, names
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest_plugins = ["tests.support.bundle_folders", "tests.support.crop_bundles", "tests.support.signed_bundles"]
pytestmark = pytest.mark.usefixtures("models", "quick_golden_faces")

NOTHING = "the model bundles of the release are installed: nothing to do"


@pytest.fixture
def release(signed, tmp_path) -> Callable[..., Path]:
    """Make a folder with two signed bundles, as a checkout has them."""

    def make(fused: str, landmarks: str = "l", counter: int = 10) -> Path:
        folder = tmp_path / f"release-{fused}-{landmarks}-{counter}"
        folder.mkdir()
        for role, name in (("fused", fused), ("landmarks", landmarks)):
            signed(name, counter).rename(folder / role)
        return folder

    return make


def released(root: Path) -> str:
    return (root / "released").read_text()


def test_both_bundles_are_installed_with_the_face_mesh_that_was_fetched(store, root, release):
    assert store.install_release(release("a")).splitlines() == [
        "model bundle l is installed for recordings",
        "model bundle a is installed, after none",
    ]
    assert links(root) == {"current": "a", "landmarks": "l"}
    assert released(root) == "a\n"
    assert names(root) == {"a", "l", "counter", ".lock", "current", "released", "landmarks"}
    for name in ("a", "l"):
        mesh = root / name / "mesh"
        mesh_models.verify(mesh)
        assert mesh.stat().st_mode & 0o777 == 0o755
        assert {path.stat().st_mode & 0o777 for path in mesh.iterdir()} == {0o644}


def test_without_a_face_mesh_nothing_is_installed(store, root, release, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="the face mesh models are missing"):
        store.install_release(release("a"))
    assert names(root) == {".lock"}


def test_installing_the_same_release_again_changes_nothing(store, root, release):
    folder = release("a")
    store.install_release(folder)
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    assert store.install_release(folder) == store.check_release(folder) == NOTHING
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"} == before


def test_the_next_release_replaces_the_bundle_of_this_one(store, root, release):
    store.install_release(release("a"))
    assert store.install_release(release("b", counter=11)) == (
        "model bundle l is installed for recordings\nmodel bundle b is installed, after a"
    )
    assert links(root) == {"current": "b", "previous": "a", "landmarks": "l"}
    assert released(root) == "b\n"
    assert bundles.verified(root / "l").counter == 11, "the same name, signed again"
    assert (root / "counter").read_text() == "11\n"


def test_an_older_release_is_installed_on_purpose(store, root, release):
    store.install_release(release("b", counter=11))
    store.install_release(release("a", counter=10))
    assert links(root)["current"] == "a"
    assert (root / "counter").read_text() == "11\n", "a bundle alone still may not be older"


def test_a_bundle_that_was_chosen_on_the_device_stays_in_use(store, root, release, signed):
    store.install_release(release("a"))
    store.install(signed("mine", 20))
    folder = release("b", "m", counter=30)
    stays = "model bundle mine stays in use, because it was chosen on this device"
    assert store.check_release(folder).splitlines() == ["would install model bundle m for recordings", stays]
    assert store.install_release(folder).splitlines() == [stays, "model bundle m is installed for recordings"]
    assert links(root) == {"current": "mine", "previous": "a", "landmarks": "m"}
    assert released(root) == "a\n"
    assert "b" not in names(root)
    assert store.install_release(folder).splitlines() == [stays, NOTHING]


def test_so_does_a_bundle_that_was_there_before_any_release(store, root, release, signed):
    store.install(signed("mine", 1))
    store.install_release(release("a"))
    assert links(root) == {"current": "mine", "landmarks": "l"}


def test_after_going_back_to_the_bundle_of_a_release_the_next_one_counts_again(store, root, release, signed):
    store.install_release(release("a"))
    store.install(signed("mine", 20))
    store.rollback()
    store.install_release(release("b", counter=30))
    assert links(root)["current"] == "b"


def test_going_back_to_the_bundle_of_the_release_before_is_a_choice_too(store, root, release):
    for name, counter in (("a", 10), ("b", 11)):
        store.install_release(release(name, counter=counter))
    store.rollback()
    store.install_release(release("c", counter=12))
    assert links(root)["current"] == "a"


def test_a_chosen_bundle_that_the_new_release_cannot_read_is_an_error(store, root, release, signed):
    store.install_release(release("a"))
    store.install(signed("mine", 20))
    (root / "mine" / bundles.GOLDEN).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"golden\.npz is not the file"):
        store.install_release(release("b", "m", counter=30))
    assert links(root)["landmarks"] == "l"


def test_a_damaged_bundle_is_repaired(store, root, release):
    folder = release("a")
    store.install_release(folder)
    os.truncate(root / "a" / bundles.FEATURES, 0)
    assert store.check_release(folder) == "would install model bundle a again"
    assert store.install_release(folder) == "model bundle a is installed again"
    mesh_models.verify(root / "a" / "mesh")
    assert store.install_release(folder) == NOTHING


def test_a_damaged_bundle_that_is_chosen_and_comes_with_the_release_is_repaired(store, root, release):
    store.install_release(release("a"))
    (root / "current").unlink()
    (root / "current").symlink_to("l")
    os.truncate(root / "l" / bundles.FEATURES, 0)
    stays = "model bundle l stays in use, because it was chosen on this device"
    folder = release("b", "l", counter=11)
    assert stays in store.check_release(folder)
    assert store.install_release(folder).splitlines() == [stays, "model bundle l is installed for recordings"]
    assert bundles.verified(root / "current").counter == 11


@pytest.mark.parametrize("role", ["fused", "landmarks"])
def test_a_broken_bundle_of_a_release_changes_neither(store, root, release, role):
    store.install_release(release("a"))
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    folder = release("b", "m", counter=11)
    os.truncate(folder / role / bundles.NETWORK, 99)
    for install in (store.check_release, store.install_release):
        with pytest.raises(ConfigError, match=rf"{folder / role}: classifier\.tflite is not the file"):
            install(folder)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"} == before


def test_a_folder_that_holds_no_release_is_no_input(store, tmp_path):
    with pytest.raises(NoInputError, match="fused: no such folder"):
        store.install_release(tmp_path)


def test_a_check_changes_nothing(store, root, release):
    assert store.check_release(release("a")).splitlines() == [
        "would install model bundle a, after none",
        "would install model bundle l for recordings",
    ]
    assert not root.exists()


def test_a_face_mesh_that_is_damaged_is_not_used_in_the_trial(root, keys, release, models, tmp_path):
    mesh = tmp_path / "mesh"
    shutil.copytree(models.folder, mesh)
    shutil.copy(mesh / mesh_models.LANDMARKER, mesh / mesh_models.DETECTOR)
    store = BundleStore(root, keys[0].trusted, trial_s=0.1, mesh=str(mesh))
    with pytest.raises(ConfigError, match="not the published model"):
        store.install_release(release("a"))
    assert names(root) == {".lock"}


def test_a_release_killed_at_any_step_leaves_the_old_or_the_new(store, root, release, keys):
    store.install_release(release("a"))
    folder = release("b", counter=11)
    done = subprocess.run(
        [sys.executable, SWEEP, root, keys[0].public, "release", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    attempts = [json.loads(line) for line in done.stdout.splitlines()]
    assert attempts[-1]["step"] is None
    assert {tuple(attempt["in_use"]) for attempt in attempts} == {("a", 10), ("b", 11)}
    for attempt in attempts:
        assert attempt["left"] == attempts[-1]["left"], f"after a kill before {attempt['step']}, and once more"
        assert attempt["counter"] == "11\n"
        assert attempt["released"] == "b\n"


def test_the_command_installs_the_released_bundles(root, monkeypatch, capsys):
    monkeypatch.setattr(locate, "DEVICE", root)
    command = ["model", "install", "--release", str(locate.released())]
    assert cli.main([*command, "--trial", "0.1", "--check"]) == 0
    fused, landmarks = (bundles.verified(folder).id for folder in (FUSED_BUNDLE, LANDMARK_BUNDLE))
    assert capsys.readouterr().out.splitlines() == [
        f"would install model bundle {fused}, after none",
        f"would install model bundle {landmarks} for recordings",
    ]
    assert cli.main([*command, "--trial", "0"]) == 0
    assert links(root) == {"current": fused, "landmarks": landmarks}
    assert cli.main([*command, "--shadow"]) == 64
