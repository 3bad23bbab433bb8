"""Metrics of a classifier, from true labels, predicted labels and confidences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BINS = 15
"""Number of bins of equal width for the expected calibration error (Guo et al. 2017)."""
THRESHOLDS = np.arange(101) / 100
"""Thresholds of the coverage curve, float64[101]."""
RESAMPLES = 2000
"""Number of bootstrap resamples: with so many, a 95 % interval hardly depends on the seed (Efron & Tibshirani 1993,
14.3, ask for at least 1,000)."""
SEED = 0
"""Seed of the bootstrap, so that the same rows always give the same interval."""
LIMITS = (2.5, 50, 97.5)
"""Percentiles of a 95 % interval: lower limit, median, upper limit."""
LEAST_UNITS = 10
"""Minimum number of people or pictures: with fewer a bootstrap interval is far too narrow, down to no width at all."""
DRAWS = 1_000_000
"""Maximum number of units drawn at a time; bounds the memory."""

Interval = tuple[float, float]
"""Lower and upper limit, 95 %."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram."""

    low: float
    high: float
    """Confidences from `low` up to, but not including, `high`; the last bin includes 1."""
    rows: int
    confidence: float | None
    """Mean confidence of its rows; None without rows."""
    accuracy: float | None
    """Share of its rows that are correct; None without rows."""


@dataclass(frozen=True, slots=True)
class Point:
    """Answering only from a confidence on, as in selective classification (El-Yaniv & Wiener 2010)."""

    threshold: float
    coverage: float
    """Share of all rows that are answered."""
    accuracy: float
    """Share of the answers that are correct."""


