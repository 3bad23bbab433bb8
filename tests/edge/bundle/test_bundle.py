"""A bundle is loaded only if it is complete and passes its self-test on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.classifier.crop import FaceCrop
from edge.classifier.features import Features
from edge.errors import ConfigError
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest_plugins = ["tests.support.crop_bundles"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FUSED_BUNDLE, tmp_path / "fused")


def change_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def declare(folder: Path, name: str) -> None:
    """Update the hash of a changed file in the manifest."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def change_golden(folder: Path, change: Callable[[dict], None]) -> None:
    with np.load(folder / bundles.GOLDEN) as file:
        golden = dict(file)
    change(golden)
    np.savez(folder / bundles.GOLDEN, **golden)
    declare(folder, bundles.GOLDEN)


def test_the_released_bundle_reads_eight_expressions():
    bundle = bundles.load(FUSED_BUNDLE)
    assert set(bundle.labels) == {
        "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"
    }  # fmt: skip


def test_probabilities_of_real_faces_are_a_distribution():
    bundle = bundles.load(FUSED_BUNDLE)
    with np.load(FUSED_BUNDLE / bundles.GOLDEN) as golden:
        shares = bundle.classifier.probabilities(golden["landmarks"], golden.get("crops"))
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (shares >= 0).all()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"manifest\.json cannot be read"):
        bundles.load(tmp_path)


def test_a_damaged_manifest_is_refused(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ConfigError, match=r"manifest\.json: it is not JSON"):
        bundles.load(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '"text"', "null"])
def test_json_that_is_not_a_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match="manifest"):
        bundles.load(folder)


@pytest.mark.parametrize("name", [bundles.NETWORK, bundles.FEATURES, bundles.GOLDEN])
def test_an_altered_file_is_refused_by_its_hash(folder, name):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"{name} is not the file"):
        bundles.load(folder)


@pytest.mark.parametrize("name", [bundles.NETWORK, bundles.FEATURES, bundles.GOLDEN])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        bundles.load(folder)


def test_a_file_that_the_manifest_does_not_list_is_not_trusted(folder):
    change_manifest(folder, lambda manifest: manifest["files"].pop(bundles.NETWORK))
    with pytest.raises(ConfigError, match="does not list"):
        bundles.load(folder)


def test_a_path_out_of_the_bundle_is_refused(folder):
    change_manifest(folder, lambda manifest: manifest["files"].update({"../secret": "0" * 64}))
    with pytest.raises(ConfigError, match="not a file of the bundle"):
        bundles.load(folder)


def test_another_feature_contract_is_refused(folder):
    change_manifest(folder, lambda manifest: manifest.update(feature_contract="0" * 64))
    with pytest.raises(ConfigError, match="features are not the ones"):
        bundles.load(folder)


def test_another_face_mesh_is_refused(folder):
    change_manifest(folder, lambda manifest: manifest.update(landmarker_sha256="0" * 64))
    with pytest.raises(ConfigError, match="another face mesh"):
        bundles.load(folder)


def test_a_bundle_for_a_newer_version_is_refused(folder):
    change_manifest(folder, lambda manifest: manifest.update(least_edge_version="99.0"))
    with pytest.raises(ConfigError, match=r"needs emotion-edge 99\.0"):
        bundles.load(folder)


def test_other_inputs_are_refused(folder):
    change_manifest(folder, lambda manifest: manifest.update(inputs=["landmarks", "smell"]))
    with pytest.raises(ConfigError, match="it reads what this version does not know; update emotion-edge"):
        bundles.load(folder)


@pytest.mark.parametrize("schema", [0, 2, 10**30])
def test_another_schema_is_refused_before_its_keys_are_checked(folder, schema):
    (folder / bundles.MANIFEST).write_text(json.dumps({"schema": schema}))
    with pytest.raises(ConfigError, match=f"it has schema {schema}, and this version reads 1; update emotion-edge"):
        bundles.load(folder)


@pytest.mark.parametrize("inputs", [[], ["crop", "landmarks"], ["landmarks", "landmarks"], [["crop"]], [1]])
def test_inputs_are_of_the_three_known_kinds(folder, inputs):
    change_manifest(folder, lambda manifest: manifest.update(inputs=inputs))
    with pytest.raises(ConfigError, match=r"it reads what .* does not know|manifest\.json: inputs.* not allowed"):
        bundles.load(folder)


@pytest.mark.parametrize("labels", [[["neutral"], ["happiness"]], ["neutral", "neutral"], ["neutral"], [1, 2]])
def test_invalid_labels_are_refused(folder, labels):
    change_manifest(folder, lambda manifest: manifest.update(labels=labels))
    with pytest.raises(ConfigError, match=r"manifest\.json: labels.* is not allowed; give"):
        bundles.load(folder)


