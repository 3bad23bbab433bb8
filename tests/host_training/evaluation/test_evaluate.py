from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as edge_bundle
from edge.errors import ConfigError, UsageError
from host_training.data.keypoints import ALL, SPLITS
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.votes import LABEL, VOTES, targets_of
from host_training.errors import TableError
from host_training.evaluation.engines import float_path
from host_training.evaluation.evaluate import evaluate
from host_training.evaluation.scores import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.bundle.bundle import Bundle
    from host_training.data.keypoints import Table

NEUTRAL, HAPPINESS, SURPRISE, SADNESS, ANGER, DISGUST, FEAR, CONTEMPT = range(8)


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return edge_bundle.load(bundle_folder)


# Which rows


def test_rows_without_a_majority_are_left_out(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    votes = table.votes.copy()
    test_rows = np.flatnonzero(table.split == "test")
    votes[test_rows[:10]] = 2

    scores = evaluate(bundle, changed(votes=votes))

    assert scores.rows == len(test_rows) - 10


def test_only_the_rows_of_the_split_count(bundle: Bundle, table: Table):
    for split in SPLITS:
        assert evaluate(bundle, table, split).rows == (table.split == split).sum()


def test_all_rows_count_if_asked_for(bundle: Bundle, table: Table):
    assert evaluate(bundle, table, ALL).rows == len(table)


def test_the_truth_can_be_the_label_alone(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    by_votes = evaluate(bundle, table)
    wrong = changed(label=((table.label + 1) % 8).astype(np.int8))

    assert evaluate(bundle, wrong).accuracy == by_votes.accuracy
    by_label = evaluate(bundle, wrong, truth=LABEL)
    assert by_label.accuracy < by_votes.accuracy / 2
    assert (by_votes.truth, by_label.truth) == (VOTES, LABEL)


def test_where_nobody_voted_nothing_speaks_of_votes(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    unvoted = changed(votes=np.zeros_like(table.votes))

    scores = evaluate(bundle, unvoted)

    assert scores.truth == LABEL
    assert "FER+" not in scores.protocol
    assert "votes" not in scores.text()
    one = np.zeros_like(table.votes)
    one[np.flatnonzero(table.split == "train")[0]] = 5
    assert evaluate(bundle, changed(votes=one)).truth == LABEL, "the rows of other splits don't count"


def test_a_table_with_nothing_to_judge_is_refused(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    votes = np.zeros_like(table.votes)
    votes[:, VOTE_COLUMNS.index("NF")] = 10

    with pytest.raises(TableError, match="no row of the table has a clear label among neutral, happiness"):
        evaluate(bundle, changed(votes=votes))


# Which labels


def test_rows_of_other_labels_than_those_in_question_are_not_judged(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table, labels=["anger", "happiness"])

    mine = np.isin(table.votes.argmax(axis=1), [HAPPINESS, ANGER]) & (table.split == "test")
    assert scores.labels == ("happiness", "anger")
    assert scores.rows == mine.sum()
    assert np.shape(scores.confusion) == (2, 3)


def test_the_probabilities_of_the_labels_in_question_are_scaled_to_1(
    bundle: Bundle, table: Table, changed: Callable[..., Table]
):
    labels = ("happiness", "anger")
    # Faces that show something else, so that most of the probability is elsewhere.
    table = changed(votes=np.roll(table.votes, 2, axis=1))
    targets = targets_of(table, labels)
    faces = table.landmarks[targets.judged & table.found & (table.split == "test")]
    of_all = bundle.classifier.probabilities(faces)[:, [HAPPINESS, ANGER]].astype(np.float64)
    scaled = of_all / of_all.sum(axis=1, keepdims=True)

    scores = evaluate(bundle, table, labels=labels)

    filled = [bar for bar in scores.reliability if bar.rows]
    mean = sum(bar.confidence * bar.rows for bar in filled) / scores.found
    assert mean == pytest.approx(scaled.max(axis=1).mean(), abs=1e-6)
    assert min(bar.low for bar in filled) >= 7 / 15  # of two labels the likelier one has half or more


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["joy", "fear"], "unknown label 'joy'"), (["fear"], "at least two"), (["fear", "fear"], "each of them once")],
)
def test_labels_that_make_no_choice_are_refused(bundle: Bundle, table: Table, labels: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        evaluate(bundle, table, labels=labels)


def test_a_label_that_the_bundle_does_not_read_is_refused(bundle: Bundle, table: Table):
    manifest = dataclasses.replace(bundle.manifest, labels=tuple(LABELS[:-1]))

    with pytest.raises(UsageError, match="does not read 'contempt', only neutral, happiness"):
        evaluate(dataclasses.replace(bundle, manifest=manifest), table, labels=["neutral", "contempt"])


def test_a_bundle_of_another_kit_is_refused(bundle: Bundle, table: Table):
    manifest = dataclasses.replace(bundle.manifest, labels=("awe", *LABELS[1:]))

    with pytest.raises(ConfigError, match="reads 'awe'"):
        evaluate(dataclasses.replace(bundle, manifest=manifest), table)


# What is told


def test_the_json_has_everything_and_is_json(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)

    figures = scores.as_dict()

    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["protocol"] == PROTOCOLS[VOTES]
    assert list(figures)[1:] == [
        *("labels", "split", "truth", "rows", "found"),
        *("accuracy", "accuracy_interval", "accuracy_found", "macro_f1", "macro_f1_interval", "majority_baseline"),
        *("ece", "ece_interval", "negative_log_likelihood", "recall", "precision", "f1", "support", "confusion"),
        *("reliability", "coverage", "slices", "engines", "worst"),
    ]
    assert figures["slices"].keys() == {"pose", "size", "brightness", "sharpness", "data_set"}
    assert figures["slices"]["data_set"][0].keys() == {"name", "rows", "found", "accuracy", "interval"}
    assert figures["reliability"][0].keys() == {"low", "high", "rows", "confidence", "accuracy"}
    assert figures["coverage"][0].keys() == {"threshold", "coverage", "accuracy"}
    assert figures["reliability"][0]["high"] == round(1 / 15, 6)


def test_the_protocol_says_where_the_truth_came_from(bundle: Bundle, table: Table):
    assert evaluate(bundle, table, truth=LABEL).as_dict()["protocol"] == PROTOCOLS[LABEL]


def test_the_same_evaluation_gives_the_same_figures(bundle: Bundle, table: Table):
    assert evaluate(bundle, table).as_dict() == evaluate(bundle, table).as_dict()


def test_the_text_starts_with_the_headline(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)

    first, accuracy, found, baseline, *_ = scores.text().splitlines()

    assert first.startswith(f"test: {scores.rows} rows, a face found in 98.96%; truth: people's votes")
    assert accuracy.split()[:2] == ["accuracy", f"{scores.accuracy:.4f}"]
    assert f"{scores.accuracy_found:.4f}" in found
    assert f"{scores.majority_baseline:.4f}" in baseline


def test_the_text_has_a_line_for_each_label_and_slice(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)
    lines = scores.text().splitlines()

    for label, row in zip(LABELS, scores.confusion, strict=True):
        (line,) = (line.split()[1:] for line in lines if line.startswith(label))
        assert tuple(map(int, line[:9])) == row
        assert line[9:] == [f"{part[label]:.3f}" for part in (scores.recall, scores.precision, scores.f1)]
    for part in scores.slices["brightness"]:
        (found,) = (line for line in lines if line.startswith(f"  {part.name} "))
        assert f"{part.accuracy:.3f}" in found
    assert max(map(len, lines)) <= 120


# The same network elsewhere


def test_engines_are_compared_only_if_asked_for(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)

    assert (scores.engines, scores.engines_missing) == (None, "")


def test_float_and_reference_are_held_against_the_edge(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table, engines=True)

    by_float, reference, edges = scores.engines
    assert by_float.name == "float"
    assert reference.name.endswith("TensorFlow's interpreter")
    assert "the edge's interpreter (" in edges.name
    assert (edges.accuracy, edges.macro_f1) == pytest.approx((scores.accuracy, scores.macro_f1))
    assert edges.agreement == 1
    assert reference.agreement > 0.97
    assert by_float.agreement > 0.97
    assert by_float.accuracy == pytest.approx(scores.accuracy, abs=0.03)
    assert [engine["name"] for engine in scores.as_dict()["engines"]] == [each.name for each in scores.engines]
    assert reference.name in scores.text()


def test_a_missing_float_network_is_told_and_no_error(bundle_folder: Path, table: Table, tmp_path: Path):
    shutil.copytree(bundle_folder, tmp_path / "alone")

    scores = evaluate(edge_bundle.load(tmp_path / "alone"), table, engines=True)

    assert scores.engines is None
    assert f"{float_path(tmp_path / 'alone')}: cannot be read" in scores.text()
    assert scores.as_dict()["engines"] is None


def test_a_bundle_can_be_judged_where_it_saw_no_face(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    scores = evaluate(bundle, changed(landmarks=np.full_like(table.landmarks, np.nan)), engines=True)

    assert (scores.accuracy, scores.found) == (0, 0)
    assert "not compared with the float network: no face was found" in scores.text()
