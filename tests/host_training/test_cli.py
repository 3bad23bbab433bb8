from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from host_training.cli import COMMANDS, main

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.keypoints import Table


def complaint(capsys: pytest.CaptureFixture[str]):
    """What was said on stderr, which must be one line, after any progress bar."""
    said = capsys.readouterr().err.rpartition("\r")[2]
    assert said.startswith("emotion-train: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train"],
        ["train", "--table", "t.parquet", "--out", "m", "--models", "n"],
        ["import", "imagenet", "x", "--out", "y"],
        ["import", "fer2013", "x.csv", "--out", "y", "--workers", "0"],
    ],
)
def test_wrong_usage_is_64(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == os.EX_USAGE
    assert "--help" in complaint(capsys)


def test_a_missing_table_is_66(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--table", str(tmp_path / "no.parquet"), "--out", str(tmp_path / "m")]) == os.EX_NOINPUT
    assert "no.parquet" in complaint(capsys)


def test_a_foreign_table_is_65(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "t.parquet").write_text("hello")

    assert main(["train", "--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "m")]) == os.EX_DATAERR
    assert "t.parquet" in complaint(capsys)


def test_an_output_that_cannot_be_written_is_73_before_any_training(
    table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")

    assert main(["train", "--table", str(table_path), "--out", str(tmp_path / "file" / "m")]) == os.EX_CANTCREAT
    assert "cannot be written" in complaint(capsys)


@pytest.mark.parametrize("name", ["file/t.parquet", "folder"])
def test_a_table_that_cannot_be_written_is_73_before_any_face_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    assert main(["import", "fer2013", "none.npz", "--out", str(tmp_path / name)]) == os.EX_CANTCREAT
    assert "cannot be written" in complaint(capsys)


def test_missing_mesh_models_are_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "x.csv").write_text(f"emotion,pixels,Usage\n0,{' '.join(['0'] * 48 * 48)},Training\n")
    arguments = ["import", "fer2013", str(tmp_path / "x.csv"), "--out", str(tmp_path / "t"), "--mesh", str(tmp_path)]

    assert main(arguments) == os.EX_CONFIG
    assert "emotion-edge model fetch" in complaint(capsys)


@pytest.mark.parametrize(
    ("text", "message"),
    [("epoch = 3", "unknown key 'epoch'"), ("[optimiser]\nepochs = 0", "at least 1"), ("seed =", "not a TOML file")],
)
def test_wrong_settings_are_78(
    table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
):
    (tmp_path / "s.toml").write_text(text)
    arguments = ["train", "--table", str(table_path), "--out", str(tmp_path / "m")]

    assert main([*arguments, "--recipe", str(tmp_path / "s.toml")]) == os.EX_CONFIG
    assert message in complaint(capsys)


def test_evaluate_reproduces_the_report(bundle_folder: Path, table_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "--bundle", str(bundle_folder), "--data", str(table_path), "--json"]) == 0

    measured = json.loads(capsys.readouterr().out)
    assert measured == json.loads((bundle_folder / "report.json").read_text())["evaluation"]["test"]


def test_options_override_the_recipe_and_are_recorded(
    table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "s.toml").write_text("seed = 1\n[network]\nhidden = [16]\n[optimiser]\nepochs = 5\nbatch = 32")
    arguments = ["--table", str(table_path), "--recipe", str(tmp_path / "s.toml"), "--out", str(tmp_path / "m")]

    assert main(["train", *arguments, "--labels", "anger,happiness", "--seed", "3"]) == 0

    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["labels"] == ["happiness", "anger"]
    assert manifest["provenance"]["seed"] == 3
    assert manifest["provenance"]["command"] == (
        "emotion-train train --table tiny.parquet --recipe s.toml --labels anger,happiness --seed 3 --out m"
    )
    assert "wrote tiny-landmarks-" in capsys.readouterr().out


def test_applies_and_reports_decisions_beside_a_table(
    table_path: Path, table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    row = table.ids[0]
    (tmp_path / "tiny.decisions.csv").write_text(f"id,action,detail,reason\n{row},drop,,\n")

    assert main(["describe", str(table_path)]) == 0

    said = capsys.readouterr().out
    assert "tiny.decisions.csv: 1 rows" in said
    rows = int((table.split == table.split[0]).sum()) - 1
    assert f"| tiny | {table.split[0]} | {rows} |" in said


def test_the_module_is_the_command_and_its_help_has_an_example():
    done = subprocess.run([sys.executable, "-m", "host_training", "--help"], capture_output=True, text=True, check=True)

    assert "example: emotion-train train --table model/keypoints" in " ".join(done.stdout.split())
    assert not done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_example_writes_over_a_released_bundle(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert not re.findall(r"(?:--out|emotion-train sign) model/\S*", capsys.readouterr().out)
