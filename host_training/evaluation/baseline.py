"""What a person's neutral face is worth: the same rows read without it and with it, see `edge.classifier.baseline`."""

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
"""Of what distinguishes a neutral face, so much is taken off; the first is nothing."""
PROTOCOL = (
    "A person's neutral face is the mean of the other rows of this person that are neutral: never of the row that is "
    "read. Rows without a face, of unknown persons, or of persons without another neutral row are left out."
)


@dataclass(frozen=True, slots=True)
class Figures:
    """How well the rows are read when one share is taken off. Shares, not per cent."""

    share: float
    accuracy: float
    gain: float
    """In accuracy, over taking off nothing."""
    gain_interval: Interval
    """95 %, by bootstrap over persons."""
    macro_f1: float
    recall: dict[str, float]
    """Of the labels that occur."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures for all of `SHARES`."""

    rows: int
    persons: int
    support: dict[str, int]
    """Rows of each label that occurs."""
    figures: tuple[Figures, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"protocol": PROTOCOL, **rounded(asdict(self))}

    def text(self) -> str:
        """For people."""
        names = list(self.support)
        lines = [
            f"{self.rows:,} faces of {self.persons} persons: "
            + ", ".join(f"{n} {label}" for label, n in self.support.items()),
            PROTOCOL,
            "",
            f"{'share taken off':<16}{'accuracy':>9}{'gain':>8}  {'95 %':<18}{'macro-F1':>8}"
            + "".join(f"{name[:9]:>11}" for name in names),
        ]
        for each in self.figures:
            low, high = each.gain_interval
            gain = f"{each.gain:+8.3f}  {f'{low:+.3f} to {high:+.3f}':<18}" if each.share else " " * 28
            recalls = "".join(f"{each.recall[name]:>11.3f}" for name in names)
            used = "  (what calibrate does)" if each.share == SHARE else ""
            lines.append(f"{each.share:<16}{each.accuracy:>9.3f}{gain}{each.macro_f1:>8.3f}{recalls}{used}")
        return "\n".join(lines)


def compare(
    bundle: Bundle, table: Table, split: str, *, truth: str = VOTES, inputs: Inputs | None = None
) -> Comparison:
    """Read the rows of persons whose neutral face is known, without it and with it.

    Args:
        bundle: from `edge.bundle.bundle.load`.
        table: the rows.
        split: the rows that count, one of `keypoints.SPLITS`; or `keypoints.ALL`.
        truth: one of `votes.TRUTHS`.
        inputs: as for `evaluate.evaluate`.

    Raises:
        ConfigError: the bundle takes no baseline.
        UsageError: the split or the truth is unknown, or the bundle reads crops and there are no inputs.
        TableError: there is no such person.
    """
    if not bundle.supports_baseline:
        raise ConfigError(f"{bundle.folder}: takes no baseline; train it again with this version, on landmarks too")
    targets = targets_of(table, bundle.labels, truth)
    rows, vectors = _vectors(bundle, table, targets, judged_rows(table, targets, split))
    if not len(rows):
        raise TableError(
            "no person of this split has two faces of which one is neutral; `emotion-train import --subject-pattern` "
            "and `emotion-train collect` say who is who"
        )
    crops = (inputs_of(bundle.features, table, rows) if inputs is None else inputs.of(rows)).crops
    label = targets.hard[rows]
    _, person = np.unique(table.persons[rows], return_inverse=True)
    said = []
    for share in tqdm(SHARES, "classifying", unit=" shares", leave=False):
        reader = bundle.classifier.with_baseline(np.float32(share) * vectors)
        said.append(reader.probabilities(table.landmarks[rows], crops).argmax(axis=1))
    support = np.bincount(label, minlength=len(targets.labels))
    occurs = np.flatnonzero(support).tolist()
    return Comparison(
        rows=len(rows),
        persons=len(np.unique(person)),
        support={targets.labels[index]: int(support[index]) for index in occurs},
        figures=tuple(
            _figures(share, label, (said[0], each), person, targets.labels)
            for share, each in zip(SHARES, said, strict=True)
        ),
    )


def _vectors(
    bundle: Bundle, table: Table, targets: Targets, rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Of rows, int[N], those whose neutral face is known, int[M], and all that sets that apart, float32[M, F]."""
    rows = rows[table.found[rows] & (table.subject[rows] != "")]
    neutral = targets.shows(NEUTRAL)
    persons = table.persons
    kept, vectors = [], []
    for row in rows.tolist():
        others = rows[(persons[rows] == persons[row]) & neutral[rows] & (rows != row)]
        if len(others):
            vector = Baseline.of(table.landmarks[others], bundle.features).vector(bundle.features, share=1.0)
            assert vector is not None  # noqa: S101 - the bundle takes one
            kept.append(row)
            vectors.append(vector)
    return np.array(kept, np.intp), np.array(vectors, np.float32).reshape(len(kept), bundle.features.size)


def _figures(
    share: float,
    label: NDArray[np.intp],
    answers: tuple[NDArray[np.intp], NDArray[np.intp]],
    person: NDArray[np.intp],
    labels: tuple[str, ...],
) -> Figures:
    """Of the answers, int[M] each, without and with so much taken off."""
    before, said = answers
    counts = metrics.confusion(label, said, len(labels))
    hits, support = np.diagonal(counts), counts.sum(axis=1)
    right, was = (said == label).astype(np.float64), (before == label).astype(np.float64)

    def gains(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        # From 0 to 1, as intervals are; 0.5 is no gain.
        return ((sums[:, 0] - sums[:, 1]) / sums[:, 2] / 2 + 0.5)[:, None]

    ((low, high),) = metrics.intervals(person, np.column_stack([right, was, np.ones(len(label))]), gains)
    return Figures(
        share=share,
        accuracy=float(right.mean()),
        gain=float(right.mean() - was.mean()),
        gain_interval=(2 * low - 1, 2 * high - 1),
        macro_f1=float(metrics.macro_f1(hits, support, counts[:, : len(labels)].sum(axis=0))),
        recall={labels[at]: float(hits[at] / support[at]) for at in np.flatnonzero(support).tolist()},
    )
