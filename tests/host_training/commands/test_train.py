"""`emotion-train train` into your own models, and what refuses to change a released bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edge
from edge.bundle import bundle as bundles
from host_training.cli import main
from host_training.commands import train
from tests.support.released import LANDMARK_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(edge.__file__).parents[1]
RECIPE = "[network]\nhidden = [16]\n[optimiser]\nepochs = 2\nbatch = 32\n"


def test_the_latest_bundle_is_yours_and_the_end_says_what_to_do(
    table_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ROOT)
    (tmp_path / "short.toml").write_text(RECIPE)
    models = tmp_path / "models"
    models.mkdir()
    (models / "latest").symlink_to("first")
    arguments = ["--table", str(table_path), "--recipe", str(tmp_path / "short.toml"), "--models", str(models)]

    assert main(["train", *arguments, "--seed", "5", "--name", "mine"]) == 0

    assert sorted(path.name for path in models.iterdir()) == ["float", "latest", "mine"]
    assert (models / "latest").readlink() == Path("mine")
    mine = bundles.load(models / "latest")
    assert mine.id.startswith("mine-")
    assert mine.manifest.provenance.processor
    assert mine.manifest.provenance.command.endswith("--seed 5 --name mine")
    said = capsys.readouterr().out
    released = json.loads((LANDMARK_BUNDLE / "manifest.json").read_text())["id"]
    assert f"{released}  accuracy" in said
    assert f"warning: {mine.id} reads worse than {released}: accuracy 0." in said
    assert said.endswith(
        f"wrote {mine.id} to {models}/mine\n\n"
        f"to try it:                  make run ARGS='--model {models}/mine'\n"
        "to take it to devices:      make deploy HOSTS=pi@livingroom.local\n"
        f"to use it on this machine:  sudo emotion-edge model install {models}/mine\n"
    )


def test_the_end_names_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    assert "make deploy HOSTS=pi@livingroom.local BUNDLE=model/mine\n" in train._next(Path("model/mine"), latest=False)
    monkeypatch.chdir(tmp_path)  # outside of the checkout there is no Makefile
    assert "make " not in train._next(Path("mine"), latest=True)
    assert "emotion-edge run --watch --local-broker --model mine\n" in train._next(Path("mine"), latest=True)


def refusal(arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a command, with which it refuses to change a bundle."""
    assert main([str(argument) for argument in arguments]) == os.EX_CANTCREAT
    *_, line = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("kept", ["released", "tracked"])
def test_only_with_force_a_released_or_tracked_bundle_is_changed(
    kept: str, table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = LANDMARK_BUNDLE
    if kept == "tracked":
        folder = shutil.copytree(LANDMARK_BUNDLE, tmp_path / "repository" / "mine")
        git = ["git", "-C", str(tmp_path / "repository")]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "add", "mine"], check=True)
    main(["sign", "--new-key", str(tmp_path / "key")])
    before = {path: path.read_bytes() for path in folder.iterdir()}

    training: list[str | Path] = ["train", "--table", table_path, "--out", folder]
    sign: list[str | Path] = ["sign", folder, "--key", tmp_path / "key"]
    card: list[str | Path] = ["report", "--bundle", folder, "--card"]
    for arguments in (training, sign, card):
        assert "--force" in refusal(arguments, capsys)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before

    if kept == "tracked":
        assert main(["sign", str(folder), "--key", str(tmp_path / "key"), "--force"]) == 0
        assert (folder / "manifest.json.minisig").exists()


@pytest.mark.parametrize("name", ["latest", "float"])
def test_a_bundle_cannot_have_the_name_of_what_is_beside_it(
    name: str, table_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["train", "--table", str(table_path), "--name", name]) == os.EX_USAGE
    assert f"cannot be called {name!r}" in capsys.readouterr().err


def test_a_link_is_not_replaced(table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(LANDMARK_BUNDLE, tmp_path / "mine")
    (tmp_path / "latest").symlink_to("mine")

    line = refusal(["train", "--table", table_path, "--out", tmp_path / "latest"], capsys)

    assert "is a link" in line
    assert (tmp_path / "latest").is_symlink()
