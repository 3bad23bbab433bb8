"""The scores of a classifier: its predictions against the labels of a table, missed faces as errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.validation import as_json
from host_training.data.keypoints import SPLITS, TEST, take
from host_training.data.splits import units
from host_training.data.votes import LABEL, VOTES, applied
from host_training.errors import TableError
from host_training.evaluation import metrics, scores_text, slices
from host_training.evaluation.engines import Engine  # noqa: TC001  likewise
from host_training.evaluation.metrics import Bin, Interval, Point  # noqa: TC001  likewise
from host_training.evaluation.slices import Slice  # noqa: TC001  likewise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets

PROTOCOLS = {
    VOTES: "FER+ majority: lone votes are dropped; a row takes part if an expression has more than half of the votes "
    "left; its label is that expression. Where nobody voted, the label of the data set counts. A face that the mesh "
    "misses counts as an error.",
    LABEL: "The label of the data set counts. A face that the mesh misses counts as an error.",
}
"""How a prediction is compared with the truth, by source of the truth."""
WORST = 24
"""Maximum number of mistakes that are listed."""
DIGITS = 6
"""Decimals of figures in JSON."""
HEADLINE = ("accuracy", "accuracy_found", "macro_f1", "majority_baseline", "ece")
"""Figures that a manifest has."""
HEADLINE_DIGITS = 4
"""Decimals of these."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A face with a wrong prediction."""

    id: str
    """Data set and source of the row, as in `fer2013/123`."""
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of an evaluation. Shares are 0 to 1."""

    labels: tuple[str, ...]
    """The C labels in question."""
    split: str
    """One of `keypoints.SPLITS`, or `keypoints.ALL`."""
    truth: str
    """One of `votes.TRUTHS`: what was applied to these rows."""
    rows: int
    found: int
    """Rows in which the mesh found a face."""
    accuracy: float
    """Over all rows."""
    accuracy_interval: Interval
    accuracy_found: float
    """Over the rows with a face; 0 without any."""
    macro_f1: float
    """Mean over the labels that occur; missed faces lower the recall."""
    macro_f1_interval: Interval
    majority_baseline: float
    """Accuracy of always predicting the most frequent label."""
    ece: float
    """Expected calibration error over the faces found; a missed face has no confidence."""
    ece_interval: Interval
    negative_log_likelihood: float
    """Mean in nats over the faces found."""
    recall: Mapping[str, float]
    """By label; 0 for a label that does not occur."""
    precision: Mapping[str, float]
    """By label; 0 for a label that is never predicted."""
    f1: Mapping[str, float]
    support: Mapping[str, int]
    """Rows of each label."""
    confusion: tuple[tuple[int, ...], ...]
    """int[C][C + 1]: true by predicted label; the last column counts missed faces."""
    reliability: tuple[Bin, ...]
    """Over the faces found."""
    coverage: tuple[Point, ...]
    slices: Mapping[str, tuple[Slice, ...]]
    """By dimension, as in `pose`, without those of which nothing is known."""
    engines: tuple[Engine, ...] | None
    """None: not compared."""
    worst: tuple[Mistake, ...]
    """The mistakes with the highest confidence."""
    engines_missing: str = ""
    """Why engines could not be compared; not part of the JSON."""

    @property
    def protocol(self) -> str:
        """How predictions were compared with the truth, in words."""
        return PROTOCOLS[self.truth]

    @property
    def predictions(self) -> dict[str, int]:
        """How often each label was predicted."""
        return {name: sum(row[index] for row in self.confusion) for index, name in enumerate(self.labels)}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures: dict[str, Any] = rounded(as_json(self))
        figures.pop("engines_missing", None)
        return {"protocol": self.protocol, **figures}

    def headline(self) -> dict[str, float]:
        """The figures for the manifest."""
        return {name: round(float(getattr(self, name)), HEADLINE_DIGITS) for name in HEADLINE}

    def text(self) -> str:
        """For the terminal."""
        return scores_text.text(self)


def judged_rows(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[N]: the rows of a split whose label a prediction can be compared with.

    Raises:
        UsageError: the split is unknown.
        TableError: there are none in it.
    """
    rows = np.flatnonzero(targets.judged & table.in_split(split))
    if not len(rows):
        among = f"a clear label among {', '.join(targets.labels)}"
        others = [name for name in SPLITS if (targets.judged & (table.split == name)).any()]
        if others:
            raise TableError(f"no row of the {split} split has {among}; rows of {' and '.join(others)} have (--split)")
        raise TableError(f"no row of the table has {among}")
    return rows


