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
from host_training.evaluation.evaluate import PROTOCOL, PROTOCOLS, WORST, evaluate, judged_rows, score
from tests.support.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.bundle.bundle import Bundle
    from host_training.data.keypoints import Table
    from host_training.evaluation.evaluate import Scores

NEUTRAL, HAPPINESS, SURPRISE, SADNESS, ANGER, DISGUST, FEAR, CONTEMPT = range(8)


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return edge_bundle.load(bundle_folder)


def rows_of(*labels: int, missed: tuple[int, ...] = ()) -> Table:
    """Test rows with these labels, in some of which no face was found."""
    landmarks = np.zeros((len(labels), 478, 3), np.float32)
    landmarks[list(missed)] = np.nan
    return table_of(landmarks, label=np.array(labels, np.int8))


def sure(*said: int, confidence: float = 0.93):
    rows = np.full((len(said), 8), (1 - confidence) / 7, np.float32)
    rows[np.arange(len(said)), said] = confidence
    return rows


def judged(table: Table, probabilities) -> Scores:
    return score(probabilities, table, targets_of(table))


# Counting


def test_a_missed_face_is_an_error():
    table = rows_of(NEUTRAL, HAPPINESS, NEUTRAL, HAPPINESS, missed=(2,))

    scores = judged(table, sure(NEUTRAL, HAPPINESS, HAPPINESS))

    assert scores.accuracy == 0.75
    assert scores.accuracy_found == 1
    assert (scores.rows, scores.found) == (4, 3)
    assert scores.recall["neutral"] == 0.5
    assert scores.precision["neutral"] == 1
    assert scores.confusion[NEUTRAL][-1] == 1


def test_nothing_found_is_all_wrong_and_can_still_be_told():
    scores = judged(rows_of(0, 1, 1, missed=(0, 1, 2)), sure())

    assert (scores.accuracy, scores.macro_f1, scores.found) == (0, 0, 0)
    assert scores.coverage == ()
    assert "no face" in scores.text()


def test_the_baseline_says_the_most_frequent_label_every_time():
    scores = judged(rows_of(NEUTRAL, NEUTRAL, NEUTRAL, HAPPINESS), sure(1, 1, 1, 0))

    assert scores.majority_baseline == 0.75
    assert scores.accuracy == 0


def test_the_confusion_matrix_has_what_is_down_and_what_was_said_across():
    scores = judged(rows_of(DISGUST), sure(SURPRISE))

    assert scores.confusion[DISGUST][SURPRISE] == 1
    assert np.sum(scores.confusion) == 1
    assert scores.support == {name: int(name == "disgust") for name in LABELS}


def test_the_calibration_error_is_over_the_faces_found():
    scores = judged(rows_of(1, 1, 0, missed=(2,)), sure(1, 2, confidence=0.9))

    assert scores.ece == pytest.approx(0.4, abs=1e-6)
    assert sum(bar.rows for bar in scores.reliability) == 2
    assert scores.negative_log_likelihood == pytest.approx(-(np.log(0.9) + np.log(0.1 / 7)) / 2, rel=1e-5)


def test_the_worst_mistakes_come_first():
    table = rows_of(NEUTRAL, NEUTRAL, FEAR, FEAR, FEAR, missed=(4,))
    probabilities = np.concatenate(
        [sure(0, confidence=0.99), sure(1, confidence=0.6), sure(2), sure(2, confidence=0.8)]
    )

    worst = [dataclasses.astuple(mistake) for mistake in judged(table, probabilities).worst]

    assert [mistake[:3] for mistake in worst] == [
        ("tiny/2", "fear", "surprise"),
        ("tiny/3", "fear", "surprise"),
        ("tiny/1", "neutral", "happiness"),
    ]
    assert [mistake[3] for mistake in worst] == pytest.approx([0.93, 0.8, 0.6])


def test_so_many_mistakes_are_named_and_no_more():
    assert len(judged(rows_of(*[NEUTRAL] * 40), sure(*[FEAR] * 40)).worst) == WORST


