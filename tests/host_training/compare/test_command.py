from __future__ import annotations

import dataclasses
import json
import os

import cv2
import keras
import numpy as np
import pytest

from host_training.cli import main
from host_training.commands import compare
from host_training.compare import cnn
from host_training.data import parquet
from host_training.data.keypoints import take
from host_training.data.labels import LABELS


@pytest.fixture
def run(table_file, capfd):
    """Exit status, output and last line of complaint of a comparison of the tiny table."""

    def run(*options):
        status = main(["compare", "--table", str(table_file), *map(str, options)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err.splitlines()[-1] if printed.err else ""

    return run


def test_it_prints_one_table_and_writes_both_files(run, tmp_path):
    status, out, _ = run("--only", "logistic,majority", "--out", tmp_path / "new" / "folder")

    assert status == 0
    assert [line.split("|")[1].strip() for line in out.splitlines()] == [
        "contender",
        "-" * 11,
        "majority",
        "logistic",
    ]
    found = json.loads((tmp_path / "new" / "folder" / "comparison.json").read_text())
    assert [each["name"] for each in found["contenders"]] == ["majority", "logistic"]
    assert out in (tmp_path / "new" / "folder" / "comparison.md").read_text()
    assert sorted(each.name for each in (tmp_path / "new" / "folder").iterdir()) == ["comparison.json", "comparison.md"]


def test_json_is_the_document_that_the_package_describes(run, table):
    status, out, _ = run(
        "--only", "majority", "--json", "--labels", "happiness,neutral,fear", "--seed", "5", "--seeds", 2
    )

    found = json.loads(out)
    assert status == 0
    assert list(found) == ["command", "rows", "notes", "labels", "truth", "seeds", "libraries", "contenders"]
    assert found["command"] == (
        "emotion-train compare --table tiny.parquet --labels happiness,neutral,fear --seed 5 --only majority --seeds 2"
    )
    assert found["labels"] == ["neutral", "happiness", "fear"]
    assert found["seeds"] == [5, 6]
    test = table.split == "test"
    judged = test & ((table.label == 0) | (table.label == 1) | (table.label == 6))
    assert found["rows"]["test"] == {
        "rows": test.sum(),
        "found": (test & table.found).sum(),
        "judged": judged.sum(),
    }
    assert found["contenders"][0]["parameters"] == 3


def test_skips_an_image_network_without_weights_or_pictures(run):
    status, out, _ = run("--only", "majority,VGG19,MobileNet")

    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in out.splitlines()[2:]]
    assert status == 0
    assert rows == [
        ["majority", "labels"],
        ["VGG19", "not run: no weights given: --backbone VGG19 --weights FILE"],
        ["MobileNet", "not run: no weights given: --backbone MobileNet --weights FILE"],
    ]


def test_refuses_weights_of_another_network_before_training(run, tmp_path):
    weights = tmp_path / "small.weights.h5"
    keras.applications.MobileNet(alpha=0.25, weights=None, include_top=False, input_shape=(32, 32, 3)).save_weights(
        weights
    )
    out = tmp_path / "out"

    status, _, error = run("--backbone", "MobileNet", "--weights", weights, "--out", out)

    assert status == os.EX_DATAERR
    assert "not the weights of MobileNet without its top" in error
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--only", "majority,oracle"], "unknown contender 'oracle'; choose majority"),
        (["--seeds", "0"], "--seeds and --cnn-epochs must be at least 1"),
        (["--backbone", "AlexNet"], "invalid choice: 'AlexNet'"),
        (["--weights", "a.h5", "--backbone", "VGG16"], "put the network's --backbone before it"),
        (["--only", "VGG16", "--pictures", "fer2013"], "such as fer2013:fer2013.csv"),
        (["--only", "VGG16", "--pictures", "nowhere:x"], "unknown data set 'nowhere'"),
        (["--labels", "joy,fear"], "unknown label 'joy'"),
    ],
)
def test_reports_bad_usage_in_one_line(run, options, says):
    status, out, error = run(*options)

    assert status in (os.EX_USAGE, os.EX_CONFIG)
    assert says in error
    assert not out


def test_a_missing_data_set_is_named(run, tmp_path):
    status, _, error = run("--only", "MobileNet", "--pictures", f"fer2013:{tmp_path / 'none.npz'}")

    assert status == os.EX_NOINPUT
    assert "none.npz" in error


def test_keeps_results_before_an_interruption(run, tmp_path, monkeypatch):
    from host_training.compare import ours

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ours, "fit", interrupted)

    status, _, _ = run("--only", "majority,ours", "--out", tmp_path)

    first, second = json.loads((tmp_path / "comparison.json").read_text())["contenders"]
    assert status == 130
    assert "why_not" not in first
    assert second["why_not"] == "interrupted before its turn"


def test_help_and_command_know_the_same_networks():
    assert tuple(cnn.BACKBONES) == compare.BACKBONES


def test_each_weights_file_belongs_to_the_network_before_it(run, tmp_path):
    status, _, error = run(
        "--backbone", "VGG16", "--backbone", "MobileNet", "--weights", tmp_path / "none.h5", "--only", "VGG16"
    )
    assert status == 0, error

    status, _, error = run("--backbone", "VGG16", "--backbone", "MobileNet", "--weights", tmp_path / "none.h5")
    assert status == os.EX_NOINPUT
    assert "none.h5" in error


def test_an_image_network_learns_from_the_pictures_that_the_table_was_made_of(measured, tmp_path, capsys):
    rows = [
        row
        for split in ("train", "validation", "test")
        for label in (0, 1)
        for row in np.flatnonzero((measured.split == split) & (measured.label == label) & measured.found)[:2]
    ]
    names = np.array([f"{LABELS[measured.label[row]]}/{row}.png" for row in rows])
    few = dataclasses.replace(take(measured, np.array(rows)), data_set=np.full(len(rows), "mine"), source=names)
    parquet.write(few, tmp_path / "mine.parquet")
    for name in names.tolist():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "mine" / name), np.full((120, 120, 3), 200 * ("happiness" in name), np.uint8))
    weights = tmp_path / "mobilenet.weights.h5"
    keras.applications.MobileNet(weights=None, include_top=False, input_shape=(96, 96, 3)).save_weights(weights)

    options = {
        "table": tmp_path / "mine.parquet",
        "labels": "neutral,happiness",
        "only": "MobileNet",
        "backbone": "MobileNet",
        "weights": weights,
        "cnn-epochs": 1,
        "pictures": f"folder:{tmp_path / 'mine'}",
    }
    status = main(["compare", "--json", *(word for key, value in options.items() for word in (f"--{key}", str(value)))])

    found = json.loads(capsys.readouterr().out)
    (entry,) = found["contenders"]
    assert status == 0
    assert "why_not" not in entry
    assert entry["parameters"] == 3_228_864 + 1024 * 2 + 2
    assert found["command"].endswith(
        "--only MobileNet --pictures folder:mine --backbone MobileNet --weights mobilenet.weights.h5 --cnn-epochs 1"
    )
