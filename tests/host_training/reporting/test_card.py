from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from edge.bundle.manifest import Provenance
from edge.validation import build
from host_training.evaluation.robustness import Figures, Robustness
from host_training.reporting import about, card, range_text
from host_training.reporting.findings import Findings
from host_training.reporting.report import Report
from host_training.training import recipe as recipes
from host_training.training.folds import CrossValidation, Fold
from tests.support import ranges

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ["neutral", "happiness", "fear"]
SCORES: dict[str, Any] = {
    "labels": LABELS,
    "split": "test",
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
    "negative_log_likelihood": 0.5,
    "recall": {"neutral": 0.9, "happiness": 0.8, "fear": 0.35},
    "precision": {"neutral": 0.85, "happiness": 0.7, "fear": 0.5},
    "f1": {"neutral": 0.87, "happiness": 0.75, "fear": 0.41},
    "support": {"neutral": 300, "happiness": 180, "fear": 20},
    "confusion": [[270, 20, 5, 5], [30, 144, 3, 3], [8, 3, 7, 2]],
    "reliability": [],
    "engines": None,
    "worst": [],
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
        "evaluate_command": "emotion-train evaluate --bundle model/fused --data t.parquet",
        "recipe": recipes.as_dict(recipes.load(None, {"labels": LABELS, "network.dropout": 0.25})),
        "notes": [],
        "data_sets": ["fer2013"],
        "counts": {},
        "inputs": ["landmarks"],
        "crop_share": None,
        "temperature": 1.0,
        "losses": {},
        "rows": {"train": {"rows": 27873, "found": 27555, "judged": 24443}, "validation": split, "test": split},
        "kind": "int8",
        "parity": {
            "float_accuracy": 0.7977,
            "int8_accuracy": 0.798,
            "agreement": 0.9933,
            "mean_difference": 0.0014,
            "max_difference": 0.036,
        },
        "parameters": 112808,
        "bytes": 122648,
        "evaluation": {"test": copy.deepcopy(SCORES), "validation": copy.deepcopy(SCORES)},
    }


def value(report: dict[str, Any]) -> Report:
    return build(Report, report)


def of(report: dict[str, Any], **found: Any) -> str:
    return card.text(value(report), PROVENANCE, Findings(**found))


def line_of(report: dict[str, Any]) -> str:
    return of(report).replace("\n", " ")


def test_the_headline_figures_stand_with_their_intervals(report: dict[str, Any]):
    report["evaluation"]["validation"]["accuracy"] = 0.9

    assert "| accuracy, missed faces are errors | 0.8123 (0.771 to 0.846) | 0.9000 (0.771 to 0.846) |" in of(report)
    assert "| accuracy of always predicting the most frequent label | 0.6000 | 0.6000 |" in of(report)
    assert "| share of faces found | 0.9800 | 0.9800 |" in of(report)


def test_it_has_the_labels_of_the_model_and_no_others(report: dict[str, Any]):
    assert "neutral, happiness or fear" in line_of(report)
    assert "| fear | 20 | 0.350 | 0.500 |" in of(report)
    assert "| **fear** | 8 | 3 | 7 | 2 |" in of(report)
    assert "contempt" not in of(report)


def test_it_has_figures_by_kind_of_picture_and_by_confidence(report: dict[str, Any]):
    assert "| over 45° | 61 | 0.492 (0.361 to 0.617) |" in of(report)
    assert "| below 12 px | 91 | 0.615 (0.512 to 0.718) |" in of(report)
    assert "| 0.7 | 0.600 | 0.934 |" in of(report)
    assert "| 0.9 |" not in of(report)  # it is never so sure


def test_it_has_the_commands_that_give_the_figures(report: dict[str, Any]):
    for command in (PROVENANCE.command, report["evaluate_command"]):
        assert f"    {command}\n" in of(report)


def test_its_recipe_is_a_recipe_file(report: dict[str, Any], tmp_path: Path):
    recipe = of(report).split("--recipe`:\n\n")[1].split("\n\n")[0]
    (tmp_path / "recipe.toml").write_text(recipe)

    assert recipes.load(tmp_path / "recipe.toml") == recipes.load(None, {"labels": LABELS, "network.dropout": 0.25})


def test_labels_with_few_test_rows_are_named_as_uncertain(report: dict[str, Any]):
    assert "There are few test rows of fear (20)" in about.limits(value(report))[0]

    report["evaluation"]["test"]["support"]["fear"] = 200
    assert "few test rows" not in about.limits(value(report))[0]


def test_a_share_of_nothing_is_no_zero(report: dict[str, Any]):
    test = report["evaluation"]["test"]
    test["support"]["fear"], test["recall"]["fear"] = 0, 0.0
    test["confusion"] = [[270, 20, 9, 5], [30, 144, 0, 3], [0, 0, 0, 0]]
    test["precision"]["fear"] = 0.0  # some were read as fear, but none could be

    said = of(report)

    assert "| fear | 0 | - | - |" in said
    assert "| happiness | 180 | 0.800 | 0.700 |" in said
    test["confusion"] = [[300, 0, 0, 5], [180, 0, 0, 3], [0, 0, 0, 0]]
    assert "| happiness | 180 | 0.800 | - |" in of(report), "nothing was read as happiness"


def test_words_about_a_data_set_go_with_that_data_set(report: dict[str, Any]):
    assert "Goodfellow" in of(report)
    assert any("web" in limit for limit in about.limits(value(report)))

    report["data_sets"] = ["ours"]
    assert "Goodfellow" not in of(report)
    assert "* Pictures: ours" in of(report)
    assert not any("web" in limit for limit in about.limits(value(report)))


