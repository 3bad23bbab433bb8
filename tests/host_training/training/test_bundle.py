from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import bundle as edge_bundle
from edge.classifier.features import Features
from edge.errors import ConfigError
from host_training.errors import BundleWriteError
from host_training.evaluation.engines import float_path
from host_training.training import bundle
from host_training.training.bundle_files import hashes

FILES = {
    "manifest.json",
    "classifier.tflite",
    "features.npz",
    "golden.npz",
    "MODEL_CARD.md",
    "report.json",
}


@pytest.fixture
def copy(bundle_folder: Path, tmp_path: Path):
    return shutil.copytree(bundle_folder, tmp_path / "fused")


def test_the_edge_loads_the_bundle(bundle_folder: Path):
    loaded = edge_bundle.load(bundle_folder)

    assert {path.name for path in bundle_folder.iterdir()} == FILES
    assert loaded.id.startswith("tiny-")
    assert loaded.labels[0] == "neutral"


def test_the_golden_vectors_are_real_faces_with_this_models_probabilities(bundle_folder: Path):
    loaded = edge_bundle.load(bundle_folder)
    with np.load(bundle_folder / "golden.npz") as golden:
        np.testing.assert_allclose(golden["probabilities"].sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(
            loaded.classifier.probabilities(golden["landmarks"]), golden["probabilities"], atol=1e-6
        )
        sure = golden["probabilities"].max(axis=1) >= bundle.GOLDEN_CONFIDENCE
    assert 0 < len(sure) <= 2 * len(loaded.labels)
    assert sure.all() or not sure.any()


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_the_edge_refuses_it_once_a_file_is_altered(copy: Path, name: str):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)

    with pytest.raises(ConfigError, match=name):
        edge_bundle.load(copy)


def test_the_edge_refuses_other_features_with_matching_hashes(copy: Path):
    features = Features.load(copy / "features.npz")
    features.mean[0] += 1
    features.save(copy / "features.npz")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"] = hashes(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ConfigError, match="features"):
        edge_bundle.load(copy)


def test_a_new_bundle_takes_the_place_of_the_one_before(copy: Path, bundle_folder: Path):
    (copy / "stray.txt").write_text("of the one before")
    with bundle.staging(copy) as folder:
        shutil.copytree(bundle_folder, folder, dirs_exist_ok=True)
        shutil.copy(float_path(bundle_folder), float_path(folder))
        bundle.install(folder, copy)

    assert {path.name for path in copy.iterdir()} == FILES
    assert {path.name for path in copy.parent.iterdir()} == {"fused", "float"}
    assert float_path(copy).read_bytes() == float_path(bundle_folder).read_bytes()


def test_one_that_does_not_pass_leaves_the_one_before(copy: Path, bundle_folder: Path):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    with bundle.staging(copy) as folder:
        shutil.copytree(bundle_folder, folder, dirs_exist_ok=True)
        (folder / "classifier.tflite").write_bytes(b"not a model")
        float_path(folder).write_bytes(b"its float network")
        with pytest.raises(BundleWriteError, match="does not pass"):
            bundle.install(folder, copy)

    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["fused"]


def test_one_that_cannot_be_moved_leaves_the_one_before(copy: Path, bundle_folder: Path):
    elsewhere = Path("/dev/shm")  # noqa: S108  nothing can be renamed from one file system to another
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == copy.stat().st_dev:
        pytest.skip("needs /dev/shm to be a file system of its own")
    with tempfile.TemporaryDirectory(dir=elsewhere) as scratch:
        new = shutil.copytree(bundle_folder, Path(scratch) / "new")
        with pytest.raises(BundleWriteError, match="cannot be replaced"):
            bundle.install(new, copy)

    assert edge_bundle.load(copy).id == edge_bundle.load(bundle_folder).id
    assert [path.name for path in copy.parent.iterdir()] == ["fused"]


def test_does_not_replace_a_folder_without_a_bundle(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")

    with pytest.raises(BundleWriteError, match="is not a model bundle"), bundle.staging(tmp_path / "photos"):
        pass

    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BundleWriteError, match="cannot be written"), bundle.staging(tmp_path / "file" / "fused"):
        pass


@pytest.mark.parametrize(
    ("path", "told"), [("/home/me/a.csv", "a.csv"), ("../data/a.csv", "a.csv"), ("model/a", "model/a")]
)
def test_a_report_names_no_folder_of_this_machine(path: str, told: str):
    assert bundle.shown(Path(path)) == told
