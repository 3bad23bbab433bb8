"""The second input on the command line: what trains and judges with pictures, and what has no use for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edge
from edge.bundle import bundle as edge_bundle
from host_training.cli import main
from host_training.data import crops, parquet

if TYPE_CHECKING:
    from host_training.data.crops import CropStore

ROOT = Path(edge.__file__).parents[1]
RECIPE = """
name = "tiny"
[network]
hidden = [24, 16]
[optimiser]
epochs = 8
batch = 32
[crop]
size = 24
channels = [16]
batch = 8
epochs = {epochs}
learning_rate = 0.02
distorted = 0.3
"""


@pytest.fixture(scope="session")
def files(store: CropStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, its faces and recipes."""
    folder = tmp_path_factory.mktemp("drawn")
    parquet.write(store.table, folder / "t.parquet")
    crops.write(store, folder / "t.crops.npz")
    (folder / "quick.toml").write_text(RECIPE.format(epochs=5))
    (folder / "long.toml").write_text(RECIPE.format(epochs=10000))
    (folder / "crop.toml").write_text('inputs = ["crop"]')
    return folder


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]):
    """The exit status of a command that fails, and its complaint, which must be one line."""

    def run(*words: str | Path):
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        assert said.out == ""
        line = said.err.split("\r")[-1]  # what was said before is covered by it
        assert line.startswith("emotion-train: ")
        assert line.count("\n") == 1
        return status, line

    return run


def trained(files: Path, command: str, *more: str) -> list[str]:
    words = [
        command,
        "--table",
        f"{files}/t.parquet",
        "--recipe",
        f"{files}/quick.toml",
        "--inputs",
        "landmarks,crop",
    ]
    return [*words, *more]


def test_trains_and_evaluates_with_crops(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures = ("--crops", f"{files}/t.crops.npz")

    assert main([*trained(files, "train", *pictures), "--out", f"{tmp_path}/emotion"]) == 0
    said = capsys.readouterr().out
    judge = ["evaluate", "--bundle", f"{tmp_path}/emotion", "--data", f"{files}/t.parquet", "--json", *pictures]
    assert main(judge) == 0

    figures = json.loads(capsys.readouterr().out)
    bundle = edge_bundle.load(tmp_path / "emotion")
    assert "over 8 and 5 epochs" in said
    assert round(figures["accuracy"], 4) == bundle.metrics["accuracy"] > 0.7
    assert [engine["name"].split()[0] for engine in figures["engines"]] == ["float", "int8,", "int8,"]
    command = json.loads((tmp_path / "emotion" / "report.json").read_text())["evaluate_command"]
    assert command == "emotion-train evaluate --bundle emotion --data t.parquet --crops t.crops.npz"
    assert bundle.manifest.provenance.command == (
        "emotion-train train --table t.parquet --recipe quick.toml --inputs landmarks,crop --crops t.crops.npz "
        "--out emotion"
    )


def test_cross_validates_with_crops(files: Path, tmp_path: Path):
    words = ["cross-validate", "--table", f"{files}/t.parquet", "--recipe", f"{files}/quick.toml", "--folds", "3"]

    assert main([*words, "--inputs", "crop", "--crops", f"{files}/t.crops.npz", "--out", f"{tmp_path}/cv.json"]) == 0

    told = json.loads((tmp_path / "cv.json").read_text())
    assert told["command"].endswith("--inputs crop --crops t.crops.npz --folds 3")
    assert told["mean"]["accuracy"] > 0.25  # by chance an eighth; crops tell one of four


# Without pictures


@pytest.mark.parametrize("command", ["train", "cross-validate", "search"])
def test_a_network_on_crops_needs_the_crop_store(files: Path, tmp_path: Path, refused, command: str):
    status, said = refused(*trained(files, command, "--out", f"{tmp_path}/out"))

    assert status == os.EX_USAGE
    assert "make a crop store with `emotion-train crop` and give it with --crops FILE" in said
    assert not list(tmp_path.iterdir())


def test_a_bundle_on_crops_is_not_evaluated_without_them(files: Path, crop_folder: Path, refused):
    status, said = refused("evaluate", "--bundle", crop_folder, "--data", files / "t.parquet")

    assert status == os.EX_USAGE
    assert "give it with --crops FILE" in said


def test_a_missing_crop_store_exits_with_66(files: Path, tmp_path: Path, refused):
    words = trained(files, "train", "--crops", f"{tmp_path}/none.crops.npz", "--out", f"{tmp_path}/out")

    status, said = refused(*words)

    assert status == os.EX_NOINPUT
    assert "none.crops.npz: No such file" in said


# Commands that train on landmarks alone


@pytest.mark.parametrize("command", ["compare", "clean"])
def test_a_command_for_landmarks_alone_refuses_a_recipe_with_pictures(
    files: Path, tmp_path: Path, refused, command: str
):
    status, said = refused(
        command, "--table", files / "t.parquet", "--recipe", files / "crop.toml", "--out", tmp_path / "out"
    )

    assert status == os.EX_USAGE
    assert f"{command} trains on landmarks alone; leave crop out of the recipe's inputs" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["compare", "clean"])
def test_a_command_for_landmarks_alone_has_no_option_for_crops(files: Path, tmp_path: Path, refused, command: str):
    words = (command, "--table", files / "t.parquet", "--out", tmp_path / "out")

    status, said = refused(*words, "--inputs", "crop")

    assert status == os.EX_USAGE
    assert "unrecognized arguments: --inputs crop" in said


# Ctrl-C


def test_ctrl_c_during_training_on_crops_leaves_no_files(files: Path, tmp_path: Path):
    words = ["train", "--table", f"{files}/t.parquet", "--recipe", f"{files}/long.toml", "--inputs", "crop"]
    words += ["--crops", f"{files}/t.crops.npz", "--out", f"{tmp_path}/emotion"]
    run = subprocess.Popen(
        [sys.executable, "-m", "host_training", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said = b""
    while b"loss=" not in said and (more := os.read(run.stderr.fileno(), 1000)):
        said += more

    run.send_signal(signal.SIGINT)
    out, rest = run.communicate(timeout=60)

    assert b"crops:" in said
    assert run.returncode == 130
    assert out == b""
    assert b"Traceback" not in rest
    assert not list(tmp_path.iterdir())
