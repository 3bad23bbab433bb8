"""The gain of a person's neutral baseline: the same rows with and without it, see `edge.classifier.baseline`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.classifier.baseline import SHARE, Baseline
from edge.errors import ConfigError
from host_training.data.inputs import inputs_of
from host_training.data.labels import NEUTRAL
from host_training.data.votes import VOTES, targets_of
from host_training.errors import TableError
from host_training.evaluation import metrics
from host_training.evaluation.scores import judged_rows, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.evaluation.metrics import Interval

SHARES = (0.0, 0.25, SHARE, 0.75, 1.0)
"""Shares of the baseline that are subtracted; the first is nothing."""
PROTOCOL = (
    "A person's neutral baseline is the mean of this person's other neutral rows, without the row that is read. Rows "
    "without a face, of unknown people, or of people without another neutral row are left out."
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Scores with one share of the baseline subtracted, 0 to 1."""

    share: float
    accuracy: float
    gain: float
    """In accuracy, over no baseline."""
    gain_interval: Interval
    """95 %, by bootstrap over people."""
    macro_f1: float
    recall: dict[str, float]
    """By label that occurs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures for all of `SHARES`."""

    rows: int
    people: int
    support: dict[str, int]
    """Rows of each label that occurs."""
    figures: tuple[Figures, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"protocol": PROTOCOL, **rounded(asdict(self))}

    def text(self) -> str:
        """For the terminal."""
        names = list(self.support)
        lines = [
            f"{self.rows:,} faces of {self.people} people: "
            + ", ".join(f"{n} {label}" for label, n in self.support.items()),
            PROTOCOL,
            "",
            f"{'share':<16}{'accuracy':>9}{'gain':>8}  {'95 %':<18}{'macro-F1':>8}"
            + "".join(f"{name[:9]:>11}" for name in names),
        ]
        for each in self.figures:
            low, high = each.gain_interval
            gain = f"{each.gain:+8.3f}  {f'{low:+.3f} to {high:+.3f}':<18}" if each.share else " " * 28
            recalls = "".join(f"{each.recall[name]:>11.3f}" for name in names)
            used = "  (used by calibrate)" if each.share == SHARE else ""
            lines.append(f"{each.share:<16}{each.accuracy:>9.3f}{gain}{each.macro_f1:>8.3f}{recalls}{used}")
        return "\n".join(lines)


def compare(
    bundle: Bundle, table: Table, split: str, *, truth: str = VOTES, inputs: Inputs | None = None
) -> Comparison:
    """Read the rows of people with a known neutral baseline, with and without it.

    Args:
        bundle: from `edge.bundle.bundle.load`.
        table: the rows.
        split: the rows that count, one of `keypoints.SPLITS`; or `keypoints.ALL`.
        truth: one of `votes.TRUTHS`.
        inputs: as for `evaluate.evaluate`.

    Raises:
        ConfigError: the bundle supports no baseline.
        UsageError: the split or the truth is unknown, or the bundle reads crops and there are no inputs.
        TableError: no person has one.
    """
    if not bundle.supports_baseline:
        raise ConfigError(f"{bundle.folder}: supports no baseline; train it again with this version, on landmarks too")
    targets = targets_of(table, bundle.labels, truth)
    rows, vectors = _vectors(bundle, table, targets, judged_rows(table, targets, split))
    if not len(rows):
        raise TableError(
            "no person in this split has two faces, one of them neutral; `emotion-train import --subject-pattern` and "
            "`emotion-train collect` record who is who"
        )
    crops = (inputs_of(bundle.features, table, rows) if inputs is None else inputs.of(rows)).crops
    label = targets.hard[rows]
    _, person = np.unique(table.persons[rows], return_inverse=True)
    predictions = []
    for share in tqdm(SHARES, "classifying", unit=" shares", leave=False):
        reader = bundle.classifier.with_baseline(np.float32(share) * vectors)
        predictions.append(reader.probabilities(table.landmarks[rows], crops).argmax(axis=1))
    support = np.bincount(label, minlength=len(targets.labels))
    occurs = np.flatnonzero(support).tolist()
    return Comparison(
        rows=len(rows),
        people=len(np.unique(person)),
        support={targets.labels[index]: int(support[index]) for index in occurs},
        figures=tuple(
            _figures(share, label, (predictions[0], each), person, targets.labels)
            for share, each in zip(SHARES, predictions, strict=True)
        ),
    )


def _vectors(
    bundle: Bundle, table: Table, targets: Targets, rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Those of some rows, int[N], that have a baseline, int[M], and the whole of it, float32[M, F]."""
    rows = rows[table.found[rows] & (table.subject[rows] != "")]
    neutral = targets.shows(NEUTRAL)
    persons = table.persons
    kept, vectors = [], []
    for row in rows.tolist():
        others = rows[(persons[rows] == persons[row]) & neutral[rows] & (rows != row)]
        if len(others):
            vector = Baseline.of(table.landmarks[others], bundle.features).vector(bundle.features, share=1.0)
            assert vector is not None  # noqa: S101 - the bundle supports one
            kept.append(row)
            vectors.append(vector)
    return np.array(kept, np.intp), np.array(vectors, np.float32).reshape(len(kept), bundle.features.size)


def _figures(
    share: float,
    label: NDArray[np.intp],
    predictions: tuple[NDArray[np.intp], NDArray[np.intp]],
    person: NDArray[np.intp],
    labels: tuple[str, ...],
) -> Figures:
    """Of predictions, int[M] each, without a baseline and with this share of it."""
    without, predicted = predictions
    counts = metrics.confusion(label, predicted, len(labels))
    hits, support = np.diagonal(counts), counts.sum(axis=1)
    correct, before = (predicted == label).astype(np.float64), (without == label).astype(np.float64)

    def gains(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        # Intervals lie within 0 and 1, so 0.5 stands for no gain.
        return ((sums[:, 0] - sums[:, 1]) / sums[:, 2] / 2 + 0.5)[:, None]

    ((low, high),) = metrics.intervals(person, np.column_stack([correct, before, np.ones(len(label))]), gains)
    return Figures(
        share=share,
        accuracy=float(correct.mean()),
        gain=float(correct.mean() - before.mean()),
        gain_interval=(2 * low - 1, 2 * high - 1),
        macro_f1=float(metrics.macro_f1(hits, support, counts[:, : len(labels)].sum(axis=0))),
        recall={labels[at]: float(hits[at] / support[at]) for at in np.flatnonzero(support).tolist()},
    )