def test_pictures_of_one_person_count_once_for_the_interval():
    labels, said = [NEUTRAL] * 120, [NEUTRAL] * 90 + [FEAR] * 30
    strangers = rows_of(*labels)
    relatives = dataclasses.replace(strangers, subject=(np.arange(120) // 10).astype(np.str_))

    apart = judged(strangers, sure(*said)).accuracy_interval
    together = judged(relatives, sure(*said)).accuracy_interval

    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_the_probabilities_must_be_those_of_the_faces_found():
    with pytest.raises(ValueError, match="2 faces"):
        judged(rows_of(0, 0, 1, missed=(2,)), sure(0, 1, 0))


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


def test_a_table_with_nothing_to_judge_is_refused(bundle: Bundle, table: Table, changed: Callable[..., Table]):
    votes = np.zeros_like(table.votes)
    votes[:, VOTE_COLUMNS.index("NF")] = 10

    with pytest.raises(TableError, match="no row of the table has a clear label among neutral, happiness"):
        evaluate(bundle, changed(votes=votes))


def test_an_empty_split_is_told_from_those_that_are_not(table: Table, changed: Callable[..., Table]):
    moved = changed(split=np.where(table.split == "test", "train", table.split))

    with pytest.raises(TableError, match=r"no row of the test split .* rows of train and validation have"):
        judged_rows(moved, targets_of(moved), "test")


def test_an_unknown_split_is_refused(table: Table):
    with pytest.raises(UsageError, match="unknown split 'dev'; choose train, validation, test or all"):
        judged_rows(table, targets_of(table), "dev")


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
    manifest = {**bundle.manifest, "labels": [*LABELS[:-1]]}

    with pytest.raises(UsageError, match="does not read 'contempt', only neutral, happiness"):
        evaluate(dataclasses.replace(bundle, manifest=manifest), table, labels=["neutral", "contempt"])


def test_a_bundle_of_another_kit_is_refused(bundle: Bundle, table: Table):
    manifest = {**bundle.manifest, "labels": ["awe", *LABELS[1:]]}

    with pytest.raises(ConfigError, match="reads 'awe'"):
        evaluate(dataclasses.replace(bundle, manifest=manifest), table)


# What is told


def test_the_json_has_everything_and_is_json(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)

    figures = scores.as_dict()

    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["protocol"] == PROTOCOL
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
    assert evaluate(bundle, table, truth=LABEL).as_dict()["protocol"] == PROTOCOLS[LABEL] != PROTOCOL


def test_the_same_evaluation_gives_the_same_figures(bundle: Bundle, table: Table):
    assert evaluate(bundle, table).as_dict() == evaluate(bundle, table).as_dict()


def test_the_headline_is_what_goes_with_the_model():
    scores = judged(rows_of(0, 0, 1), sure(0, 0, 0))

    assert scores.headline() == {
        "accuracy": 0.6667,
        "accuracy_found": 0.6667,
        "macro_f1": 0.4,
        "majority_baseline": 0.6667,
        "ece": 0.2633,
    }


def test_the_text_starts_with_the_headline(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)

    first, accuracy, found, baseline, *_ = scores.text().splitlines()

    assert first.startswith(f"test: {scores.rows} rows, a face found in 98.96%; truth: people's votes")
    assert accuracy.split()[:2] == ["accuracy", f"{scores.accuracy:.4f}"]
    assert f"{scores.accuracy_found:.4f}" in found
    assert f"{scores.majority_baseline:.4f}" in baseline


def test_the_text_has_no_share_of_nothing():
    lines = judged(rows_of(NEUTRAL, NEUTRAL), sure(FEAR, NEUTRAL)).text().splitlines()

    by_label = {line.split()[0]: line.split()[-3:] for line in lines if line.split()[:1] and line.split()[0] in LABELS}
    assert by_label["neutral"] == ["0.500", "1.000", "0.667"]
    assert by_label["fear"] == ["-", "0.000", "0.000"]
    assert by_label["anger"] == ["-", "-", "-"]


def test_the_text_has_a_line_for_each_label_and_slice(bundle: Bundle, table: Table):
    scores = evaluate(bundle, table)
    lines = scores.text().splitlines()

    for label, row in zip(LABELS, scores.confusion, strict=True):
        (line,) = (line.split()[1:] for line in lines if line.startswith(label))
        assert list(map(int, line[:9])) == row
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
