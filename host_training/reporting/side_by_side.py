"""A model beside a released one, on the same test rows: figures, what reads worse, and the text about both.

Deployment reads this from a bundle's report on workstations without the libraries of the training kit, so it imports
none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.errors import DataError
from edge.validation import InvalidError, build
from host_training.training.bundle_files import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DIGITS, RECALL_DIGITS = 3, 2
"""Decimals of a figure; a recall has fewer rows behind it. What differs beyond them is not called worse."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one model, shares from 0 to 1. Missed faces are errors."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 %."""
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    recall: Mapping[str, float]
    """By label, without labels that have no test row."""

    @classmethod
    def of(cls, scores: Mapping[str, Any]) -> Figures:
        """From the scores of an evaluation, see `Scores.as_dict`."""
        recall = {label: share for label, share in scores["recall"].items() if scores["support"][label]}
        names = ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")
        return build(cls, {**{name: scores[name] for name in names}, "recall": recall})

    def text(self) -> str:
        """The headline figures with their intervals."""
        accuracy = _with_interval(self.accuracy, self.accuracy_interval)
        return f"accuracy {accuracy}  macro-F1 {_with_interval(self.macro_f1, self.macro_f1_interval)}"


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two models on the same rows."""

    released: str
    """Id of the released model."""
    rows: str
    """Which rows, in words."""
    mine: Figures
    theirs: Figures

    def warning(self, mine: str) -> list[str]:
        """A line that says where the model with the id `mine` reads worse; none: nowhere."""
        worse = [
            text + (" (within its 95 % interval)" if theirs <= interval[1] else "")
            for name, value, interval, theirs in (
                ("accuracy", self.mine.accuracy, self.mine.accuracy_interval, self.theirs.accuracy),
                ("macro-F1", self.mine.macro_f1, self.mine.macro_f1_interval, self.theirs.macro_f1),
            )
            for text in _lower([(name, value, theirs)], DIGITS)
        ]
        recall = [(label, share, self.theirs.recall.get(label, 0.0)) for label, share in self.mine.recall.items()]
        if less := _lower(recall, RECALL_DIGITS):
            worse.append(f"recall of {', '.join(less)}")
        return [f"warning: {mine} reads worse than {self.released}: {'; '.join(worse)}"] if worse else []


def text(mine: str, pairs: Iterable[SideBySide]) -> str:
    """Tables of the model with the id `mine` and released ones, one for the same rows, and lines on what is worse."""
    by_rows: dict[tuple[str, str], list[SideBySide]] = {}
    for pair in pairs:
        by_rows.setdefault((pair.rows, pair.mine.text()), []).append(pair)
    lines: list[str] = []
    for (rows, figures), same in by_rows.items():
        width = max(len(name) for name in (mine, *(pair.released for pair in same)))
        lines += [f"on {rows}:", f"  {mine:<{width}}  {figures}"]
        lines += [f"  {pair.released:<{width}}  {pair.theirs.text()}  released" for pair in same]
        lines += [line for pair in same for line in pair.warning(mine)]
    return "\n".join(lines)


def beside_released(folder: Path, released: Path) -> SideBySide | None:
    """A bundle beside a released one, from their reports; None: they were not judged on the same rows.

    Raises:
        DataError: a report is damaged.
    """
    report, theirs = _report(folder), _report(released)
    try:
        for each in report.get("beside_released", []):
            pair = build(SideBySide, each)
            if pair.released == theirs.get("id"):
                return pair
        if not (report and theirs):
            return None
        mine, other = report["evaluation"]["test"], theirs["evaluation"]["test"]
        if not same_rows(mine, other):
            return None
        return SideBySide(theirs["id"], all_rows(mine), Figures.of(mine), Figures.of(other))
    except (KeyError, TypeError, AttributeError, InvalidError) as error:
        raise DataError(f"{folder / REPORT}: is damaged ({error}); train the model again") from error


def all_rows(scores: Mapping[str, Any]) -> str:
    """All test rows, in words."""
    return f"the same {scores['rows']:,} test rows"


def same_rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two evaluations, see `Scores.as_dict`, were on the same rows: as many of each label and in each slice."""
    return _counts(one) == _counts(other)


def _counts(scores: Mapping[str, Any]) -> list[Any]:
    slices = {
        name: [(each["name"], each["rows"], each["found"]) for each in found]
        for name, found in scores["slices"].items()
        if name != "pose"  # depends on the model's feature contract
    }
    names = ("labels", "truth", "split", "rows", "found", "support")
    return [*(scores[name] for name in names), slices]


def _report(folder: Path) -> dict[str, Any]:
    """The report of a bundle; empty: it has none."""
    path = folder / REPORT
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); train the model again") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds no JSON object; train the model again")
    return values


def _lower(figures: Iterable[tuple[str, float, float]], digits: int) -> list[str]:
    return [
        f"{name} {mine:.{digits}f} instead of {theirs:.{digits}f}"
        for name, mine, theirs in figures
        if round(mine, digits) < round(theirs, digits)
    ]


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{value:.{DIGITS}f} ({low:.{DIGITS}f} to {high:.{DIGITS}f})"
