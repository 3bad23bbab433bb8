"""Scores as text for the terminal: the headline figures first, then the details."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host_training.data.votes import VOTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from host_training.evaluation.metrics import Interval
    from host_training.evaluation.scores import Scores

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Confidences at which coverage is shown; the daemon's default is 0.5."""
DIMENSIONS = {
    "pose": "angle between face and line of sight",
    "size": "size, px between the irises",
    "brightness": "brightness of the face, 0 to 1",
    "sharpness": "sharpness, variance of the Laplacian",
    "data_set": "data set",
}
LETTERS = 7
"""Maximum length of a label at the head of a column."""


def text(scores: Scores) -> str:
    """The text, without a line break at its end."""
    blocks = [
        _headline(scores),
        _confusion(scores),
        _calibration(scores),
        _coverage(scores),
        *_slices(scores),
        _engines(scores),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _headline(scores: Scores) -> list[str]:
    most = max(scores.support, key=lambda name: scores.support[name])
    by = "people's votes (the label where nobody voted)" if scores.truth == VOTES else "the data set's labels"
    figures = (
        ("accuracy", scores.accuracy, scores.accuracy_interval, "missed faces are errors"),
        ("  on faces found", scores.accuracy_found, None, ""),
        ("  of the most frequent label", scores.majority_baseline, None, most),
        ("macro-F1", scores.macro_f1, scores.macro_f1_interval, "missed faces are errors"),
        ("expected calibration error", scores.ece, scores.ece_interval, "faces found"),
        ("negative log-likelihood", scores.negative_log_likelihood, None, "nats, faces found"),
    )
    return [
        f"{scores.split}: {scores.rows:,} rows, a face found in {scores.found / scores.rows:.2%}; truth: {by}",
        *(
            f"{name:<30}{value:.4f}  {_interval(interval) if interval else '':<16}  {words}".rstrip()
            for name, value, interval, words in figures
        ),
    ]


def _interval(interval: Interval) -> str:
    """A 95 % interval."""
    low, high = interval
    return f"{low:.3f} to {high:.3f}"


def _confusion(scores: Scores) -> list[str]:
    heads = (*(name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}." for name in scores.labels), "no face")
    lines = [_line("true \\ pred.", [*heads, "recall", "precis.", "F1"])]
    for name, row in zip(scores.labels, scores.confusion, strict=True):
        support = sum(row)
        figures = (
            (scores.recall[name], support),
            (scores.precision[name], support and scores.predictions[name]),
            (scores.f1[name], support),
        )
        lines.append(_line(name, [*map(str, row), *(f"{share:.3f}" if whole else "-" for share, whole in figures)]))
    return lines


def _calibration(scores: Scores) -> list[str]:
    filled = [bar for bar in scores.reliability if bar.rows]
    if not filled:
        return []
    return [
        "calibration, by bin of confidence",
        _line("confidence", _shares(bar.confidence or 0 for bar in filled)),
        _line("accuracy", _shares(bar.accuracy or 0 for bar in filled)),
        _line("rows", [f"{bar.rows}" for bar in filled]),
    ]


def _coverage(scores: Scores) -> list[str]:
    points = [point for point in scores.coverage if point.threshold in THRESHOLDS]
    if not points:
        return []
    return [
        "answering only from a confidence on",
        _line("confidence", [f"{point.threshold:.2f}" for point in points]),
        _line("coverage", _shares(point.coverage for point in points)),
        _line("accuracy", _shares(point.accuracy for point in points)),
    ]


def _slices(scores: Scores) -> list[list[str]]:
    blocks = []
    for kind, words in DIMENSIONS.items():
        parts = scores.slices.get(kind, ())
        if len(parts) < 2:  # noqa: PLR2004 - a single slice repeats the headline
            continue
        unit = "faces" if all(part.rows == part.found for part in parts) else "rows"
        lines = [
            f"  {part.name:<36}{part.rows:>7,}  {part.accuracy:8.3f}  {_interval(part.interval)}" for part in parts
        ]
        blocks.append([f"{words:<38}{unit:>7}  accuracy", *lines])
    return blocks


def _engines(scores: Scores) -> list[str]:
    if scores.engines is None:
        return [f"not compared with the float network: {scores.engines_missing}"] if scores.engines_missing else []
    width = 2 + max(len(engine.name) for engine in scores.engines)
    return [
        f"{'the same network elsewhere':<{width}}  accuracy  macro-F1  agrees with the edge's",
        *(
            f"  {engine.name:<{width - 2}}{engine.accuracy:10.4f}{engine.macro_f1:10.4f}{engine.agreement:10.2%}"
            for engine in scores.engines
        ),
    ]


def _line(head: str, cells: Sequence[str]) -> str:
    return f"{head:<11}" + "".join(f"{cell:>8}" for cell in cells)


def _shares(values: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]
