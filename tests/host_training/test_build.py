from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as edge_bundle
from edge.classifier.crop import FaceCrop
from edge.errors import UsageError
from host_training import build
from host_training.errors import TableError
from host_training.evaluation.engines import float_path
from host_training.reporting import report as reports
from host_training.training.parity import MIN_AGREEMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from host_training.build import Origin
    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.training.recipe import Recipe


def files(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def again(table: Table, recipe: Recipe, origin: Origin, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("again") / "fused"
    build.run(table, recipe, folder, origin)
    return folder


def test_the_same_command_twice_gives_the_same_bundle_but_for_its_time_stamp(bundle_folder: Path, again: Path):
    first, second = files(bundle_folder), files(again)
    manifests = [json.loads(each.pop("manifest.json")) for each in (first, second)]
    for manifest in manifests:
        del manifest["created"], manifest["counter"]

    assert first == second
    assert manifests[0] == manifests[1]


def test_another_seed_gives_another_network(
    bundle_folder: Path, table: Table, recipe: Recipe, origin: Origin, tmp_path: Path
):
    build.run(table, dataclasses.replace(recipe, seed=2), tmp_path / "fused", origin)

    assert files(tmp_path / "fused")["classifier.tflite"] != files(bundle_folder)["classifier.tflite"]


def test_test_rows_do_not_change_the_model(
    bundle_folder: Path,
    table: Table,
    changed: Callable[..., Table],
    recipe: Recipe,
    origin: Origin,
    tmp_path: Path,
):
    landmarks, votes = table.landmarks.copy(), table.votes.copy()
    landmarks[table.split == "test"] = np.nan
    landmarks[-1] = table.landmarks[0]  # one is left, with another face's label
    votes[table.split == "test"] = votes[-1]

    build.run(changed(landmarks=landmarks, votes=votes), recipe, tmp_path / "fused", origin)

    before, after = files(bundle_folder), files(tmp_path / "fused")
    assert {name for name in before if before[name] != after[name]} == {"manifest.json", "report.json", "MODEL_CARD.md"}


def test_learns_an_easy_task(bundle_folder: Path):
    metrics = edge_bundle.load(bundle_folder).metrics

    assert metrics["accuracy"] > 0.9
    assert metrics["majority_baseline"] < 0.2


def test_report_card_and_manifest_tell_the_same_figures(bundle_folder: Path):
    report = json.loads((bundle_folder / "report.json").read_text())
    card = (bundle_folder / "MODEL_CARD.md").read_text()
    metrics = edge_bundle.load(bundle_folder).metrics

    assert f"{report['evaluation']['test']['accuracy']:.4f}" in card
    assert metrics["accuracy"] == round(report["evaluation"]["test"]["accuracy"], 4)
    assert "emotion-train train --table tiny.parquet --out emotion" in card


def test_the_float_network_is_kept_and_is_the_one_that_was_quantised(bundle_folder: Path):
    network = float_path(bundle_folder).read_bytes()

    manifest = json.loads((bundle_folder / "manifest.json").read_text())
    assert hashlib.sha256(network).hexdigest() == manifest["provenance"]["float_sha256"]


def test_a_bundle_of_few_labels_says_those_only(table: Table, recipe: Recipe, origin: Origin, tmp_path: Path):
    five = ("neutral", "happiness", "surprise", "sadness", "anger")

    build.run(table, dataclasses.replace(recipe, labels=five), tmp_path / "five", origin)

    bundle = edge_bundle.load(tmp_path / "five")
    assert bundle.labels == five
    assert bundle.classifier.probabilities(table.landmarks[:3]).shape == (3, 5)
    assert bundle.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_table_without_a_split_is_refused(
    table: Table, changed: Callable[..., Table], recipe: Recipe, origin: Origin, tmp_path: Path, split: str
):
    landmarks = table.landmarks.copy()
    landmarks[table.split == split] = np.nan

    with pytest.raises(TableError, match=f"no usable row in its {split} split"):
        build.run(changed(landmarks=landmarks), recipe, tmp_path / "fused", origin)

    assert not list(tmp_path.iterdir())


# With pictures


@pytest.fixture(scope="module", params=["crop", pytest.param("both", marks=pytest.mark.nightly)])
def twice_with_pictures(
    request: pytest.FixtureRequest,
    store: CropStore,
    both: Recipe,
    one_stage: Recipe,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A bundle that reads the crop, or the landmarks too, and another from the same command."""
    recipe = {"crop": dataclasses.replace(one_stage, inputs=("crop",)), "both": both}[request.param]
    folder = tmp_path_factory.mktemp("again") / "fused"
    origin = dataclasses.replace(origin, crops=Path("/data/tiny.crops.npz"))
    build.run(store.table, recipe, folder, origin, store)
    return request.getfixturevalue(f"{request.param}_folder"), folder


def test_the_same_command_with_crops_gives_the_same_bundle(twice_with_pictures: tuple[Path, Path]):
    first, second = map(files, twice_with_pictures)
    manifests = [json.loads(each.pop("manifest.json")) for each in (first, second)]
    told = {name for name in first if first[name] != second[name]}
    for manifest in manifests:
        del manifest["created"], manifest["counter"]
        manifest["files"] = {name: digest for name, digest in manifest["files"].items() if name not in told}

    assert told == {"report.json", "MODEL_CARD.md"}  # only one of them was told where the pictures came from
    assert manifests[0] == manifests[1]
    assert len({float_path(folder).read_bytes() for folder in twice_with_pictures}) == 1


def test_the_command_to_evaluate_a_bundle_names_its_crops(twice_with_pictures: tuple[Path, Path], bundle_folder: Path):
    with_pictures, without = (
        json.loads((folder / "report.json").read_text())["evaluate_command"]
        for folder in (twice_with_pictures[1], bundle_folder)
    )

    assert with_pictures.endswith(" --data tiny.parquet --crops tiny.crops.npz")
    assert without.endswith(" --data tiny.parquet")


def test_both_inputs_together_beat_each_alone(
    both_folder: Path, crop_folder: Path, store: CropStore, recipe: Recipe, origin: Origin, tmp_path: Path
):
    build.run(store.table, recipe, tmp_path / "landmarks", origin)

    by_landmarks, by_crop, by_both = (
        edge_bundle.load(folder).metrics["accuracy_found"]
        for folder in (tmp_path / "landmarks", crop_folder, both_folder)
    )
    assert by_landmarks < 0.7
    assert 0.5 < by_crop < 0.95
    assert by_both > 0.95


def test_one_network_on_both_inputs_is_as_accurate(store: CropStore, one_stage: Recipe, origin: Origin, tmp_path: Path):
    crop = dataclasses.replace(one_stage.crop, teachers=1, epochs=6)

    build.run(store.table, dataclasses.replace(one_stage, fusion="early", crop=crop), tmp_path / "fused", origin, store)

    bundle, report = edge_bundle.load(tmp_path / "fused"), reports.read(tmp_path / "fused")
    assert bundle.metrics["accuracy_found"] > 0.95
    assert report.parity.holds
    assert report.kind == "int8"
    assert report.inputs == ("landmarks", "crop")
    assert list(report.losses) == ["crop"]
    card = " ".join((tmp_path / "fused/MODEL_CARD.md").read_text().split())
    assert "One convolutional network on the crop, joined by a dense layer on the landmarks" in card


def test_learns_nothing_from_shuffled_labels(store: CropStore, one_stage: Recipe, origin: Origin, tmp_path: Path):
    table = store.table
    shuffled = table.votes.copy()
    shuffled[table.split == "train"] = np.random.default_rng(0).permutation(shuffled[table.split == "train"])
    crop = dataclasses.replace(one_stage, inputs=("crop",))

    build.run(dataclasses.replace(table, votes=shuffled), crop, tmp_path / "fused", origin, store)

    assert edge_bundle.load(tmp_path / "fused").metrics["accuracy_found"] < 0.35


@pytest.mark.parametrize(("name", "inputs"), [("both_folder", ["landmarks", "crop"]), ("crop_folder", ["crop"])])
def test_manifest_and_report_name_the_inputs(request: pytest.FixtureRequest, name: str, inputs: list[str]):
    folder = request.getfixturevalue(name)
    bundle, report = edge_bundle.load(folder), reports.read(folder)

    assert bundle.manifest.inputs == report.inputs == tuple(report.losses) == tuple(inputs)
    assert bundle.features.crop is not None
    assert bundle.features.crop.size == 24
    assert (bundle.features.size > 0) == ("landmarks" in inputs)
    assert (report.crop_share is None) == (inputs == ["crop"])
    assert all(len(each.loss) == len(each.val_loss) for each in report.losses.values())


@pytest.mark.parametrize("name", ["both_folder", "crop_folder"])
def test_int8_agrees_with_float_on_crops(request: pytest.FixtureRequest, name: str):
    report = reports.read(request.getfixturevalue(name))

    assert report.kind == "int8"
    assert report.parity.holds
    assert report.parity.agreement >= MIN_AGREEMENT


def test_the_golden_crops_show_no_face_of_the_table(both_folder: Path, store: CropStore):
    with np.load(both_folder / "golden.npz") as golden:
        crops, landmarks = golden["crops"], golden["landmarks"]
    crop = FaceCrop(24)
    every = np.array([crop(store.cutout(row), store.landmarks(row)) for row in np.flatnonzero(store.held).tolist()])

    assert crops.shape == (len(landmarks), 24, 24)
    distance = np.abs(crops[:, None].astype(int) - every[None]).mean(axis=(2, 3))
    assert distance.min() > 1


def test_trains_nothing_without_its_crops(store: CropStore, both: Recipe, origin: Origin, tmp_path: Path):
    with pytest.raises(UsageError, match="make a crop store with `emotion-train crop`"):
        build.run(store.table, both, tmp_path / "fused", origin)

    assert not list(tmp_path.iterdir())
