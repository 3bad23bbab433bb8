from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import bundle as edge_bundle
from host_training.errors import TableError
from host_training.evaluate import calibration_error, evaluate, score
from host_training.votes import COLUMNS, LABELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.keypoints import Table


def sure(*labels: int, confidence: float = 0.93):
    rows = np.full((len(labels), 8), (1 - confidence) / 7, np.float32)
    rows[np.arange(len(labels)), labels] = confidence
    return rows


def test_a_missed_face_is_an_error():
    found = np.array([True, True, False, True])

    scores = score(sure(0, 1, 1), found, np.array([0, 1, 0, 1]), "test")

    assert scores.accuracy == 0.75
    assert scores.accuracy_found == 1
    assert (scores.rows, scores.found) == (4, 3)
    assert scores.recall["neutral"] == 0.5
    assert scores.confusion[0][-1] == 1


def test_nothing_found_is_all_wrong():
    scores = score(sure(), np.zeros(3, np.bool_), np.array([0, 1, 1]), "test")

    assert (scores.accuracy, scores.macro_f1) == (0, 0)


def test_the_baseline_says_the_most_frequent_label_every_time():
    scores = score(sure(1, 1, 1, 0), np.ones(4, np.bool_), np.array([0, 0, 0, 1]), "test")

    assert scores.majority_baseline == 0.75
    assert scores.accuracy == 0


def test_macro_f1_counts_each_label_that_occurs_alike():
    # neutral: 3 of 4 and 1 false alarm, F1 = 0.75; happiness: 1 of 2 and 1 false alarm, F1 = 0.5
    scores = score(sure(0, 0, 0, 1, 1, 0), np.ones(6, np.bool_), np.array([0, 0, 0, 0, 1, 1]), "test")

    assert scores.macro_f1 == pytest.approx((0.75 + 0.5) / 2)


def test_the_confusion_matrix_has_what_is_down_and_what_was_said_across():
    scores = score(sure(2), np.ones(1, np.bool_), np.array([5]), "test")

    assert scores.confusion[5][2] == 1
    assert np.sum(scores.confusion) == 1


@pytest.mark.parametrize(("hits", "error"), [(8, 0.0), (4, 0.4), (0, 0.8)])
def test_the_calibration_error_is_confidence_beyond_accuracy(hits: int, error: float):
    right = np.arange(10) < hits

    assert calibration_error(sure(*[0] * 10, confidence=0.8), right) == pytest.approx(error, abs=1e-6)


def test_rows_without_a_majority_are_left_out(bundle_folder: Path, table: Table, changed: Callable[..., Table]):
    bundle = edge_bundle.load(bundle_folder)
    votes = table.votes.copy()
    test_rows = np.flatnonzero(table.split == "test")
    votes[test_rows[:10]] = 1

    scores = evaluate(bundle, changed(votes=votes))

    assert scores.rows == len(test_rows) - 10


def test_only_the_rows_of_the_split_count(bundle_folder: Path, table: Table):
    bundle = edge_bundle.load(bundle_folder)

    for split in ("train", "validation", "test"):
        assert evaluate(bundle, table, split).rows == (table.split == split).sum()


def test_a_table_with_nothing_to_judge_is_refused(bundle_folder: Path, table: Table, changed: Callable[..., Table]):
    votes = np.zeros_like(table.votes)
    votes[:, COLUMNS.index("NF")] = 10

    with pytest.raises(TableError, match="no row of the test split"):
        evaluate(edge_bundle.load(bundle_folder), changed(votes=votes))


def test_the_text_has_every_label_and_the_baseline():
    text = score(sure(0, 1), np.ones(2, np.bool_), np.array([0, 0]), "test").text()

    assert all(label in text for label in LABELS)
    assert "always saying 'neutral': 1.0000" in text
