from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from edge.errors import ConfigError
from host_training.cli import main
from host_training.training import recipe as recipes
from host_training.training import search

if TYPE_CHECKING:
    from pathlib import Path


SPACE: dict[str, list[Any]] = {"network.hidden": [[8], [16]], "network.dropout": [0.0, 0.1, 0.2]}


def test_the_default_space_fits_the_recipe():
    assert "network.hidden" in search.space(None)


def test_trials_differ_are_the_same_again_and_never_more_than_there_are():
    drawn = search.drawn(SPACE, 4, seed=3)

    assert drawn == search.drawn(SPACE, 4, seed=3)
    assert len({search.key_of(knobs) for knobs in drawn}) == 4
    assert len(search.drawn(SPACE, 100, seed=3)) == 6


def test_one_by_one_is_the_recipe_and_then_each_other_value_in_its_place():
    recipe = recipes.load(None, {"network.hidden": [8], "network.dropout": 0.1})

    trials = search.one_by_one(SPACE, recipe)

    assert trials == [
        {"network.hidden": [8], "network.dropout": 0.1},
        {"network.hidden": [16], "network.dropout": 0.1},
        {"network.hidden": [8], "network.dropout": 0.0},
        {"network.hidden": [8], "network.dropout": 0.2},
    ]


def test_knobs_that_belong_together_are_tried_together(tmp_path: Path):
    (tmp_path / "space.toml").write_text('early = [{ inputs = ["landmarks", "crop"], fusion = "early" }]\nseed = [2]')
    space = search.space(tmp_path / "space.toml")

    assert search.one_by_one(space, recipes.load(None)) == [
        {"inputs": ["landmarks"], "fusion": "late", "seed": 1},
        {"inputs": ["landmarks", "crop"], "fusion": "early", "seed": 1},
        {"inputs": ["landmarks"], "fusion": "late", "seed": 2},
    ]
    assert search.drawn(space, 5, seed=0) == [{"inputs": ["landmarks", "crop"], "fusion": "early", "seed": 2}]


def test_combinations_that_come_to_the_same_are_drawn_once(tmp_path: Path):
    both = '["landmarks", "crop"]'
    (tmp_path / "space.toml").write_text(
        f'inputs = [["landmarks"], {both}]\nearly = [{{ inputs = {both}, fusion = "early" }}]\nseed = [2, 3]'
    )

    drawn = search.drawn(search.space(tmp_path / "space.toml"), 20, seed=0)

    assert sorted(knobs["seed"] for knobs in drawn) == [2, 3]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"network.depth" = [1]', "unknown key 'depth' in [network]"),
        ('"network.dropout" = [0.1, 2.0]', "network.dropout = 2.0 is not allowed"),
        ('"network.dropout" = 0.1', "give a list of values"),
        ("[network]\ndropout = [0.1]", "with the key in quotes"),
        ("nonsense", "not a TOML file"),
        ('inputs = [["landmarks"], ["picture"]]', "inputs[0] = 'picture' is not allowed"),
        ('deeper = [{ "network.depth" = 3 }]', "unknown key 'depth' in [network]"),
    ],
)
def test_refuses_a_space_that_no_recipe_accepts(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "space.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=f"space.toml: .*{re.escape(complaint)}"):
        search.space(path)


@pytest.fixture
def arguments(table_path: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "quick.toml").write_text("[optimiser]\nepochs = 4\nbatch = 32")
    (tmp_path / "space.toml").write_text('"network.hidden" = [[8], [16]]')
    files = {"--table": table_path.name, "--recipe": "quick.toml", "--space": "space.toml", "--out": "trials.json"}
    return ["search", *(part for name, file in files.items() for part in (name, f"{tmp_path}/{file}"))]


def test_trials_are_judged_on_validation_and_not_repeated(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([*arguments, "--trials", "1"]) == 0
    first = json.loads((tmp_path / "trials.json").read_text())["trials"]
    first[0]["validation"]["accuracy"] = 0.123  # would be another if it were tried again
    (tmp_path / "trials.json").write_text(json.dumps({"trials": first}))

    assert main([*arguments, "--trials", "2"]) == 0

    trials = json.loads((tmp_path / "trials.json").read_text())["trials"]
    assert sorted(trial["knobs"]["network.hidden"] for trial in trials) == [[8], [16]]
    assert trials[-1] == first[0]
    assert trials[0]["validation"]["accuracy"] > 0.123
    assert "2 trials in" in capsys.readouterr().out


def test_one_by_one_records_its_command(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*arguments, "--one-by-one"]) == 0

    found = json.loads((tmp_path / "trials.json").read_text())
    assert sorted(trial["knobs"]["network.hidden"] for trial in found["trials"]) == [[8], [16], [256, 128]]
    assert found["command"].endswith("space.toml --one-by-one")
    assert "3 trials in" in capsys.readouterr().out


def test_a_file_of_something_else_is_not_overwritten(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "trials.json").write_text("[1, 2]")

    assert main(arguments) == 65

    assert "holds no trials; give another --out" in capsys.readouterr().err
    assert (tmp_path / "trials.json").read_text() == "[1, 2]"
