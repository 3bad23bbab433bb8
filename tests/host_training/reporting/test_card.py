from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from edge.bundle.manifest import Provenance
from host_training.reporting import card
from host_training.training import recipe as recipes

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ["neutral", "happiness", "fear"]
SCORES: dict[str, Any] = {
    "labels": LABELS,
    "truth": "votes",
    "rows": 500,
    "found": 490,
    "accuracy": 0.8123,
    "accuracy_interval": [0.771, 0.846],
    "accuracy_found": 0.829,
    "macro_f1": 0.6543,
    "macro_f1_interval": [0.612, 0.69],
    "majority_baseline": 0.6,
    "ece": 0.0321,
    "ece_interval": [0.021, 0.055],
    "recall": {"neutral": 0.9, "happiness": 0.8, "fear": 0.35},
    "precision": {"neutral": 0.85, "happiness": 0.7, "fear": 0.5},
    "confusion": [[270, 20, 5, 5], [30, 144, 3, 3], [8, 3, 7, 2]],
    "coverage": [
        {"threshold": 0.0, "coverage": 0.98, "accuracy": 0.829},
        {"threshold": 0.5, "coverage": 0.9, "accuracy": 0.871},
        {"threshold": 0.7, "coverage": 0.6, "accuracy": 0.934},
    ],
    "slices": {
        "pose": [{"name": "over 45°", "rows": 61, "found": 61, "accuracy": 0.492, "interval": [0.361, 0.617]}],
        "size": [{"name": "below 12 px", "rows": 91, "found": 91, "accuracy": 0.615, "interval": [0.512, 0.718]}],
        "data_set": [{"name": "fer2013", "rows": 500, "found": 490, "accuracy": 0.8123, "interval": [0.771, 0.846]}],
    },
}
PROVENANCE = Provenance(
    metrics={},
    command="emotion-train train --table t.parquet --out model/fused",
    landmarker_sha256="c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
    libraries={"python": "3.13.0", "tensorflow": "2.21.0"},
)


@pytest.fixture
def report() -> dict[str, Any]:
    split = {"rows": 600, "found": 590, "judged": 500}
    return {
        "id": "ferplus-landmarks-18422f10",
        "protocol": "A face that the mesh misses counts as an error.",
        "evaluate_command": "emotion-train evaluate --bundle model/fused --data t.parquet",
        "recipe": recipes.as_dict(recipes.load(None, {"labels": LABELS, "network.dropout": 0.25})),
        "rows": {"train": {"rows": 27873, "found": 27555, "judged": 24443}, "validation": split, "test": split},
        "kind": "int8",
        "parity": {
            "float_accuracy": 0.7977,
            "int8_accuracy": 0.798,
            "agreement": 0.9933,
            "mean_difference": 0.0014,
            "max_difference": 0.036,
            "holds": True,
        },
        "parameters": 112808,
        "bytes": 122648,
        "evaluation": {"test": copy.deepcopy(SCORES), "validation": copy.deepcopy(SCORES)},
    }


def of(report: dict[str, Any]):
    return card.text(report, PROVENANCE)


def test_the_headline_figures_stand_with_their_intervals(report: dict[str, Any]):
    report["evaluation"]["validation"]["accuracy"] = 0.9

    assert "| accuracy, missed faces are errors | 0.8123 (0.771 to 0.846) | 0.9000 (0.771 to 0.846) |" in of(report)
    assert "| accuracy of always the most frequent label | 0.6000 | 0.6000 |" in of(report)
    assert "| share of faces found | 0.9800 | 0.9800 |" in of(report)


def test_it_tells_of_the_labels_that_the_model_has(report: dict[str, Any]):
    assert "neutral, happiness or fear" in of(report).replace("\n", " ")
    assert "| fear | 20 | 0.350 | 0.500 |" in of(report)
    assert "| **fear** | 8 | 3 | 7 | 2 |" in of(report)
    assert "contempt" not in of(report)


def test_it_tells_by_picture_and_by_confidence(report: dict[str, Any]):
    assert "| over 45° | 61 | 0.492 (0.361 to 0.617) |" in of(report)
    assert "| below 12 px | 91 | 0.615 (0.512 to 0.718) |" in of(report)
    assert "| 0.7 | 0.600 | 0.934 |" in of(report)
    assert "| 0.9 |" not in of(report)  # it is never so sure


def test_it_says_how_the_figures_come_about(report: dict[str, Any]):
    for command in (PROVENANCE.command, report["evaluate_command"]):
        assert f"    {command}\n" in of(report)


def test_its_recipe_is_a_settings_file(report: dict[str, Any], tmp_path: Path):
    recipe = of(report).split("takes:\n\n")[1].split("\n\n")[0]
    (tmp_path / "recipe.toml").write_text(recipe)

    assert recipes.load(tmp_path / "recipe.toml") == recipes.load(None, {"labels": LABELS, "network.dropout": 0.25})