def score(
    probabilities: NDArray[np.float32],
    table: Table,
    targets: Targets,
    split: str = TEST,
    *,
    truth: str = VOTES,
    frontality: NDArray[np.float64] | None = None,
) -> Scores:
    """Score the predictions of any classifier.

    Args:
        probabilities: float32[M, C] of those of `judged_rows` in which a face was found, in their order.
        table: the rows and others.
        targets: of this table.
        split: the rows that count, one of `keypoints.SPLITS`, or `keypoints.ALL`.
        truth: source of the targets, one of `votes.TRUTHS`; the scores name what was applied, see `votes.applied`.
        frontality: float64[M], from `conditions.frontality_of`; None: without slices by pose.

    Raises:
        UsageError: the split is unknown.
        TableError: no row has a label to compare with.
        ValueError: there are more or fewer probabilities than faces.
    """
    rows = judged_rows(table, targets, split)
    part, label, unit = take(table, rows), targets.hard[rows], units(table)[rows]
    found, names, count = part.found, targets.labels, len(targets.labels)
    if probabilities.shape != (found.sum(), count):
        raise ValueError(f"probabilities{list(probabilities.shape)} for {found.sum()} faces and {count} labels")
    predicted = np.full(len(label), count)
    predicted[found] = probabilities.argmax(axis=1)
    confidence = np.zeros(len(label))
    confidence[found] = probabilities.max(axis=1)
    counts = metrics.confusion(label, predicted, count)
    support, predictions, hits = counts.sum(axis=1), counts[:, :count].sum(axis=0), np.diagonal(counts)
    tally = metrics.tally(label, predicted, confidence, count)
    accuracy, macro_f1, ece = metrics.figures(tally.sum(axis=0), count).tolist()
    limits = metrics.intervals(unit, tally, lambda sums: metrics.figures(sums, count))
    correct = predicted == label
    mistakes = np.flatnonzero(found & ~correct)
    mistakes = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:WORST]

    def by_label(values: NDArray[Any]) -> dict[str, Any]:
        return dict(zip(names, values.tolist(), strict=True))

    return Scores(
        labels=names,
        split=split,
        truth=applied(truth, table, rows),
        rows=len(label),
        found=int(found.sum()),
        accuracy=accuracy,
        accuracy_interval=limits[0],
        accuracy_found=float(correct[found].mean()) if found.any() else 0.0,
        macro_f1=macro_f1,
        macro_f1_interval=limits[1],
        majority_baseline=float(np.max(support) / len(label)),
        ece=ece,
        ece_interval=limits[2],
        negative_log_likelihood=metrics.negative_log_likelihood(probabilities, label[found]),
        recall=by_label(metrics.share(hits, support)),
        precision=by_label(metrics.share(hits, predictions)),
        f1=by_label(metrics.f1(hits, support, predictions)),
        support=by_label(support),
        confusion=tuple(map(tuple, counts.tolist())),
        reliability=metrics.reliability(confidence[found], correct[found]),
        coverage=metrics.coverage(confidence[found], correct[found], len(label)),
        slices=slices.by_slice(part, correct, unit, frontality),
        engines=None,
        worst=tuple(
            Mistake(str(part.ids[row]), names[label[row]], names[predicted[row]], float(confidence[row]))
            for row in mistakes
        ),
    )


def rounded(value: Any) -> Any:
    """With every float rounded to `DIGITS`, finer than any evaluation can distinguish."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value