def confusion(label: NDArray[np.intp], predicted: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """The confusion matrix.

    Args:
        label: int[N], true labels, below `count`.
        predicted: int[N]; `count` where no face was found.
        count: number of labels, C.

    Returns:
        int64[C, C + 1]: true by predicted label; the last column counts missed faces.
    """
    table = np.zeros((count, count + 1), np.int64)
    np.add.at(table, (label, predicted), 1)
    return table


def share(part: NDArray[Any], whole: NDArray[Any], of_nothing: float = 0.0) -> NDArray[np.float64]:
    """`part / whole` by element, float64; `of_nothing` where the whole is 0."""
    quotient: NDArray[np.float64] = np.full(np.shape(part), of_nothing)
    np.divide(part, whole, out=quotient, where=np.asarray(whole) > 0)
    return quotient


def f1(hits: NDArray[Any], support: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Harmonic mean of recall, hits / support, and precision, hits / predicted; float64 of their shape."""
    return share(2 * hits, support + predicted)


def macro_f1(hits: NDArray[Any], support: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 over the labels that occur, float64[...], from counts, [..., C]; missed faces lower the recall."""
    occurs = support > 0
    return share((f1(hits, support, predicted) * occurs).sum(axis=-1), occurs.sum(axis=-1))


def bin_of(confidence: NDArray[np.float64]) -> NDArray[np.intp]:
    """int[M]: bin, of `BINS`, of a confidence, float64[M]."""
    return np.minimum((confidence * BINS).astype(np.intp), BINS - 1)


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The data of a reliability diagram (Niculescu-Mizil & Caruana 2005).

    Args:
        confidence: float64[M], probability of the predicted label.
        correct: bool[M], whether that is the true label.
    """
    place = bin_of(confidence)
    rows = np.bincount(place, minlength=BINS).tolist()
    sums = zip(np.bincount(place, confidence, BINS).tolist(), np.bincount(place, correct, BINS).tolist(), strict=True)
    return tuple(
        Bin(index / BINS, (index + 1) / BINS, n, sure / n if n else None, hits / n if n else None)
        for index, (n, (sure, hits)) in enumerate(zip(rows, sums, strict=True))
    )


def tally(
    label: NDArray[np.intp], predicted: NDArray[np.intp], confidence: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """What each row adds to the sums behind `figures`, float64[N, 3 C + BINS + 3].

    Args:
        label: int[N], true labels, below `count`.
        predicted: int[N]; `count` where no face was found.
        confidence: float64[N], probability of the predicted label; ignored where no face was found.
        count: number of labels, C.
    """
    correct, found = predicted == label, predicted < count
    unit = np.eye(count + 1)[:, :count]
    gaps = np.eye(BINS)[bin_of(confidence)] * ((confidence - correct) * found)[:, None]
    single = np.column_stack([np.ones(len(label)), correct, found])
    return np.concatenate([single, unit[label], unit[predicted], unit[label] * correct[:, None], gaps], axis=1)


def figures(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Accuracy, macro-F1 and expected calibration error, float64[..., 3], of summed tallies, float64[..., K].

    The last is the difference of confidence and accuracy, averaged over bins (Guo et al. 2017) and the faces found;
    0 if no face was found.
    """
    rows, correct, found = np.moveaxis(sums[..., :3], -1, 0)
    support, predicted, hits, gaps = np.split(sums[..., 3:], [count, 2 * count, 3 * count], axis=-1)
    error = share(np.abs(gaps).sum(axis=-1), found)
    return np.stack([share(correct, rows), macro_f1(hits, support, predicted), error], axis=-1)


def negative_log_likelihood(probabilities: NDArray[np.float32], label: NDArray[np.intp]) -> float:
    """Mean, in nats, over labels, int[M], and their probabilities, float32[M, C]; 0 without rows."""
    if not len(label):
        return 0.0
    probability = probabilities[np.arange(len(label)), label].astype(np.float64)
    # An int8 network can say 0, which would make one row infinitely bad.
    return float(-np.log(np.maximum(probability, np.finfo(np.float32).tiny)).mean())


def coverage(confidence: NDArray[np.float64], correct: NDArray[np.bool_], rows: int) -> tuple[Point, ...]:
    """Accuracy and coverage at each of `THRESHOLDS` that some row reaches.

    Args:
        confidence: float64[M], of the faces found.
        correct: bool[M].
        rows: N, with the missed faces, which get no answer.
    """
    order = np.argsort(confidence, kind="stable")
    first = np.searchsorted(confidence[order], THRESHOLDS)
    answered = len(confidence) - first
    hits = np.append(np.cumsum(correct[order][::-1])[::-1], 0)[first]
    return tuple(
        Point(threshold, number / rows, hit / number)
        for threshold, number, hit in zip(THRESHOLDS.tolist(), answered.tolist(), hits.tolist(), strict=True)
        if number
    )


def wilson(hits: int, rows: int) -> Interval:
    """Wilson's 95 % interval of a share (Wilson 1927); 0 and 1 without rows."""
    if not rows:
        return 0.0, 1.0
    interval = binomtest(hits, rows).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def intervals(
    unit: NDArray[np.intp],
    columns: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> list[Interval]:
    """95 % intervals by percentile bootstrap (Efron & Tibshirani 1993, chapter 13) of statistics of sums over rows.

    Whole units are drawn, because rows of one person or picture are alike. Each interval is shifted so that the median
    of its resamples equals the measured value: resampling adds noise, and noise alone raises a calibration error. An
    accuracy hardly moves.

    Args:
        unit: int[N], equal for rows of one person or picture, as from `splits.units`.
        columns: float64[N, K], the values to sum.
        statistic: sums, float64[R, K] -> statistics, float64[R, S]; NaN where one is undefined.

    Returns:
        Limits of the S statistics, within 0 and 1; 0 and 1 if there are fewer than `LEAST_UNITS` units.
    """
    known, number = np.unique(unit, return_inverse=True)
    count = len(known)
    by_unit = np.zeros((count, columns.shape[1]))
    np.add.at(by_unit, number, columns)
    measured = statistic(by_unit.sum(axis=0, keepdims=True))[0]
    if count < LEAST_UNITS:
        return [(0.0, 1.0)] * len(measured)
    rng = np.random.default_rng(SEED)
    parts = []
    at_a_time = max(1, DRAWS // count)
    for start in range(0, RESAMPLES, at_a_time):
        resamples = min(at_a_time, RESAMPLES - start)
        drawn = rng.integers(count, size=(resamples, count)) + np.arange(resamples)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
        parts.append(statistic(times.astype(np.float64) @ by_unit))
    low, middle, high = np.nanpercentile(np.concatenate(parts), LIMITS, axis=0)
    limits = np.clip([low - middle + measured, high - middle + measured], 0, 1)
    return list(zip(*limits.tolist(), strict=True))
