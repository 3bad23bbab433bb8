"""How good a bundle is: on rows nobody trained on, through the edge's own interpreter, missed faces as errors."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.errors import ConfigError, DataError, NoInputError, UsageError
from host_training.data.conditions import frontality_of
from host_training.data.inputs import inputs_of
from host_training.data.keypoints import SPLITS, TEST, take
from host_training.data.labels import LABELS, checked_labels
from host_training.data.splits import units
from host_training.data.votes import LABEL, VOTES, targets_of
from host_training.errors import TableError
from host_training.evaluation import metrics, scores_text, slices
from host_training.evaluation.engines import Engine, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.classifier.network import Classifier
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.evaluation.metrics import Bin, Interval, Point
    from host_training.evaluation.slices import Slice

PROTOCOLS = {
    VOTES: "FER+ majority: lone votes are dropped; a row takes part if an expression has more than half of the votes "
    "left; its label is that expression. Where nobody voted, the label of the data set counts. A face that the mesh "
    "misses counts as an error.",
    LABEL: "The label of the data set counts. A face that the mesh misses counts as an error.",
}
"""What is held against an answer, by where the truth comes from."""
PROTOCOL = PROTOCOLS[VOTES]
CHUNK = 256
"""Rows between two steps of the progress bar."""
WORST = 24
"""Mistakes that are named."""
DIGITS = 6
"""Of the figures in JSON."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A face that was read wrongly."""

    id: str
    """Data set and place in it."""
    label: str
    said: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What an evaluation found. Shares, not per cent."""

    labels: tuple[str, ...]
    """The C expressions in question."""
    split: str
    """One of `keypoints.SPLITS`, or `keypoints.ALL`."""
    truth: str
    """One of `votes.TRUTHS`."""
    rows: int
    found: int
    """Rows in which the mesh saw a face."""
    accuracy: float
    """Of all rows."""
    accuracy_interval: Interval
    accuracy_found: float
    """Of the rows with a face found; 0 without any."""
    macro_f1: float
    """Mean over the labels that occur; missed faces lower the recall."""
    macro_f1_interval: Interval
    majority_baseline: float
    """Accuracy of always saying the most frequent label."""
    ece: float
    """Expected calibration error, over the faces found: a missed face has no confidence."""
    ece_interval: Interval
    negative_log_likelihood: float
    """Mean surprise at the truth in nats, over the faces found."""
    recall: dict[str, float]
    """By label; of a label that does not occur, 0."""
    precision: dict[str, float]
    """By label; of a label that is never said, 0."""
    f1: dict[str, float]
    support: dict[str, int]
    """Rows of each label."""
    confusion: list[list[int]]
    """Rows: what it is; columns: what was said, the last one `no face`."""
    reliability: tuple[Bin, ...]
    """Over the faces found."""
    coverage: tuple[Point, ...]
    slices: dict[str, tuple[Slice, ...]]
    """By dimension, as in `pose`; one that nothing is known of is left out."""
    engines: tuple[Engine, ...] | None
    """None: not compared."""
    worst: tuple[Mistake, ...]
    """The mistakes that were made with most confidence."""
    engines_missing: str = ""
    """Why engines were not compared although they should have been; not part of the JSON."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures: dict[str, Any] = rounded(asdict(self))
        del figures["engines_missing"]
        return {"protocol": PROTOCOLS[self.truth], **figures}

    def headline(self) -> dict[str, float]:
        """The figures that go with the model."""
        names = ("accuracy", "accuracy_found", "macro_f1", "majority_baseline", "ece")
        return {name: round(float(getattr(self, name)), 4) for name in names}

    def text(self) -> str:
        """For people."""
        return scores_text.text(self)


def evaluate(
    bundle: Bundle,
    table: Table,
    split: str = TEST,
    *,
    labels: Sequence[str] | None = None,
    truth: str = VOTES,
    inputs: Inputs | None = None,
    engines: bool = False,
) -> Scores:
    """Judge a bundle on a table.

    Args:
        bundle: from `edge.bundle.bundle.load`.
        table: the rows.
        split: the rows that count, one of `keypoints.SPLITS`, or `keypoints.ALL`.
        labels: expressions in question, of those that the bundle reads; None: all of them. The others'
            probabilities are taken away and the rest scaled to a sum of 1; rows of the others are not judged.
        truth: one of `votes.TRUTHS`.
        inputs: of the rows that count, from `inputs_of_split`, among others or not; None: they are built here, for a
            bundle that reads landmarks alone.
        engines: compare the edge's interpreter with others; needs TensorFlow, and the float network beside the bundle.

    Raises:
        ConfigError: the bundle reads something that is no label of the kit.
        UsageError: a label, the split or the truth is unknown, or the bundle reads crops and there are no inputs.
        TableError: no row can be judged.
    """
    known = _labels_of(bundle, labels)
    targets = targets_of(table, known, truth)
    rows = judged_rows(table, targets, split)
    found = table.found[rows]
    landmarks = table.landmarks[rows[found]]
    inputs = inputs_of(bundle.features, table, rows[found]) if inputs is None else inputs.of(rows[found])
    columns = [bundle.labels.index(name) for name in known]
    probabilities = classify(bundle.classifier, landmarks, inputs.crops, len(bundle.labels))[:, columns]
    # A network that is sure of another label leaves next to nothing for these.
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    frontality = frontality_of(bundle.features, landmarks)
    scores = score(probabilities, table, targets, split, truth=truth, frontality=frontality)
    if not engines:
        return scores
    try:
        compared = compare(bundle, inputs, found, targets.hard[rows], columns)
    except (NoInputError, DataError) as error:
        return dataclasses.replace(scores, engines_missing=str(error))
    return dataclasses.replace(scores, engines=compared)


