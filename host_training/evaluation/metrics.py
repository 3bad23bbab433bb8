"""Measures of a classifier, from what is, what was said and how sure it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BINS = 15
"""Of equal width, for the expected calibration error (Guo et al. 2017)."""
THRESHOLDS = np.arange(101) / 100
"""float64[101]: the confidences at which coverage is looked at."""
RESAMPLES = 2000
"""Of the bootstrap: the limits of a 95 % interval then hardly depend on the seed (Efron & Tibshirani 1993, 14.3,
ask for at least 1,000)."""
SEED = 0
"""Of the bootstrap: the same rows always give the same interval."""
LIMITS = (2.5, 50, 97.5)
"""Percentiles that a 95 % interval lies between, and its middle."""
LEAST_UNITS = 10
"""With fewer persons or pictures a bootstrap interval promises far too much, up to none of any width."""
DRAWS = 1_000_000
"""Units that are drawn at a time, to bound the memory."""

Interval = tuple[float, float]
"""Lower and upper limit, 95 %."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram."""

    low: float
    high: float
    """Confidences from `low` on and below `high`; 1 belongs to the last bin."""
    rows: int
    confidence: float | None
    """Mean of the rows; None without any."""
    accuracy: float | None
    """Share that was right; None without any."""


@dataclass(frozen=True, slots=True)
class Point:
    """What comes of answering only where the confidence reaches a threshold (El-Yaniv & Wiener 2010)."""

    threshold: float
    coverage: float
    """Share of all rows that is answered."""
    accuracy: float
    """Share of the answers that is right."""


def confusion(label: NDArray[np.intp], said: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """How often each label was taken for which.

    Args:
        label: int[N], what it is, below `count`.
        said: int[N], what was said; `count` where no face was found.
        count: number of labels, C.

    Returns:
        int64[C, C + 1]: what it is by what was said.
    """
    table = np.zeros((count, count + 1), np.int64)
    np.add.at(table, (label, said), 1)
    return table


def share(part: NDArray[Any], whole: NDArray[Any], of_nothing: float = 0.0) -> NDArray[np.float64]:
    """`part / whole`, elementwise, float64; where the whole is 0, `of_nothing`."""
    quotient: NDArray[np.float64] = np.full(np.shape(part), of_nothing)
    np.divide(part, whole, out=quotient, where=np.asarray(whole) > 0)
    return quotient


def f1(hits: NDArray[Any], support: NDArray[Any], said: NDArray[Any]) -> NDArray[np.float64]:
    """Harmonic mean of recall, hits / support, and precision, hits / said; float64 of their shape."""
    return share(2 * hits, support + said)


def macro_f1(hits: NDArray[Any], support: NDArray[Any], said: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1, float64[...], of the labels that occur, from counts, [..., C]; missed faces lower the recall."""
    occurs = support > 0
    return share((f1(hits, support, said) * occurs).sum(axis=-1), occurs.sum(axis=-1))


def bin_of(confidence: NDArray[np.float64]) -> NDArray[np.intp]:
    """int[M]: which of the `BINS` a confidence, float64[M], falls into."""
    return np.minimum((confidence * BINS).astype(np.intp), BINS - 1)


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The data of a reliability diagram (Niculescu-Mizil & Caruana 2005).

    Args:
        confidence: float64[M], probability of what was said.
        right: bool[M], whether it was true.
    """
    place = bin_of(confidence)
    rows = np.bincount(place, minlength=BINS).tolist()
    sums = zip(np.bincount(place, confidence, BINS).tolist(), np.bincount(place, right, BINS).tolist(), strict=True)
    return tuple(
        Bin(index / BINS, (index + 1) / BINS, n, sure / n if n else None, hits / n if n else None)
        for index, (n, (sure, hits)) in enumerate(zip(rows, sums, strict=True))
    )


def tally(
    label: NDArray[np.intp], said: NDArray[np.intp], confidence: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """What each row adds to the sums that `figures` are made of, float64[N, 3 C + BINS + 3].

    Args:
        label: int[N], what it is, below `count`.
        said: int[N], what was said; `count` where no face was found.
        confidence: float64[N], probability of what was said; of no account where no face was found.
        count: number of labels, C.
    """
    right, found = said == label, said < count
    unit = np.eye(count + 1)[:, :count]
    gaps = np.eye(BINS)[bin_of(confidence)] * ((confidence - right) * found)[:, None]
    single = np.column_stack([np.ones(len(label)), right, found])
    return np.concatenate([single, unit[label], unit[said], unit[label] * right[:, None], gaps], axis=1)


def figures(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Accuracy, macro-F1 and expected calibration error, float64[..., 3], of summed tallies, float64[..., K].

    The last is by how much confidence and accuracy differ, bin by bin (Guo et al. 2017), over the faces found; of
    none it is 0.
    """
    rows, right, found = np.moveaxis(sums[..., :3], -1, 0)
    support, said, hits, gaps = np.split(sums[..., 3:], [count, 2 * count, 3 * count], axis=-1)
    error = share(np.abs(gaps).sum(axis=-1), found)
    return np.stack([share(right, rows), macro_f1(hits, support, said), error], axis=-1)


def negative_log_likelihood(probabilities: NDArray[np.float32], label: NDArray[np.intp]) -> float:
    """Mean surprise in nats at the labels, int[M], given probabilities, float32[M, C]; of no rows, 0."""
    if not len(label):
        return 0.0
    probability = probabilities[np.arange(len(label)), label].astype(np.float64)
    # An int8 network can say 0, which would make one row infinitely bad.
    return float(-np.log(np.maximum(probability, np.finfo(np.float32).tiny)).mean())


def coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_], rows: int) -> tuple[Point, ...]:
    """Accuracy against coverage at each of `THRESHOLDS`, as far as any row is answered.

    Args:
        confidence: float64[M], of the faces found.
        right: bool[M].
        rows: N, with the missed faces, which are never answered.
    """
    order = np.argsort(confidence, kind="stable")
    first = np.searchsorted(confidence[order], THRESHOLDS)
    answered = len(confidence) - first
    hits = np.append(np.cumsum(right[order][::-1])[::-1], 0)[first]
    return tuple(
        Point(threshold, number / rows, correct / number)
        for threshold, number, correct in zip(THRESHOLDS.tolist(), answered.tolist(), hits.tolist(), strict=True)
        if number
    )


def intervals(
    unit: NDArray[np.intp],
    columns: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> list[Interval]:
    """Percentile bootstrap, 95 % (Efron & Tibshirani 1993, chapter 13), of statistics that are made of sums over rows.

    Whole units are drawn, because rows of one person or picture are alike. Each interval is shifted so that the
    median of its resamples lies on what was measured: resampling adds noise, and noise alone raises a calibration
    error. An accuracy is hardly moved by it.

    Args:
        unit: int[N], equal for rows that belong together, as from `splits.units`.
        columns: float64[N, K], what is summed.
        statistic: makes float64[R, S] of sums, float64[R, K]; NaN where one has none.

    Returns:
        Limits of the S statistics, within 0 and 1; just 0 and 1 where there are fewer than `LEAST_UNITS` units.
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
