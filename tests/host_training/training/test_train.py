from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import bundle as edge_bundle
from host_training.errors import TableError
from host_training.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.data.keypoints import Table
    from host_training.training.settings import TrainSettings
    from host_training.training.train import Origin


def files(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def again(table: Table, settings: TrainSettings, origin: Origin, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("again") / "emotion"
    train.run(table, settings, folder, origin)
    return folder


def test_the_same_command_twice_gives_the_same_bundle_but_for_its_time_stamp(bundle_folder: Path, again: Path):
    first, second = files(bundle_folder), files(again)
    manifests = [json.loads(each.pop("manifest.json")) for each in (first, second)]
    for manifest in manifests:
        del manifest["created"], manifest["counter"]

    assert first == second
    assert manifests[0] == manifests[1]


def test_another_seed_gives_another_network(
    bundle_folder: Path, table: Table, settings: TrainSettings, origin: Origin, tmp_path: Path
):
    train.run(table, dataclasses.replace(settings, seed=2), tmp_path / "emotion", origin)

    assert files(tmp_path / "emotion")["emotion.tflite"] != files(bundle_folder)["emotion.tflite"]


def test_the_test_rows_change_nothing_in_the_model(
    bundle_folder: Path,
    table: Table,
    changed: Callable[..., Table],
    settings: TrainSettings,
    origin: Origin,
    tmp_path: Path,
):
    landmarks, votes = table.landmarks.copy(), table.votes.copy()
    landmarks[table.split == "test"] = np.nan
    landmarks[-1] = table.landmarks[0]  # one is left, with another face's label
    votes[table.split == "test"] = votes[-1]

    train.run(changed(landmarks=landmarks, votes=votes), settings, tmp_path / "emotion", origin)

    before, after = files(bundle_folder), files(tmp_path / "emotion")
    assert {name for name in before if before[name] != after[name]} == {"manifest.json", "report.json", "MODEL_CARD.md"}


def test_it_learns_what_is_easy(bundle_folder: Path):
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


def test_golden_faces_are_the_first_that_the_model_is_sure_of_and_else_the_surest():
    label = np.repeat([0, 1], 8)
    probabilities = np.full((16, 2), 0.05, np.float32)
    probabilities[[3, 5, 6], 0] = 0.92, 0.91, 0.99
    probabilities[[10, 12, 15], 1] = 0.7, 0.95, 0.8

    assert train.golden_rows(label, probabilities).tolist() == [3, 5, 12, 15]


def test_the_float_network_lies_beside_the_bundle_and_is_the_one_that_was_quantised(bundle_folder: Path):
    beside = bundle_folder.with_name("emotion.float.npz").read_bytes()

    manifest = json.loads((bundle_folder / "manifest.json").read_text())
    assert hashlib.sha256(beside).hexdigest() == manifest["provenance"]["float_sha256"]


def test_a_bundle_of_few_labels_says_those_only(table: Table, settings: TrainSettings, origin: Origin, tmp_path: Path):
    five = ("neutral", "happiness", "surprise", "sadness", "anger")

    train.run(table, dataclasses.replace(settings, labels=five), tmp_path / "five", origin)

    bundle = edge_bundle.load(tmp_path / "five")
    assert bundle.labels == five
    assert bundle.classifier.probabilities(table.landmarks[:3]).shape == (3, 5)
    assert bundle.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_table_without_a_split_is_refused(
    table: Table, changed: Callable[..., Table], settings: TrainSettings, origin: Origin, tmp_path: Path, split: str
):
    landmarks = table.landmarks.copy()
    landmarks[table.split == split] = np.nan

    with pytest.raises(TableError, match=f"no usable row in its {split} split"):
        train.run(changed(landmarks=landmarks), settings, tmp_path / "emotion", origin)

    assert not list(tmp_path.iterdir())