def test_labels_with_few_test_rows_are_named_as_uncertain(report: dict[str, Any]):
    assert "There are few test rows of fear (20)" in card.limits(report)[0]

    report["evaluation"]["test"]["confusion"][2] = [80, 30, 70, 20]
    assert "few test rows" not in card.limits(report)[0]


def test_words_about_a_data_set_go_with_that_data_set(report: dict[str, Any]):
    assert "Goodfellow" in of(report)
    assert any("web" in limit for limit in card.limits(report))

    for scores in report["evaluation"].values():
        scores["slices"]["data_set"][0]["name"] = "ours"
    assert "Goodfellow" not in of(report)
    assert "* Pictures: ours" in of(report)
    assert not any("web" in limit for limit in card.limits(report))


def test_words_about_votes_go_with_votes(report: dict[str, Any]):
    assert "each row's votes" in of(report).replace("\n", " ")
    assert any("votes" in limit for limit in card.limits(report))

    report["evaluation"]["test"]["truth"] = "label"
    assert "each row's votes" not in of(report).replace("\n", " ")
    assert not any("votes" in limit for limit in card.limits(report))


def test_a_network_that_could_not_be_quantised_says_so(report: dict[str, Any]):
    assert "Quantised: on the validation faces int8 names the same label as float on 99.33%" in card.parity_line(report)

    report["parity"] |= {"holds": False, "agreement": 0.9}
    assert "Not quantised" in card.parity_line(report)
    assert "90.00%" in card.parity_line(report)
    assert "less than 99% agreement or more than 0.5% of accuracy lost" in card.parity_line(report)


def test_cross_validation_is_told_where_there_was_any(report: dict[str, Any]):
    assert "cross-validation" not in of(report)

    report["cross_validation"] = {"folds": 5, "mean": {"accuracy": 0.7812}, "deviation": {"accuracy": 0.0041}}
    assert "5-fold cross-validation" in of(report)
    assert "0.7812 ± 0.0041" in of(report)


def test_distorted_pictures_are_told_beside_other_bundles(report: dict[str, Any]):
    assert "distorted, and read" not in of(report)

    read = {"accuracy": 0.7654, "accuracy_interval": [0.71, 0.81], "found": 0.9876}
    report["distortions"] = {
        "command": "emotion-train robustness",
        "rows": 300,
        "distortions": {"dark": "too little light"},
        "bundles": {"other": {"dark": {**read, "accuracy": 0.4321}}, report["id"]: {"dark": read}},
    }
    assert "| too little light | 0.765 (0.710 to 0.810) | 0.432 (0.710 to 0.810) | 0.988 |" in of(report)
    assert card.RESOLUTION in of(report).replace("\n", " ")


def test_it_says_what_the_model_sees_and_what_follows_from_it(report: dict[str, Any]):
    said = of(report).replace("\n", " ")
    assert "from the 478 landmarks of MediaPipe's face mesh: one of" in said
    assert "Geometry leaves out" in said

    report["inputs"] = ["landmarks", "crop"]
    said = of(report).replace("\n", " ")
    assert "and a small grey crop of the picture, cut out along them: one of" in said
    assert "The sum of a multi-layer perceptron on the landmarks and a convolutional network on the crop" in said
    assert "Geometry leaves out" not in said
    assert "skin, hair and glasses" in said
    assert "crops that are the mean of many faces" in said


def test_copies_that_were_looked_for_are_told(report: dict[str, Any]):
    assert "nor a byte-equal copy of them" in of(report).replace("\n", " ")

    report["notes"] = ["faces.decisions.csv: 12 rows: now with the rows of the same photo"]
    assert "nor another copy of the same photo, as far as one was found" in of(report).replace("\n", " ")


def test_what_was_done_to_the_table_is_told(report: dict[str, Any]):
    report["notes"] = ["faces.decisions.csv: 12 rows: left out"]

    assert "* faces.decisions.csv: 12 rows: left out" in of(report)


def test_figures_that_were_not_measured_are_left_out(report: dict[str, Any]):
    for scores in report["evaluation"].values():
        for name in ("accuracy_interval", "macro_f1_interval", "ece_interval", "coverage", "slices", "truth"):
            del scores[name]

    assert "| accuracy, missed faces are errors | 0.8123 | 0.8123 |" in of(report)


def test_it_says_what_it_must_not_be_used_for(report: dict[str, Any]):
    said = of(report).replace("\n", " ")

    assert card.FORBIDDEN in said
    assert "Article 5(1)(f)" in card.FORBIDDEN
    assert card.FITS in said


def test_paragraphs_are_filled_and_tables_are_whole(report: dict[str, Any]):
    for line in of(report).splitlines():
        if not line.startswith(("|", "    ", "#")):
            assert len(line) <= card.WIDTH
    columns: list[int] = []
    for line in of(report).splitlines():
        columns = [*columns, line.count("|")] if line.startswith("|") else []
        assert len(set(columns)) <= 1
