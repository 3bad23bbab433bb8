"""How good a bundle is: on rows nobody trained on, through the edge's own interpreter, missed faces as errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.errors import ConfigError
from host_training.errors import TableError
from host_training.keypoints import TEST
from host_training.votes import LABELS, majority

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.bundle import Bundle
    from edge.classifier import Classifier
    from host_training.keypoints import Table

PROTOCOL = (
    "FER+ majority: lone votes are dropped; a row takes part if an expression has more than half of the votes "
    "left; its label is that expression. A face that the mesh misses counts as an error."
)
BINS = 15
"""Of equal width, for the expected calibration error (Guo et al. 2017)."""
CHUNK = 256
"""Rows between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What an evaluation found. Shares, not per cent."""

    split: str
    rows: int
    found: int
    """Rows in which the mesh saw a face."""
    accuracy: float
    """Of all rows."""
    accuracy_found: float
    """Of the rows with a face found."""
    macro_f1: float
    """Mean over the labels that occur; missed faces lower the recall."""
    majority_baseline: float
    """Accuracy of always saying the most frequent label."""
    ece: float
    """Expected calibration error, over the faces found: a missed face has no confidence."""
    recall: dict[str, float]
    """By label; of a label that does not occur, 0."""
    precision: dict[str, float]
    """By label; of a label that is never said, 0."""
    confusion: list[list[int]]
    """Rows: what it is; columns: what was said, the last one `no face`."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"protocol": PROTOCOL, "labels": list(LABELS), **asdict(self)}

    def headline(self) -> dict[str, float]:
        """The figures that go with the model."""
        names = ("accuracy", "accuracy_found", "macro_f1", "majority_baseline", "ece")
        return {name: round(float(getattr(self, name)), 4) for name in names}

    def text(self) -> str:
        """For people."""
        missed = f"missed faces are errors; on faces found {self.accuracy_found:.4f}"
        always = f"always saying {LABELS[self._most]!r}: {self.majority_baseline:.4f}"
        lines = [
            f"{self.split}: {self.rows} rows, a face found in {self.found / self.rows:.2%}",
            f"accuracy {self.accuracy:.4f} ({missed}; {always})",
            f"macro-F1 {self.macro_f1:.4f}   expected calibration error {self.ece:.4f}",
            "",
            f"{'is / said':>10} " + " ".join(f"{name[:7]:>7}" for name in (*LABELS, "no face")) + "  recall",
        ]
        lines += [
            f"{name:>10} " + " ".join(f"{count:7d}" for count in row) + f"  {self.recall[name]:.3f}"
            for name, row in zip(LABELS, self.confusion, strict=True)
        ]
        return "\n".join(lines)

    @property
    def _most(self) -> int:
        return int(np.argmax([sum(row) for row in self.confusion]))


def evaluate(bundle: Bundle, table: Table, split: str = TEST) -> Scores:
    """Judge a bundle on one split of a table.

    Raises:
        ConfigError: the bundle knows other labels than the table.
        TableError: no row of the split takes part.
    """
    if bundle.labels != LABELS:
        raise ConfigError(f"{bundle.folder}: reads {', '.join(bundle.labels)}; the table has {', '.join(LABELS)}")
    label, taken = majority(table.votes)
    taken &= table.split == split
    if not taken.any():
        raise TableError(f"the table has no row of the {split} split that can be judged; take a larger one")
    found = table.found[taken]
    probabilities = classify(bundle.classifier, table.landmarks[taken][found])
    return score(probabilities, found, label[taken], split)


def classify(classifier: Classifier, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, float32[N, C], of faces, float32[N, 478, 3] px, as a device computes them."""
    parts = [np.zeros((0, len(LABELS)), np.float32)]
    with tqdm(total=len(landmarks), desc="classifying", unit=" faces", leave=False) as bar:
        for start in range(0, len(landmarks), CHUNK):
            parts.append(classifier.probabilities(landmarks[start : start + CHUNK]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def score(probabilities: NDArray[np.float32], found: NDArray[np.bool_], label: NDArray[np.intp], split: str) -> Scores:
    """Count.

    Args:
        probabilities: float32[M, 8] of the M rows with a face found, in their order.
        found: bool[N], M of them true.
        label: int[N], an index into `LABELS`.
        split: which rows these are.
    """
    count = len(LABELS)
    said = np.full(len(label), count)
    said[found] = probabilities.argmax(axis=1)
    confusion = np.zeros((count, count + 1), np.int64)
    np.add.at(confusion, (label, said), 1)
    hits = np.diagonal(confusion)
    is_, says = confusion.sum(axis=1), confusion[:, :count].sum(axis=0)
    f1 = 2 * hits / np.maximum(is_ + says, 1)
    right = said == label
    return Scores(
        split=split,
        rows=len(label),
        found=int(found.sum()),
        accuracy=float(right.mean()),
        accuracy_found=float(right[found].mean()) if found.any() else 0.0,
        macro_f1=float(f1[is_ > 0].mean()),
        majority_baseline=float(np.max(is_) / len(label)),
        ece=calibration_error(probabilities, right[found]),
        recall=dict(zip(LABELS, (hits / np.maximum(is_, 1)).tolist(), strict=True)),
        precision=dict(zip(LABELS, (hits / np.maximum(says, 1)).tolist(), strict=True)),
        confusion=confusion.tolist(),
    )


def calibration_error(probabilities: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: by how much confidence and accuracy differ, over bins of confidence.

    Args:
        probabilities: float32[M, C].
        right: bool[M], whether the most likely label was right.
    """
    if not len(probabilities):
        return 0.0
    confidence = probabilities.max(axis=1)
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(place, confidence - right, BINS)
    return float(np.abs(gap).sum() / len(confidence))
