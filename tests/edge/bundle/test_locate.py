"""Which bundle is used, and where the released bundles are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edge
from edge.bundle import bundle as bundles
from edge.bundle import locate
from edge.bundle.locate import Installation
from edge.errors import ConfigError
from edge.settings import ModelSettings, Settings
from tests.support.released import FUSED_BUNDLE

pytest_plugins = ["tests.support.crop_bundles"]


def test_in_a_checkout_the_released_bundles_are_beside_the_package():
    assert locate.released() == Path(edge.__file__).parents[1] / "model"
    assert bundles.load(locate.released() / locate.FUSED).inputs == ("landmarks", "crop")
    assert bundles.load(locate.released() / locate.LANDMARKS).inputs == ("landmarks",)


def test_an_installed_package_contains_the_released_bundles(tmp_path):
    """Another folder called model beside the package is ignored."""
    package = tmp_path / "site-packages" / "edge"
    shutil.copytree(Path(edge.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FUSED_BUNDLE, package / "model" / "fused")
    (package.parent / "model").mkdir()
    code = "from edge.bundle.locate import Installation; from edge.settings import Settings; import sys; "
    code += "print(Installation.of(Settings(), device=__import__('pathlib').Path(sys.argv[1])).bundle)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "none"], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
    )  # fmt: skip
    assert done.stdout == f"{package / 'model' / 'fused'}\n"


@pytest.fixture
def homes(tmp_path) -> tuple[Path, Path]:
    """Empty folders in place of those of the device and the released bundles."""
    device, released = tmp_path / "device", tmp_path / "model"
    device.mkdir()
    released.mkdir()
    return device, released


def installation(homes: tuple[Path, Path], bundle: Path | str = "") -> Installation:
    device, released = homes
    return Installation.of(Settings(model=ModelSettings(bundle=str(bundle))), device=device, released_bundles=released)


@pytest.mark.parametrize(("home", "first"), [(0, "current"), (1, "fused")])
def test_a_recording_is_read_with_the_landmark_bundle(crop_bundle, landmark_bundle, homes, home, first):
    shutil.copytree(crop_bundle("landmarks_crop"), homes[home] / first)
    shutil.copytree(landmark_bundle, homes[home] / "landmarks")
    assert installation(homes).load(recording=True).folder == homes[home] / "landmarks"
    assert installation(homes).load().folder == homes[home] / first


def test_a_recording_is_read_with_the_default_bundle_if_that_reads_landmarks(landmark_bundle, homes):
    shutil.copytree(landmark_bundle, homes[1] / "fused")
    assert installation(homes).load(recording=True).folder == homes[1] / "fused"


def test_a_recording_is_not_read_with_a_bundle_that_needs_crops(crop_bundle, homes):
    shutil.copytree(crop_bundle("crop"), homes[1] / "fused")
    with pytest.raises(ConfigError, match=r"reads the picture .* set model\.bundle"):
        installation(homes).load(recording=True)


def test_a_recording_does_not_override_a_configured_bundle(crop_bundle, landmark_bundle, homes):
    shutil.copytree(landmark_bundle, homes[1] / "landmarks")
    with pytest.raises(ConfigError, match="reads the picture"):
        installation(homes, crop_bundle("crop")).load(recording=True)


def test_every_bundle_is_listed_once_and_the_one_in_use_first(crop_bundle, landmark_bundle, homes):
    device, released = homes
    shutil.copytree(landmark_bundle, released / "fused")
    shutil.copytree(crop_bundle("crop"), device / "b")
    shutil.copytree(device / "b", device / "a")
    (device / "current").symlink_to("b")
    (device / "a" / bundles.NETWORK).unlink()
    (released / "keypoints").mkdir()
    found = installation(homes).at_hand()
    assert [folder for folder, _ in found] == [device / "current", device / "a", released / "fused"]
    assert [isinstance(bundle, bundles.Bundle) for _, bundle in found] == [True, False, True]
    assert "cannot be read" in str(found[1][1])


def test_a_configured_bundle_is_listed_first_even_if_it_is_missing(homes, tmp_path):
    ((folder, bundle),) = installation(homes, tmp_path / "none").at_hand()
    assert folder == tmp_path / "none"
    assert isinstance(bundle, ConfigError)
