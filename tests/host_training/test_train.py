from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import bundle as edge_bundle
from host_training import train
from host_training.errors import TableError
from host_training.votes import majority

if TYPE_CHECKING:
    from collections.abc import Callable

    from host_training.keypoints import Table
    from host_training.settings import TrainSettings


def files(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def again(table: Table, settings: TrainSettings, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("again") / "emotion"
    train.run(table, settings, folder, table_path=Path("tiny.parquet"))
    return folder


def test_the_same_command_twice_gives_the_same_bundle_but_for_its_time_stamp(bundle_folder: Path, again: Path):
    first, second = files(bundle_folder), files(again)
    manifests = [json.loads(each.pop("manifest.json")) for each in (first, second)]
    for manifest in manifests:
        del manifest["created"], manifest["counter"]

    assert first == second
    assert manifests[0] == manifests[1]


def test_another_seed_gives_another_network(bundle_folder: Path, table: Table, settings: TrainSettings, tmp_path: Path):
    train.run(table, dataclasses.replace(settings, seed=2), tmp_path / "emotion", table_path=Path("tiny.parquet"))

    assert files(tmp_path / "emotion")["emotion.tflite"] != files(bundle_folder)["emotion.tflite"]


def test_the_test_rows_change_nothing_in_the_model(
    bundle_folder: Path, table: Table, changed: Callable[..., Table], settings: TrainSettings, tmp_path: Path
):
    landmarks, votes = table.landmarks.copy(), table.votes.copy()
    landmarks[table.split == "test"] = np.nan
    landmarks[-1] = table.landmarks[0]  # one is left, with another face's label
    votes[table.split == "test"] = votes[-1]

    train.run(
        changed(landmarks=landmarks, votes=votes), settings, tmp_path / "emotion", table_path=Path("tiny.parquet")
    )

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


def test_mirror_images_are_learnt_with_the_targets_of_the_faces(table: Table, settings: TrainSettings):
    features, training, _ = train.prepare(table, settings)
    half = len(training.vectors) // 2

    np.testing.assert_array_equal(training.targets[:half], training.targets[half:])
    assert (training.vectors[:half] != training.vectors[half:]).any(axis=1).all()
    assert features.size == training.vectors.shape[1]


def test_golden_faces_are_the_first_that_the_model_is_sure_of_and_else_the_surest(table: Table):
    rows = np.flatnonzero((table.split == "train") & table.found)
    label, _ = majority(table.votes)
    probabilities = np.full((len(rows), 8), 0.05, np.float32)
    neutral, happy = (np.flatnonzero(label[rows] == index) for index in (0, 1))
    probabilities[neutral[[3, 5, 6]], 0] = 0.92, 0.91, 0.99
    probabilities[happy[[2, 4, 7]], 1] = 0.7, 0.95, 0.8

    golden = train.golden_rows(table, probabilities, rows)

    np.testing.assert_array_equal(golden[:2], table.landmarks[rows[neutral[[3, 5]]]])
    np.testing.assert_array_equal(golden[2:4], table.landmarks[rows[happy[[4, 7]]]])
    assert len(golden) == 16


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_table_without_a_split_is_refused(
    table: Table, changed: Callable[..., Table], settings: TrainSettings, tmp_path: Path, split: str
):
    landmarks = table.landmarks.copy()
    landmarks[table.split == split] = np.nan

    with pytest.raises(TableError, match=f"no usable row in its {split} split"):
        train.run(changed(landmarks=landmarks), settings, tmp_path / "emotion", table_path=Path("tiny.parquet"))

    assert not list(tmp_path.iterdir())
