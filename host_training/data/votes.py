"""What people said about a picture, and what follows from it.

A data set gives each picture the votes of several people (FER+, Barsoum et al. 2016), one label, or both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The expressions that the project knows, in the order of FER+."""

NEUTRAL = LABELS[0]
"""What the others are told from, see `edge.classifier.baseline`."""

COLUMNS = (*LABELS, "unknown", "NF")
"""What could be voted for: an expression, `unknown`, or `NF`, no face."""

VOTES, OWN = "votes", "label"
TARGETS = (VOTES, OWN)
"""Where the truth about a row comes from: its votes, or its label where nobody voted; or its label alone."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a network should learn about the rows of a table, and what it is judged by."""

    labels: tuple[str, ...]
    """The C expressions in question, in the order of `LABELS`."""
    soft: NDArray[np.float32]
    """float32[N, C], a distribution over `labels`; all zero where a row teaches nothing."""
    hard: NDArray[np.intp]
    """int[N], an index into `labels`; 0 where `judged` is false."""
    judged: NDArray[np.bool_]
    """bool[N], whether a row has a label that an answer can be held against."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool[N], whether a row teaches something."""
        return np.asarray(self.soft.any(axis=1))

    def shows(self, label: str) -> NDArray[np.bool_]:
        """bool[N], whether a row has this label; none has where it is not in question."""
        at = self.labels.index(label) if label in self.labels else -1
        return np.asarray(self.judged & (self.hard == at))


def targets_of(table: Table, labels: Sequence[str] = LABELS, truth: str = VOTES) -> Targets:
    """The targets that a table gives.

    Args:
        table: the rows.
        labels: the expressions in question. Rows whose people mostly saw another one are left out: they are
            no examples of the rest.
        truth: one of `TARGETS`.

    Raises:
        UsageError: a label or the truth is unknown.
    """
    known = checked_labels(labels)
    if truth not in TARGETS:
        raise UsageError(f"{truth!r} is none of {', '.join(TARGETS)}")
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
    # More than half of what was said must be about the expressions in question.
    asked = soft[:, places].sum(axis=1)
    soft = np.where((asked > soft.sum(axis=1) / 2)[:, None], soft[:, places], 0)
    soft /= np.maximum(soft.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    position = np.full(len(COLUMNS), -1, np.intp)
    position[places] = np.arange(len(places))
    judged &= position[hard] >= 0
    return Targets(known, soft.astype(np.float32), np.where(judged, position[hard], 0), judged)


def checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels in the order of `LABELS`.

    Raises:
        UsageError: one is unknown or named twice, or there are fewer than two.
    """
    for name in labels:
        if name not in LABELS:
            raise UsageError(f"{name!r} is no label; there are {', '.join(LABELS)}")
    if len(set(labels)) != len(labels) or len(labels) < 2:  # noqa: PLR2004 - a choice wants two
        raise UsageError("name at least two labels, each once")
    return tuple(name for name in LABELS if name in labels)


def without_strays(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Votes, int64[N, 10], with every single vote set to 0: FER+ takes a lone vote for an outlier."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def majority(votes: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The FER+ majority protocol.

    Args:
        votes: uint8[N, 10] in the order of `COLUMNS`.

    Returns:
        The label with most votes, int[N], an index into `COLUMNS`; and whether the row takes part, bool[N]:
        its label is an expression and has more than half of the votes that are left without strays.
    """
    left = without_strays(votes)
    label = left.argmax(axis=1)
    taken = (left.max(axis=1) * 2 > left.sum(axis=1)) & (label < len(LABELS))
    return label, taken


def soft_targets(votes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The distribution of the votes over the expressions, float32[N, 8], and whether a row has any, bool[N].

    Rows without a vote for an expression are all zero.
    """
    left = without_strays(votes)[:, : len(LABELS)]
    total = left.sum(axis=1)
    return (left / np.maximum(total, 1)[:, None]).astype(np.float32), total > 0
