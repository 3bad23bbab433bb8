from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, f1_score, log_loss, precision_score, recall_score

from host_training.evaluation import metrics
from host_training.evaluation.metrics import BINS, LEAST_UNITS

COUNT = 4
NOBODY = COUNT
"""What is said where no face was found."""


@st.composite
def answers(draw, least=1):
    """Labels, what was said and how surely, of some rows."""
    rows = draw(st.integers(least, 60))
    integers = st.lists(st.integers(0, COUNT), min_size=rows, max_size=rows)
    label = np.array(draw(integers), np.intp) % COUNT
    said = np.array(draw(integers), np.intp)
    shares = st.lists(st.floats(1 / COUNT, 1), min_size=rows, max_size=rows)
    return label, said, np.where(said < COUNT, draw(shares), 0)


def figures_of(label, said, confidence):
    accuracy, macro_f1, ece = metrics.figures(metrics.tally(label, said, confidence, COUNT).sum(axis=0), COUNT)
    return accuracy, macro_f1, ece


def counts_of(label, said):
    counts = metrics.confusion(label, said, COUNT)
    return np.diagonal(counts), counts.sum(axis=1), counts[:, :COUNT].sum(axis=0)


def error_of(confidence, right):
    """The calibration error of answers that are right or wrong."""
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right)
    said = np.where(right, 0, 1)
    return figures_of(np.zeros(len(right), np.intp), said, confidence)[2]


# Which label for which


@given(answers())
def test_the_confusion_matrix_is_that_of_scikit_learn(rows):
    label, said, _ = rows

    expected = confusion_matrix(label, said, labels=range(COUNT + 1))[:COUNT]

    np.testing.assert_array_equal(metrics.confusion(label, said, COUNT), expected)


@given(answers())
def test_rows_of_the_confusion_matrix_sum_to_how_often_a_label_occurs(rows):
    label, said, _ = rows
    counts = metrics.confusion(label, said, COUNT)

    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(label, minlength=COUNT))
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(said, minlength=COUNT + 1))


@given(answers())
def test_recall_precision_and_f1_are_those_of_scikit_learn(rows):
    label, said, _ = rows
    hits, support, answered = counts_of(label, said)
    settings = {"labels": range(COUNT), "average": None, "zero_division": 0}

    assert metrics.share(hits, support) == pytest.approx(recall_score(label, said, **settings))
    assert metrics.share(hits, answered) == pytest.approx(precision_score(label, said, **settings))
    assert metrics.f1(hits, support, answered) == pytest.approx(f1_score(label, said, **settings))


@given(answers())
def test_macro_f1_is_that_of_scikit_learn_over_the_labels_that_occur(rows):
    label, said, confidence = rows

    expected = f1_score(label, said, labels=np.unique(label), average="macro", zero_division=0)

    assert figures_of(label, said, confidence)[1] == pytest.approx(expected)


def test_macro_f1_counts_each_label_that_occurs_alike():
    # 0: 3 of 4 and 1 false alarm, F1 = 0.75; 1: 1 of 2 and 1 false alarm, F1 = 0.5; 2 and 3 do not occur
    label, said = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])

    assert figures_of(label, said, np.ones(6))[1] == pytest.approx((0.75 + 0.5) / 2)


def test_accuracy_counts_a_missed_face_as_an_error():
    assert figures_of(np.array([0, 1, 0, 1]), np.array([0, 1, NOBODY, 1]), np.zeros(4))[0] == 0.75


# Calibration


@pytest.mark.parametrize(("hits", "error"), [(8, 0.0), (4, 0.4), (0, 0.8), (10, 0.2)])
def test_the_calibration_error_is_how_far_confidence_and_accuracy_are_apart(hits: int, error: float):
    assert error_of(np.full(10, 0.8), np.arange(10) < hits) == pytest.approx(error)