@pytest.mark.parametrize("provenance", [{}, {"metrics": []}, {"metrics": {"a": "high"}}, {"metrics": {"a": 1e999}}])
def test_invalid_metrics_are_refused(folder, provenance):
    change_manifest(folder, lambda manifest: manifest.update(provenance=provenance))
    with pytest.raises(ConfigError, match=r"manifest\.json: provenance\.metrics.* (is missing|is not allowed; give)"):
        bundles.load(folder)


def test_labels_that_do_not_fit_the_network_are_refused(folder):
    change_manifest(folder, lambda manifest: manifest["labels"].pop())
    with pytest.raises(ConfigError, match="the bundle says"):
        bundles.load(folder)


def test_other_probabilities_than_the_golden_ones_are_refused(folder):
    change_golden(folder, lambda golden: golden.update(probabilities=np.roll(golden["probabilities"], 1, axis=1)))
    with pytest.raises(ConfigError, match="other probabilities here"):
        bundles.load(folder)


def test_golden_vectors_that_are_not_numbers_are_refused(folder):
    change_golden(folder, lambda golden: golden.update(landmarks=golden["landmarks"] * np.nan))
    with pytest.raises(ConfigError, match="damaged"):
        bundles.load(folder)


def test_a_file_that_is_not_a_network_is_refused(folder):
    (folder / bundles.NETWORK).write_bytes(b"no model" * 100)
    declare(folder, bundles.NETWORK)
    with pytest.raises(ConfigError, match="cannot load this model"):
        bundles.load(folder)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("landmarks_crop", ("landmarks", "crop")),
        ("crop_landmarks", ("landmarks", "crop")),
        ("crop", ("crop",)),
        ("crop_float", ("crop",)),
    ],
)
def test_a_bundle_that_reads_a_crop_is_accepted(crop_bundle, name, inputs):
    bundle = bundles.load(crop_bundle(name))
    assert bundle.inputs == inputs
    assert bundle.network_bytes == (bundle.folder / bundles.NETWORK).stat().st_size


@pytest.mark.parametrize("inputs", [["landmarks"], ["crop"]])
def test_a_manifest_that_names_other_inputs_than_the_features_is_refused(crop_bundle, inputs):
    folder = crop_bundle("landmarks_crop")
    change_manifest(folder, lambda manifest: manifest.update(inputs=inputs))
    with pytest.raises(ConfigError, match="do not agree on what it reads"):
        bundles.load(folder)


def test_another_crop_than_that_of_the_contract_is_refused(crop_bundle):
    folder = crop_bundle("crop")
    features = Features.load(folder / bundles.FEATURES)
    dataclasses.replace(features, crop=FaceCrop(64)).save(folder / bundles.FEATURES)
    declare(folder, bundles.FEATURES)
    with pytest.raises(ConfigError, match="features are not the ones"):
        bundles.load(folder)


def test_a_network_with_other_inputs_is_refused(crop_bundle):
    both, alone = crop_bundle("landmarks_crop"), crop_bundle("crop")
    shutil.copy(both / bundles.NETWORK, alone / bundles.NETWORK)
    declare(alone, bundles.NETWORK)
    with pytest.raises(ConfigError, match="the bundle says"):
        bundles.load(alone)


@pytest.mark.parametrize(
    "crops",
    [
        lambda crops: crops[:-1],
        lambda crops: crops[:, :40, :40],
        lambda crops: crops[..., None],
        lambda crops: crops.astype(np.float32),
        lambda crops: crops.astype(np.int8),
    ],
)
def test_golden_crops_of_another_shape_are_refused(crop_bundle, crops):
    folder = crop_bundle("landmarks_crop")
    change_golden(folder, lambda golden: golden.update(crops=crops(golden["crops"])))
    with pytest.raises(ConfigError, match="does not hold a crop of each face"):
        bundles.load(folder)


def test_missing_golden_crops_are_refused(crop_bundle):
    folder = crop_bundle("crop")
    change_golden(folder, lambda golden: golden.pop("crops"))
    with pytest.raises(ConfigError, match="damaged"):
        bundles.load(folder)


def test_golden_crops_are_part_of_the_self_test(crop_bundle):
    folder = crop_bundle("crop")
    change_golden(folder, lambda golden: golden.update(crops=255 - golden["crops"]))
    with pytest.raises(ConfigError, match="other probabilities here"):
        bundles.load(folder)


def test_golden_faces_of_another_mesh_are_refused(folder):
    change_golden(folder, lambda golden: golden.update(landmarks=golden["landmarks"][:, :468]))
    with pytest.raises(ConfigError, match="damaged"):
        bundles.load(folder)