def test_words_about_votes_go_with_votes(report: dict[str, Any]):
    assert "each row's votes" in line_of(report)
    assert any("votes" in limit for limit in about.limits(value(report)))

    report["evaluation"]["test"]["truth"] = "label"
    assert "each row's votes" not in line_of(report)
    assert not any("votes" in limit for limit in about.limits(value(report)))


def test_reports_a_network_that_could_not_be_quantised(report: dict[str, Any]):
    assert "Quantised: on the validation faces int8 and float predict the same label for 99.33%" in about.parity(
        value(report)
    )

    report["parity"]["agreement"] = 0.9
    assert "Not quantised" in about.parity(value(report))
    assert "90.00%" in about.parity(value(report))
    assert "is less than 99%, or the accuracy falls by more than 0.5%" in about.parity(value(report))


def test_it_has_the_cross_validation_if_there_was_one(report: dict[str, Any]):
    assert "cross-validation" not in of(report)

    fold = Fold(100, 0.78, 0.79, 0.6, 0.01)
    found = CrossValidation("emotion-train cross-validate", (fold,) * 5, {"accuracy": 0.7812}, {"accuracy": 0.0041})
    said = of(report, cross_validation=found)
    assert "5-fold cross-validation" in said
    assert "0.7812 ± 0.0041" in said


def test_distorted_pictures_stand_beside_those_of_other_bundles(report: dict[str, Any]):
    assert "distorted, and read" not in of(report)

    figures = Figures(0.9876, 0.7654, (0.71, 0.81), 0.6, (0.5, 0.7), 0.1, None)
    found = Robustness(
        command="emotion-train robustness",
        protocol="A missed face is an error.",
        labels=(),
        rows=300,
        enter=0.5,
        min_quality=0.25,
        distortions={"dark": "too little light"},
        bundles={"other": {"dark": dataclasses.replace(figures, accuracy=0.4321)}, report["id"]: {"dark": figures}},
    )
    said = of(report, robustness=found)

    assert "| too little light | 0.765 (0.710 to 0.810) | 0.432 (0.710 to 0.810) | 0.988 |" in said
    assert about.RESOLUTION in said.replace("\n", " ")
    assert "    emotion-train robustness\n" in said


def test_distorted_pictures_of_another_split_are_called_so(report: dict[str, Any]):
    figures = Figures(0.9876, 0.7654, (0.71, 0.81), 0.6, (0.5, 0.7), 0.1, None)
    found = Robustness("command", "protocol", (), 300, 0.5, 0.25, {"dark": "dark"}, {report["id"]: {"dark": figures}})

    assert "300 of these pictures, distorted" in of(report, robustness=found)
    assert "300 validation pictures, distorted" in of(report, robustness=dataclasses.replace(found, split="validation"))


def test_the_range_stands_in_px_and_metres(report: dict[str, Any]):
    found = ranges.of(report["id"])
    said = of(report, range=found)

    assert "| 24 | 3.5 | 4.4 | 2.3 | 90.0% (82.6 to 94.5) | 80.0% (71.1 to 86.7) | 0.700 (0.604 to 0.781) " in said
    assert "| ██████████████░░░░░░ | 0.500 (0.404 to 0.596) | 10.0% |" in said
    assert f"    {found.command}\n" in said
    for words in (range_text.DISTANCE, range_text.LIMITS, "100 validation faces, pasted into 2 photographs"):
        assert words in said.replace("\n", " ")


def test_without_a_range_of_this_bundle_there_is_no_such_section(report: dict[str, Any]):
    assert "pasted into" not in of(report)
    assert "pasted into" not in of(report, range=ranges.of("another"))


def test_states_the_inputs_of_the_model(report: dict[str, Any]):
    said = line_of(report)
    assert "from the 478 landmarks of MediaPipe's face mesh: one of" in said
    assert "Landmarks carry shape only" in said

    report["inputs"] = ["landmarks", "crop"]
    said = line_of(report)
    assert "and a small grey crop of the face, cut out along them: one of" in said
    assert "The sum of a multi-layer perceptron on the landmarks and a convolutional network on the crop" in said
    assert "Landmarks carry shape only" not in said
    assert "skin, hair or glasses" in said
    assert "crops that are each the mean of many faces" in said


def test_lists_copies_kept_out_of_training(report: dict[str, Any]):
    assert "Neither they nor byte-equal copies of them were used" in line_of(report)

    report["notes"] = ["faces.decisions.csv: 12 rows: now with the rows of the same photo"]
    assert "nor the other copies of the same photos, as far as they were found, were used" in line_of(report)


def test_it_has_the_changes_made_to_the_table(report: dict[str, Any]):
    report["notes"] = ["faces.decisions.csv: 12 rows: left out"]

    assert "* faces.decisions.csv: 12 rows: left out" in of(report)


@pytest.mark.parametrize("name", ["coverage", "slices"])
def test_has_no_such_table_without_a_face(report: dict[str, Any], name: str):
    empty: dict[str, Any] = {"coverage": [], "slices": {}}
    report["evaluation"]["test"][name] = empty[name]

    assert {"coverage": "readings from", "slices": "| pose |"}[name] not in of(report)


def test_states_what_it_must_not_be_used_for(report: dict[str, Any]):
    said = line_of(report)

    assert about.FORBIDDEN in said
    assert "Article 5(1)(f)" in about.FORBIDDEN
    assert about.USE in said


def test_paragraphs_are_filled_and_tables_are_whole(report: dict[str, Any]):
    for line in of(report).splitlines():
        if not line.startswith(("|", "    ", "#")):
            assert len(line) <= card.WIDTH
    columns: list[int] = []
    for line in of(report).splitlines():
        columns = [*columns, line.count("|")] if line.startswith("|") else []
        assert len(set(columns)) <= 1