def test_the_calibration_error_weighs_each_bin_by_its_rows():
    # 6 rows promise 0.5 and keep 1; 2 rows promise 0.9 and keep 0.5
    confidence = np.array([0.5] * 6 + [0.9] * 2)
    right = np.array([True] * 7 + [False])

    assert error_of(confidence, right) == pytest.approx(6 / 8 * 0.5 + 2 / 8 * 0.4)


def test_too_sure_and_too_unsure_make_up_for_each_other_within_a_bin_only():
    right = np.array([True, False])

    assert error_of([0.95, 0.96], right) == pytest.approx((0.95 + 0.96 - 1) / 2)
    assert error_of([0.55, 0.96], right) == pytest.approx((0.45 + 0.96) / 2)


def test_a_missed_face_promises_nothing():
    label, said = np.zeros(3, np.intp), np.array([0, 0, NOBODY])

    assert figures_of(label, said, np.array([0.8, 0.8, 0.85]))[2] == pytest.approx(0.2)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=8))
def test_the_error_of_perfectly_calibrated_bins_is_0(parts):
    confidence, right = [], []
    for rows, hits in parts:
        kept = min(hits, rows)
        confidence += [kept / rows] * rows
        right += [True] * kept + [False] * (rows - kept)

    assert error_of(confidence, right) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_reliability_diagram_says_what_the_error_is_made_of(rows):
    confidence, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])

    bins = metrics.reliability(confidence, right)

    assert [(bar.low, bar.high) for bar in bins] == [(index / BINS, (index + 1) / BINS) for index in range(BINS)]
    filled = [bar for bar in bins if bar.rows]
    assert all(bar.low - 1e-9 <= bar.confidence <= bar.high + 1e-9 for bar in filled)
    assert sum(bar.rows for bar in bins) == len(rows)
    apart = sum(abs(bar.confidence - bar.accuracy) * bar.rows for bar in filled) / len(rows)
    assert error_of(confidence, right) == pytest.approx(apart)


def test_a_reliability_diagram_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    confidence = rng.random(500)
    right = rng.random(500) < confidence

    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)

    bins = metrics.reliability(confidence, right)
    assert [bar.accuracy for bar in bins] == pytest.approx(accuracy.tolist())
    assert [bar.confidence for bar in bins] == pytest.approx(mean.tolist())


def test_a_bin_without_rows_has_no_figures():
    bins = metrics.reliability(np.array([0.0, 1.0]), np.array([True, True]))

    assert [bar.rows for bar in bins] == [1, *[0] * (BINS - 2), 1]
    assert (bins[1].confidence, bins[1].accuracy) == (None, None)


def test_the_likelihood_is_that_of_scikit_learn():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(COUNT), 50)
    label = np.arange(50) % COUNT

    said = metrics.negative_log_likelihood(probabilities.astype(np.float32), label)

    assert said == pytest.approx(log_loss(label, probabilities, labels=range(COUNT)), rel=1e-6)


def test_an_answer_that_was_ruled_out_is_surprising_without_end_but_still_a_number():
    surprise = metrics.negative_log_likelihood(np.array([[1, 0]], np.float32), np.array([1]))

    assert 80 < surprise < 1000


# Coverage


def test_coverage_leaves_out_whom_it_is_not_sure_of():
    points = metrics.coverage(np.array([0.5, 0.7, 0.9]), np.array([False, True, True]), rows=4)

    by_threshold = {point.threshold: (point.coverage, point.accuracy) for point in points}
    assert by_threshold[0.0] == pytest.approx((0.75, 2 / 3))
    assert by_threshold[0.5] == by_threshold[0.0]  # a face is answered where it just reaches the threshold
    assert by_threshold[0.51] == (0.5, 1)
    assert by_threshold[0.9] == (0.25, 1)
    assert 0.91 not in by_threshold


@given(answers())
def test_coverage_falls_as_the_threshold_rises(rows):
    label, said, confidence = rows
    found = said < COUNT

    points = metrics.coverage(confidence[found], (said == label)[found], len(label))

    assert len(points) <= 101
    shares = [point.coverage for point in points]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0 for share in shares)
    if found.any():
        assert shares[0] == found.mean()
        assert points[0].accuracy == pytest.approx((said == label)[found].mean())


