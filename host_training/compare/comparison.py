"""Trains the contenders and evaluates them all the same way."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge.classifier.network import softmax
from host_training.compare.contender import TrainingData
from host_training.compare.results import Deviation, Figures, Result, Spread
from host_training.data.keypoints import TEST, VALIDATION, take
from host_training.evaluation.scores import judged_rows, score
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from host_training.compare.contender import Contender, Trained
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets

SCORED = (VALIDATION, TEST)
"""Splits that contenders are evaluated on."""
FIGURES = ("accuracy", "accuracy_found", "macro_f1", "ece")
BYTES = 4
"""Bytes of a parameter."""
DIGITS = 6
"""Decimals of the figures."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One training of a contender."""

    seconds: float
    by_split: dict[str, Figures]


def compare(
    table: Table, targets: Targets, truth: str, contenders: Sequence[Contender], seeds: Sequence[int]
) -> Iterator[Result]:
    """Train and evaluate the contenders, one after the other.

    Args:
        table: the rows.
        targets: of the rows.
        truth: source of the targets, one of `votes.TRUTHS`.
        contenders: what to compare.
        seeds: a contender that depends on the seed is trained once with each, the others with the first.

    Yields:
        The result of each contender.

    Raises:
        TableError: a split has no row to train on or to evaluate on.
    """
    data = TrainingData.of(table, targets)
    for split in SCORED:
        judged_rows(table, targets, split)  # before anything is trained
    bar = tqdm(contenders, desc="contenders")
    for contender in bar:
        bar.set_postfix_str(contender.name)
        if contender.why_not:
            yield not_run(contender, contender.why_not)
            continue
        runs = []
        for seed in seeds if contender.seeded else seeds[:1]:
            began = time.monotonic()
            trained = contender.fit(data, seed)
            seconds = time.monotonic() - began
            runs.append(_Run(seconds, _evaluated(trained, data, table, targets, truth)))
        parameters = int(trained.parameters)
        summary = _summary(not_run(contender, None), runs)
        yield replace(summary, parameters=parameters, bytes=parameters * BYTES)


def not_run(contender: Contender, why_not: str | None) -> Result:
    """The result of a contender that did not run, or has not run yet."""
    return Result(contender.name, contender.about, contender.learned_from, why_not)


def _evaluated(trained: Trained, data: TrainingData, table: Table, targets: Targets, truth: str) -> dict[str, Figures]:
    validation = take(data.table, data.rows(VALIDATION))
    temperature = fit_temperature(_logits(trained, validation), data.labels(VALIDATION))
    figures = {}
    for split in SCORED:
        rows = targets.judged & table.found & (table.split == split)
        logits = _logits(trained, take(table, rows)) if rows.any() else np.zeros((0, len(targets.labels)), np.float32)
        scores = score(softmax(logits, temperature), table, targets, split, truth=truth)
        figures[split] = Figures(
            **{name: getattr(scores, name) for name in FIGURES}, accuracy_interval=scores.accuracy_interval
        )
    return figures


def _logits(trained: Trained, table: Table) -> NDArray[np.float32]:
    """float32[N, C]: logarithms of the probabilities, which equal logits up to a constant that softmax removes."""
    return np.log(np.maximum(trained.probabilities(table), np.finfo(np.float32).tiny))


def _summary(result: Result, runs: Sequence[_Run]) -> Result:
    """With means and standard deviations over the seeds."""
    by_split = {split: [run.by_split[split] for run in runs] for split in SCORED}
    return replace(
        result,
        seconds=round(float(np.mean([run.seconds for run in runs])), 1),
        seeds=len(runs),
        validation=_mean(by_split[VALIDATION]),
        test=_mean(by_split[TEST]),
        deviation=Deviation(_spread(by_split[VALIDATION]), _spread(by_split[TEST])) if len(runs) > 1 else None,
    )


def _mean(figures: Sequence[Figures]) -> Figures:
    means = {
        name: np.mean([asdict(each)[name] for each in figures], axis=0).round(DIGITS).tolist()
        for name in (*FIGURES, "accuracy_interval")
    }
    low, high = means.pop("accuracy_interval")
    return Figures(**means, accuracy_interval=(low, high))


def _spread(figures: Sequence[Figures]) -> Spread:
    return Spread(
        **{name: round(float(np.std([getattr(each, name) for each in figures], ddof=1)), DIGITS) for name in FIGURES}
    )
