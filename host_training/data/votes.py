"""From votes and labels to training targets.

A data set gives each picture the votes of several people (FER+, Barsoum et al. 2016), one label, or both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from host_training.data.labels import LABELS, VOTE_COLUMNS, checked_labels
from host_training.words import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

VOTES, LABEL = "votes", "label"
TRUTHS = (VOTES, LABEL)
"""Sources of the truth about a row: its votes, or its label if nobody voted; or its label alone."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a network is trained on and judged by, for the N rows of a table."""

    labels: tuple[str, ...]
    """The C labels in question, in the order of `LABELS`."""
    soft: NDArray[np.float32]
    """float32[N, C], soft labels: a distribution over `labels`. All zero if the row is not for training."""
    hard: NDArray[np.intp]
    """int[N], an index into `labels`; 0 where `judged` is false."""
    judged: NDArray[np.bool_]
    """bool[N], whether the row has one clear label to compare a prediction with."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool[N], whether the row can be used for training."""
        return np.asarray(self.soft.any(axis=1))

    def shows(self, label: str) -> NDArray[np.bool_]:
        """bool[N], whether the row has this label; false everywhere if the label is not in question."""
        at = self.labels.index(label) if label in self.labels else -1
        return np.asarray(self.judged & (self.hard == at))


def targets_of(table: Table, labels: Sequence[str] = LABELS, truth: str = VOTES) -> Targets:
    """The targets of a table's rows.

    Args:
        table: the rows.
        labels: the labels in question. A row most of whose votes are for other labels is left out: it is not an example
            of these.
        truth: one of `TRUTHS`.

    Raises:
        UsageError: a label or the truth is unknown.
    """
    known = checked_labels(labels)
    if truth not in TRUTHS:
        raise UsageError(unknown("truth", truth, TRUTHS))
    places = [LABELS.index(name) for name in known]
    named = table.label >= 0
    soft = np.zeros((len(table), len(LABELS)), np.float32)
    soft[named, table.label[named]] = 1
    hard, judged = table.label.astype(np.intp), named.copy()
    if truth == VOTES:
        voted = table.votes.any(axis=1)
        winner, clear = majority(table.votes)
        soft[voted] = soft_targets(table.votes)[0][voted]
        hard[voted], judged[voted] = winner[voted], clear[voted]
    # More than half of the votes must be for the labels in question.
    asked = soft[:, places].sum(axis=1)
    soft = np.where((asked > soft.sum(axis=1) / 2)[:, None], soft[:, places], 0)
    soft /= np.maximum(soft.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    position = np.full(len(VOTE_COLUMNS), -1, np.intp)
    position[places] = np.arange(len(places))
    judged &= position[hard] >= 0
    return Targets(known, soft.astype(np.float32), np.where(judged, position[hard], 0), judged)


def applied(truth: str, table: Table, rows: NDArray[np.intp]) -> str:
    """The truth that was used for some rows, int[M], of a table: `LABEL` if nobody voted on any of them."""
    return truth if table.votes[rows].any() else LABEL


def without_outliers(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Votes, int64[N, 10], with every single vote set to 0: FER+ takes a lone vote for an outlier."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def majority(votes: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The FER+ majority protocol.

    Args:
        votes: uint8[N, 10] in the order of `VOTE_COLUMNS`.

    Returns:
        int[N], the choice with most votes, an index into `VOTE_COLUMNS`.
        bool[N], whether the row takes part: this choice is an expression and has more than half of the votes that
        remain without outliers.
    """
    left = without_outliers(votes)
    label = left.argmax(axis=1)
    taken = (left.max(axis=1) * 2 > left.sum(axis=1)) & (label < len(LABELS))
    return label, taken


def soft_targets(votes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The shares of the votes that each expression has, float32[N, 8], and whether a row has any, bool[N].

    Rows without a vote for an expression are all zero.
    """
    left = without_outliers(votes)[:, : len(LABELS)]
    total = left.sum(axis=1)
    return (left / np.maximum(total, 1)[:, None]).astype(np.float32), total > 0
