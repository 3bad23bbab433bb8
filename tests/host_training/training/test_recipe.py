from __future__ import annotations

import dataclasses
import tomllib
from typing import TYPE_CHECKING

import pytest

from edge.errors import ConfigError, NoInputError
from host_training.cli import main
from host_training.training import recipe

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_printed_recipe_is_the_default_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["recipe"]) == 0

    assert recipe.load(write(tmp_path, capsys.readouterr().out)) == recipe.load(None)


def test_every_knob_of_the_recipe_has_a_comment():
    lines = recipe.template().splitlines()
    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            assert "#" in line or lines[number - 1].startswith("#") or "labels" in line, line


def test_a_file_changes_what_it_names_and_options_stand_above_it(tmp_path: Path):
    path = write(tmp_path, "seed = 7\n[network]\nhidden = [10]\n[augmentation]\nmirror = false\nnoise = 0")

    changed = recipe.load(path, {"seed": 8})

    assert changed.seed == 8
    assert changed.network == dataclasses.replace(recipe.load(None).network, hidden=(10,))
    assert not changed.augmentation.mirror
    assert changed.augmentation.noise == 0.0
    assert changed.optimiser == recipe.load(None).optimiser


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sead = 1", "unknown key 'sead'; there are name, seed"),
        ("[network]\ndepth = 3", "unknown key 'network.depth'"),
        ("seed = 1.5", "seed = 1.5 is not of the right type, as in seed = 1"),
        ("[augmentation]\nmirror = 1", "augmentation.mirror = 1 is not of the right type, as in mirror = true"),
        ("[network]\nhidden = []", "network.hidden: give at least one layer"),
        ("[network]\nhidden = [0]", "network.hidden: give at least one layer"),
        ("[network]\ndropout = 1", "network.dropout = 1.0: must be at least 0 and less than 1"),
        ("[optimiser]\nlearning_rate = 0", "must be more than 0"),
        ("[optimiser]\nbatch = 0", "optimiser.batch = 0: must be at least 1"),
        ("[optimiser]\nweight_decay = nan", "optimiser.weight_decay = nan: must be at least 0"),
        ("[optimiser]\nweight_decay = inf", "optimiser.weight_decay = inf"),
        ("[balance]\nup_sampling = 1.1", "must be at least 0 and at most 1"),
        ("[features]\nregions = ['ears']", "ears is no region; there are lips"),
        ("[features]\nregions = []", "nothing is no region"),
        ("name = '../x'", "use letters, digits and hyphens"),
        ("truth = 'guess'", "truth: choose one of votes, label"),
        ("fusion = 'never'", "fusion: choose one of late, early"),
        ("labels = ['anger', 'glee']", "labels: unknown label 'glee'"),
        ("labels = ['anger']", "labels: give at least two"),
        ("inputs = ['picture']", "inputs: choose landmarks or crop or landmarks,crop"),
        ("inputs = ['crop', 'landmarks']", "inputs: choose landmarks or crop or landmarks,crop"),
        ("inputs = []", "inputs: choose landmarks or crop"),
        ("inputs = 'crop'", "inputs = 'crop' is not of the right type, as in inputs = ['landmarks']"),
        ("[crop]\nsize = 15", "crop.size = 15: must be at least 16 and at most 256"),
        ("[crop]\nsize = 257", "crop.size = 257: must be at least 16 and at most 256"),
        ("[crop]\nchannels = []", "crop.channels: give at least one layer"),
        ("[crop]\nchannels = [8, 0]", "crop.channels: give at least one layer"),
        ("[crop]\nchannels = 8", "crop.channels = 8 is not of the right type"),
        ("[crop]\ndropout = 1", "crop.dropout = 1.0: must be at least 0 and less than 1"),
        ("[crop]\ndistorted = 1.5", "crop.distorted = 1.5: must be at least 0 and at most 1"),
        ("[crop]\ncut_out = -0.1", "crop.cut_out = -0.1: must be at least 0 and at most 1"),
        ("[crop]\nmix_up = -1", "crop.mix_up = -1.0: must be at least 0"),
        ("[crop]\nmix_up = inf", "crop.mix_up = inf: must be at least 0"),
        ("[crop]\nturn_degrees = 91", "crop.turn_degrees = 91.0: must be at least 0 and at most 90"),
        ("[crop]\nscale = 2", "crop.scale = 2.0: must be at least 0 and at most 1"),
        ("[crop]\nshift = nan", "crop.shift = nan: must be at least 0 and at most 1"),
        ("[crop]\nlearning_rate = 0", "crop.learning_rate = 0.0: must be more than 0"),
        ("[crop]\nweight_decay = -1", "crop.weight_decay = -1.0: must be at least 0"),
        ("[crop]\nbatch = 1", "crop.batch = 1: must be at least 2"),
        ("[crop]\nepochs = 0", "crop.epochs = 0: must be at least 1"),
        ("[crop]\npatience = 3", "unknown key 'crop.patience'"),
        ("seed = ", "not a TOML file"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_key_and_the_file(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(ConfigError) as caught:
        recipe.load(write(tmp_path, text))

    assert "mine.toml: " in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inputs", recipe.INPUTS)
def test_each_choice_of_inputs_can_be_trained(inputs: tuple[str, ...]):
    assert recipe.load(None, {"inputs": list(inputs)}).inputs == inputs


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(NoInputError, match="No such file"):
        recipe.load(tmp_path / "none.toml")


def test_the_recipe_goes_into_a_report_as_it_stands_in_the_file():
    as_in_the_file = tomllib.loads(recipe.template())

    told = recipe.as_dict(recipe.load(None))

    assert {key: list(value) if isinstance(value, tuple) else value for key, value in told["network"].items()} == (
        as_in_the_file["network"]
    )
    assert told["optimiser"] == as_in_the_file["optimiser"]