# All of them


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_of_no_account(rows, random):
    label, said, confidence = rows
    order = np.array(random.sample(range(len(label)), len(label)))
    found, right = said < COUNT, said == label

    assert figures_of(*(part[order] for part in rows)) == pytest.approx(figures_of(*rows))
    mixed = metrics.coverage(confidence[order][found[order]], right[order][found[order]], len(label))
    assert mixed == metrics.coverage(confidence[found], right[found], len(label))
    bars = zip(
        metrics.reliability(confidence[order], right[order]), metrics.reliability(confidence, right), strict=True
    )
    assert all(dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(other)) for one, other in bars)


# Intervals


def mean_interval(values, unit):
    columns = np.column_stack([values, np.ones(len(values))])
    (interval,) = metrics.intervals(unit, columns, lambda sums: sums[:, :1] / sums[:, 1:])
    return interval


@given(answers(least=LEAST_UNITS), st.integers(0, 2**32))
def test_an_interval_holds_what_was_measured(rows, seed):
    label, said, confidence = rows
    unit = np.random.default_rng(seed).permutation(len(label)) // 2
    tally = metrics.tally(label, said, confidence, COUNT)

    limits = metrics.intervals(unit, tally, lambda sums: metrics.figures(sums, COUNT))

    for value, (low, high) in zip(figures_of(label, said, confidence), limits, strict=True):
        assert 0 <= low <= value + 1e-12
        assert value - 1e-12 <= high <= 1


def test_the_interval_of_an_accuracy_is_the_one_of_a_binomial_share():
    right = np.arange(1000) < 800

    low, high = mean_interval(right, np.arange(1000))

    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (low, high) == (pytest.approx(0.8 - half, abs=0.003), pytest.approx(0.8 + half, abs=0.003))


def test_what_resampling_adds_to_a_calibration_error_is_taken_off_its_interval():
    confidence = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 100)
    right = np.arange(500) % 100 < confidence * 100 - 0.5
    tally = metrics.tally(np.zeros(500, np.intp), np.where(right, 0, 1), confidence, COUNT)

    _, _, (low, high) = metrics.intervals(np.arange(500), tally, lambda sums: metrics.figures(sums, COUNT))

    assert error_of(confidence, right) == pytest.approx(0)
    assert low == pytest.approx(0)
    assert 0 < high < 0.05


def test_rows_of_one_person_are_worth_no_more_than_one():
    right = np.arange(100) < 80

    once = mean_interval(right, np.arange(100))
    ten_times = mean_interval(np.repeat(right, 10), np.repeat(np.arange(100), 10))

    assert ten_times == pytest.approx(once)


def test_an_interval_is_the_same_every_time():
    right = np.arange(50) % 3 > 0

    assert mean_interval(right, np.arange(50)) == mean_interval(right, np.arange(50))


def test_an_interval_does_not_depend_on_how_many_units_are_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch):
    right = np.arange(50) % 3 > 0
    whole = mean_interval(right, np.arange(50))

    monkeypatch.setattr(metrics, "DRAWS", 700)

    assert mean_interval(right, np.arange(50)) == pytest.approx(whole)


def test_few_persons_promise_nothing():
    unit = np.repeat(np.arange(LEAST_UNITS - 1), 50)

    assert mean_interval(np.ones(len(unit)), unit) == (0, 1)
    assert mean_interval(np.ones(LEAST_UNITS), np.arange(LEAST_UNITS)) == (1, 1)


@pytest.mark.parametrize(
    ("hits", "rows", "interval"),
    [(8, 10, (0.4902, 0.9433)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (0, 0, (0.0, 1.0))],
)
def test_wilson_s_interval(hits, rows, interval):
    assert metrics.wilson(hits, rows) == pytest.approx(interval, abs=1e-4)
