from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.errors import UsageError
from edge.validation import build
from host_training.data.labels import LABELS
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.evaluation.scores import WORST, Scores, judged_rows, score
from tests.support.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

NEUTRAL, HAPPINESS, SURPRISE, SADNESS, ANGER, DISGUST, FEAR, CONTEMPT = range(8)


def rows_of(*labels: int, missed: tuple[int, ...] = ()) -> Table:
    """Test rows with these labels, in some of which no face was found."""
    landmarks = np.zeros((len(labels), 478, 3), np.float32)
    landmarks[list(missed)] = np.nan
    return table_of(landmarks, label=np.array(labels, np.int8))


def predictions(*labels: int, confidence: float = 0.93) -> NDArray[np.float32]:
    rows = np.full((len(labels), 8), (1 - confidence) / 7, np.float32)
    rows[np.arange(len(labels)), labels] = confidence
    return rows


def scores_of(table: Table, probabilities: NDArray[np.float32]) -> Scores:
    return score(probabilities, table, targets_of(table))


def test_a_missed_face_is_an_error():
    table = rows_of(NEUTRAL, HAPPINESS, NEUTRAL, HAPPINESS, missed=(2,))

    scores = scores_of(table, predictions(NEUTRAL, HAPPINESS, HAPPINESS))

    assert scores.accuracy == 0.75
    assert scores.accuracy_found == 1
    assert (scores.rows, scores.found) == (4, 3)
    assert scores.recall["neutral"] == 0.5
    assert scores.precision["neutral"] == 1
    assert scores.confusion[NEUTRAL][-1] == 1


def test_without_a_face_found_everything_is_wrong_and_has_a_text():
    scores = scores_of(rows_of(0, 1, 1, missed=(0, 1, 2)), predictions())

    assert (scores.accuracy, scores.macro_f1, scores.found) == (0, 0, 0)
    assert scores.coverage == ()
    assert "no face" in scores.text()


def test_the_majority_baseline_predicts_the_most_frequent_label_every_time():
    scores = scores_of(rows_of(NEUTRAL, NEUTRAL, NEUTRAL, HAPPINESS), predictions(1, 1, 1, 0))

    assert scores.majority_baseline == 0.75
    assert scores.accuracy == 0


def test_the_confusion_matrix_has_true_labels_down_and_predicted_ones_across():
    scores = scores_of(rows_of(DISGUST), predictions(SURPRISE))

    assert scores.confusion[DISGUST][SURPRISE] == 1
    assert np.sum(scores.confusion) == 1
    assert scores.support == {name: int(name == "disgust") for name in LABELS}


def test_the_calibration_error_is_over_the_faces_found():
    scores = scores_of(rows_of(1, 1, 0, missed=(2,)), predictions(1, 2, confidence=0.9))

    assert scores.ece == pytest.approx(0.4, abs=1e-6)
    assert sum(bar.rows for bar in scores.reliability) == 2
    assert scores.negative_log_likelihood == pytest.approx(-(np.log(0.9) + np.log(0.1 / 7)) / 2, rel=1e-5)


def test_the_worst_mistakes_come_first():
    table = rows_of(NEUTRAL, NEUTRAL, FEAR, FEAR, FEAR, missed=(4,))
    probabilities = np.concatenate(
        [
            predictions(0, confidence=0.99),
            predictions(1, confidence=0.6),
            predictions(2),
            predictions(2, confidence=0.8),
        ]
    )

    worst = [dataclasses.astuple(mistake) for mistake in scores_of(table, probabilities).worst]

    assert [mistake[:3] for mistake in worst] == [
        ("tiny/2", "fear", "surprise"),
        ("tiny/3", "fear", "surprise"),
        ("tiny/1", "neutral", "happiness"),
    ]
    assert [mistake[3] for mistake in worst] == pytest.approx([0.93, 0.8, 0.6])


def test_no_more_than_the_worst_mistakes_are_listed():
    assert len(scores_of(rows_of(*[NEUTRAL] * 40), predictions(*[FEAR] * 40)).worst) == WORST


def test_pictures_of_one_person_count_once_for_the_interval():
    labels, predicted = [NEUTRAL] * 120, [NEUTRAL] * 90 + [FEAR] * 30
    strangers = rows_of(*labels)
    relatives = dataclasses.replace(strangers, subject=(np.arange(120) // 10).astype(np.str_))

    apart = scores_of(strangers, predictions(*predicted)).accuracy_interval
    together = scores_of(relatives, predictions(*predicted)).accuracy_interval

    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_the_probabilities_must_be_those_of_the_faces_found():
    with pytest.raises(ValueError, match="2 faces"):
        scores_of(rows_of(0, 0, 1, missed=(2,)), predictions(0, 1, 0))


def test_an_empty_split_is_told_from_those_that_are_not(table: Table, changed: Callable[..., Table]):
    moved = changed(split=np.where(table.split == "test", "train", table.split))

    with pytest.raises(TableError, match=r"no row of the test split .* rows of train and validation have"):
        judged_rows(moved, targets_of(moved), "test")


def test_an_unknown_split_is_refused(table: Table):
    with pytest.raises(UsageError, match="unknown split 'dev'; choose train, validation, test or all"):
        judged_rows(table, targets_of(table), "dev")


def test_the_headline_has_the_figures_of_the_manifest():
    scores = scores_of(rows_of(0, 0, 1), predictions(0, 0, 0))

    assert scores.headline() == {
        "accuracy": 0.6667,
        "accuracy_found": 0.6667,
        "macro_f1": 0.4,
        "majority_baseline": 0.6667,
        "ece": 0.2633,
    }


def test_the_text_has_no_share_of_nothing():
    lines = scores_of(rows_of(NEUTRAL, NEUTRAL), predictions(FEAR, NEUTRAL)).text().splitlines()

    by_label = {line.split()[0]: line.split()[-3:] for line in lines if line.split()[:1] and line.split()[0] in LABELS}
    assert by_label["neutral"] == ["0.500", "1.000", "0.667"]
    assert by_label["fear"] == ["-", "-", "-"], "it has no rows, so what was read as fear says nothing about it"
    assert by_label["anger"] == ["-", "-", "-"]


def test_scores_can_be_read_from_their_json():
    scores = scores_of(rows_of(0, 0, 1, 2, missed=(3,)), predictions(0, 0, 0))

    text = json.dumps(scores.as_dict(), allow_nan=False)

    assert build(Scores, json.loads(text)).as_dict() == json.loads(text)