def _labels_of(bundle: Bundle, labels: Sequence[str] | None) -> tuple[str, ...]:
    foreign = [name for name in bundle.labels if name not in LABELS]
    if foreign:
        raise ConfigError(f"{bundle.folder}: reads {foreign[0]!r}, and the kit has only {', '.join(LABELS)}")
    known = checked_labels(bundle.labels if labels is None else labels)
    for name in known:
        if name not in bundle.labels:
            raise UsageError(f"{bundle.folder}: does not read {name!r}, only {', '.join(bundle.labels)}")
    return known


def judged_rows(table: Table, targets: Targets, split: str) -> NDArray[np.intp]:
    """int[N]: the rows that an answer can be held against.

    Raises:
        UsageError: there is no such split.
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


def classify(
    classifier: Classifier, landmarks: NDArray[np.float32], crops: NDArray[np.uint8] | None, labels: int
) -> NDArray[np.float32]:
    """What a device says, float32[N, labels], of faces, float32[N, 478, 3] px, and their crops, uint8[N, S, S]."""
    parts = [np.zeros((0, labels), np.float32)]
    with tqdm(total=len(landmarks), desc="classifying", unit=" faces", leave=False) as bar:
        for start in range(0, len(landmarks), CHUNK):
            part = slice(start, start + CHUNK)
            parts.append(classifier.probabilities(landmarks[part], None if crops is None else crops[part]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def score(
    probabilities: NDArray[np.float32],
    table: Table,
    targets: Targets,
    split: str = TEST,
    *,
    truth: str = VOTES,
    frontality: NDArray[np.float64] | None = None,
) -> Scores:
    """Judge the answers of any classifier.

    Args:
        probabilities: float32[M, C] of those of `judged_rows` in which a face was found, in their order.
        table: the rows and others.
        targets: of this table.
        split: the rows that count, one of `keypoints.SPLITS`, or `keypoints.ALL`.
        truth: where the targets come from, one of `votes.TRUTHS`.
        frontality: float64[M], from `conditions.frontality_of`; None: without slices by pose.

    Raises:
        UsageError: there is no such split.
        TableError: no row can be judged.
        ValueError: there are more or fewer probabilities than faces.
    """
    rows = judged_rows(table, targets, split)
    part, label, unit = take(table, rows), targets.hard[rows], units(table)[rows]
    found, names, count = part.found, targets.labels, len(targets.labels)
    if probabilities.shape != (found.sum(), count):
        raise ValueError(f"probabilities{list(probabilities.shape)} for {found.sum()} faces and {count} labels")
    said = np.full(len(label), count)
    said[found] = probabilities.argmax(axis=1)
    confidence = np.zeros(len(label))
    confidence[found] = probabilities.max(axis=1)
    counts = metrics.confusion(label, said, count)
    support, answers, hits = counts.sum(axis=1), counts[:, :count].sum(axis=0), np.diagonal(counts)
    tally = metrics.tally(label, said, confidence, count)
    accuracy, macro_f1, ece = metrics.figures(tally.sum(axis=0), count).tolist()
    limits = metrics.intervals(unit, tally, lambda sums: metrics.figures(sums, count))
    right = said == label
    mistakes = np.flatnonzero(found & ~right)
    mistakes = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:WORST]

    def by_name(values: NDArray[Any]) -> dict[str, Any]:
        return dict(zip(names, values.tolist(), strict=True))

    return Scores(
        labels=names,
        split=split,
        truth=truth,
        rows=len(label),
        found=int(found.sum()),
        accuracy=accuracy,
        accuracy_interval=limits[0],
        accuracy_found=float(right[found].mean()) if found.any() else 0.0,
        macro_f1=macro_f1,
        macro_f1_interval=limits[1],
        majority_baseline=float(np.max(support) / len(label)),
        ece=ece,
        ece_interval=limits[2],
        negative_log_likelihood=metrics.negative_log_likelihood(probabilities, label[found]),
        recall=by_name(metrics.share(hits, support)),
        precision=by_name(metrics.share(hits, answers)),
        f1=by_name(metrics.f1(hits, support, answers)),
        support=by_name(support),
        confusion=counts.tolist(),
        reliability=metrics.reliability(confidence[found], right[found]),
        coverage=metrics.coverage(confidence[found], right[found], len(label)),
        slices=slices.by_slice(part, right, unit, frontality),
        engines=None,
        worst=tuple(
            Mistake(str(part.ids[row]), names[label[row]], names[said[row]], float(confidence[row])) for row in mistakes
        ),
    )


def rounded(value: Any) -> Any:
    """With every float cut to `DIGITS`, which is more than any evaluation can tell apart."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value
