"""A new bundle must be about as fast as the one in use on this device. Errors of the trial are one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edge.bundle import bundle as bundles
from edge.bundle import trial
from edge.bundle.store import BundleStore
from edge.errors import ConfigError
from host_training.training.bundle_files import hashes
from tests.support.broker import until
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE

pytest_plugins = ["tests.support.crop_bundles", "tests.support.signed_bundles"]

REPOSITORY = Path(__file__).parents[3]
SECONDS = 1.0


@pytest.fixture
def store(root, models) -> BundleStore:
    """A store with a trial and without trusted keys."""
    return BundleStore(root, trial_s=SECONDS, mesh=str(models.folder))


@pytest.fixture
def slow(crop_bundle, sign_by_hand) -> Path:
    """A valid bundle whose network takes several times as long as the face mesh."""
    folder = crop_bundle("crop_slow")
    sign_by_hand(folder, counter=2_000_000_000, files=hashes(folder))
    return folder


def current(root: Path) -> str:
    return str((root / "current").readlink())


@pytest.mark.interpreter
def test_a_bundle_that_is_much_slower_is_refused(store, root, slow):
    store.install(FUSED_BUNDLE)
    before = current(root)
    with pytest.raises(ConfigError, match=r"reaches (\d+) % of the frames per second of the one in use, ferplus-fused"):
        store.install(slow)
    assert current(root) == before
    assert not (root / "crop_slow").exists()
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == [".lock"]


def test_a_slow_bundle_cannot_be_a_shadow_and_check_reports_it(store, root, slow):
    store.install(FUSED_BUNDLE)
    with pytest.raises(ConfigError, match="% of the frames per second"):
        store.install(slow, shadow=True)
    with pytest.raises(ConfigError, match=rf"{slow}: it reaches \d+ % of the frames per second"):
        store.check(slow)
    assert not (root / "shadow").is_symlink()


def test_without_a_trial_or_a_bundle_in_use_it_may_be_slow(root, slow, models):
    BundleStore(root, trial_s=SECONDS, mesh=str(models.folder)).install(slow)
    assert current(root) == "crop_slow"
    shutil.rmtree(root)
    store = BundleStore(root, trial_s=0)
    store.install(FUSED_BUNDLE)
    store.install(slow)
    assert current(root) == "crop_slow"


@pytest.mark.interpreter
@pytest.mark.parametrize("beside", [FUSED_BUNDLE, LANDMARK_BUNDLE], ids=["fused", "landmarks"])
def test_a_bundle_is_as_fast_as_itself_and_as_a_slower_one(models, beside):
    trial.try_out(LANDMARK_BUNDLE, seconds=SECONDS, mesh=models.folder, beside=beside)


def test_a_damaged_bundle_in_use_is_not_compared_with(store, root, slow):
    store.install(FUSED_BUNDLE)
    os.truncate(root / "current" / bundles.NETWORK, 10)
    store.install(slow)
    assert current(root) == "crop_slow"


def test_without_the_face_mesh_there_is_no_trial(root, tmp_path):
    store = BundleStore(root, trial_s=SECONDS, mesh=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"the face mesh models are missing.*emotion-edge model fetch"):
        store.install(FUSED_BUNDLE)
    assert not (root / "current").is_symlink()


def test_a_trial_that_hangs_refuses_the_bundle(store, root, monkeypatch):
    monkeypatch.setattr(trial, "ANSWER_S", -SECONDS + 0.2)  # before any process can answer
    with pytest.raises(ConfigError, match="its trial does not end within 0 s"):
        store.install(FUSED_BUNDLE)
    assert not (root / "current").is_symlink()


INSTALL = """
import sys
from pathlib import Path
from edge.bundle.store import BundleStore
BundleStore(Path(sys.argv[1]), trial_s=60.0, mesh=sys.argv[2]).install(Path(sys.argv[3]))
"""
"""Installs a bundle with a long trial."""


@pytest.fixture
def install(root, models):
    """Start an installation; returns its process and the process of its trial. They end with the test."""
    running: list[subprocess.Popen] = []

    def start() -> tuple[subprocess.Popen, psutil.Process]:
        command = [sys.executable, "-c", INSTALL, root, models.folder, LANDMARK_BUNDLE]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY))
        (child,) = until(psutil.Process(running[-1].pid).children, "the trial has begun", timeout_s=120)
        until(lambda: child.nice() == min(os.nice(0) + trial.NICE, 19), "it is at work", timeout_s=120)
        return running[-1], child

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_killed_trial_refuses_the_bundle(install, root):
    process, child = install()
    child.kill()  # as the kernel does when memory runs out
    _, complaints = process.communicate(timeout=120)
    assert complaints.splitlines()[-1].startswith("edge.errors.ConfigError: model bundle"), complaints
    assert "its trial was killed, as happens where memory runs out" in complaints
    assert not (root / "current").is_symlink()


def test_an_installation_killed_during_the_trial_changes_nothing(install, store, root):
    store.install(FUSED_BUNDLE)
    before = current(root)
    process, child = install()
    process.kill()
    process.wait()
    child.kill()
    assert current(root) == before
    assert bundles.load(root / "current").id == before
    assert store.install(LANDMARK_BUNDLE).endswith(f"is installed, after {before}")
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == [".lock"]
