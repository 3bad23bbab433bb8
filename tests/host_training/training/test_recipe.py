from __future__ import annotations

import dataclasses
import tomllib
from typing import TYPE_CHECKING

import pytest

from edge.classifier.features import INPUTS
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
        ("sead = 1", "unknown key 'sead'; did you mean 'seed'?"),
        ("[network]\ndepth = 3", "unknown key 'depth' in [network]"),
        ("[crop]\npatience = 3", "unknown key 'patience' in [crop]; it belongs in [optimiser]"),
        ("seed = 1.5", "seed = 1.5 is not allowed; give a whole number"),
        ("name = '../x'", "name = '../x' is not allowed; give letters, digits and hyphens"),
        ("name = '-'", "name = '-' is not allowed"),
        ("labels = ['anger', 'glee']", "labels[1] = 'glee' is not allowed; give \"neutral\""),
        ("labels = ['anger']", "labels = ['anger'] is not allowed; give a list of at least 2"),
        ("labels = ['anger', 'anger']", "without duplicates"),
        ("inputs = ['picture']", 'inputs[0] = \'picture\' is not allowed; give "landmarks" or "crop"'),
        ("inputs = ['crop', 'crop']", "without duplicates"),
        ("inputs = []", "inputs = [] is not allowed; give a list of at least 1"),
        ("inputs = 'crop'", "inputs = 'crop' is not allowed; give a list"),
        ("fusion = 'never'", 'fusion = \'never\' is not allowed; give "late" or "early"'),
        ("truth = 'guess'", 'truth = \'guess\' is not allowed; give "votes" or "label"'),
        ("[features]\nregions = ['ears']", "features.regions[0] = 'ears' is not allowed; give \"lips\""),
        ("[features]\nregions = []", "features.regions = [] is not allowed"),
        ("[balance]\nup_sampling = 1.1", "balance.up_sampling = 1.1 is not allowed; give a number, 0 to 1"),
        ("[augmentation]\nmirror = 1", "augmentation.mirror = 1 is not allowed; give true or false"),
        ("[network]\nhidden = []", "network.hidden = [] is not allowed; give a list of at least 1"),
        ("[network]\nhidden = [0]", "network.hidden[0] = 0 is not allowed; give a whole number, at least 1"),
        ("[network]\ndropout = 1", "network.dropout = 1 is not allowed; give a number, at least 0 and less than 1"),
        ("[optimiser]\nlearning_rate = 0", "optimiser.learning_rate = 0 is not allowed; give a number, more than 0"),
        ("[optimiser]\nbatch = 0", "optimiser.batch = 0 is not allowed; give a whole number, at least 1"),
        ("[optimiser]\nweight_decay = nan", "optimiser.weight_decay = nan is not allowed; give a number, at least 0"),
        ("[optimiser]\nweight_decay = inf", "optimiser.weight_decay = inf is not allowed"),
        ("[crop]\nsize = 15", "crop.size = 15 is not allowed; give a whole number, 16 to 256 px"),
        ("[crop]\nsize = 257", "crop.size = 257 is not allowed"),
        ("[crop]\nchannels = []", "crop.channels = [] is not allowed"),
        ("[crop]\nchannels = [8, 0]", "crop.channels[1] = 0 is not allowed"),
        ("[crop]\nchannels = 8", "crop.channels = 8 is not allowed; give a list"),
        ("[crop]\ndropout = 1", "crop.dropout = 1 is not allowed"),
        ("[crop]\ndistorted = 1.5", "crop.distorted = 1.5 is not allowed; give a number, 0 to 1"),
        ("[crop]\ncut_out = -0.1", "crop.cut_out = -0.1 is not allowed; give a number, 0 to 1"),
        ("[crop]\nmix_up = -1", "crop.mix_up = -1 is not allowed; give a number, at least 0"),
        ("[crop]\nmix_up = inf", "crop.mix_up = inf is not allowed"),
        ("[crop]\nturn_degrees = 91", "crop.turn_degrees = 91 is not allowed; give a number, 0 to 90 degrees"),
        ("[crop]\nscale = 2", "crop.scale = 2 is not allowed; give a number, 0 to 1"),
        ("[crop]\nshift = nan", "crop.shift = nan is not allowed; give a number, 0 to 1"),
        ("[crop]\nlearning_rate = 0", "crop.learning_rate = 0 is not allowed; give a number, more than 0"),
        ("[crop]\nweight_decay = -1", "crop.weight_decay = -1 is not allowed; give a number, at least 0"),
        ("[crop]\nbatch = 1", "crop.batch = 1 is not allowed; give a whole number, at least 2"),
        ("[crop]\nepochs = 0", "crop.epochs = 0 is not allowed; give a whole number, at least 1"),
        ("seed = ", "not a TOML file"),
    ],
)
def test_refuses_impossible_recipes_with_key_and_file(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(ConfigError) as caught:
        recipe.load(write(tmp_path, text))

    assert "mine.toml: " in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inputs", INPUTS)
def test_each_choice_of_inputs_can_be_trained(inputs: tuple[str, ...]):
    assert recipe.load(None, {"inputs": list(inputs)}).inputs == inputs


def test_labels_and_inputs_have_the_order_of_the_outputs_whatever_the_file_s(tmp_path: Path):
    path = write(tmp_path, 'labels = ["anger", "happiness", "neutral"]\ninputs = ["crop", "landmarks"]')

    loaded = recipe.load(path)

    assert loaded.labels == ("neutral", "happiness", "anger")
    assert loaded.inputs == ("landmarks", "crop")


def test_an_option_that_is_not_allowed_is_not_blamed_on_the_file(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"^crop\.size = 1 is not allowed"):
        recipe.load(write(tmp_path, ""), {"crop.size": 1})


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path):
    file = tmp_path / "own.toml"
    file.write_bytes(b'\xef\xbb\xbfinputs = ["landmarks"]\r\n')
    assert recipe.load(file).inputs == ("landmarks",)


def test_names_a_missing_file(tmp_path: Path):
    with pytest.raises(NoInputError, match="No such file"):
        recipe.load(tmp_path / "none.toml")


def test_the_recipe_goes_into_a_report_as_it_stands_in_the_file():
    as_in_the_file = tomllib.loads(recipe.template())

    told = recipe.as_dict(recipe.load(None))

    assert {key: list(value) if isinstance(value, tuple) else value for key, value in told["network"].items()} == (
        as_in_the_file["network"]
    )
    assert told["optimiser"] == as_in_the_file["optimiser"]
