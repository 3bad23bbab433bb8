"""The expressions that the kit knows, and what people could vote for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import UsageError
from host_training.words import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""Expressions, in the order of FER+ (Barsoum et al. 2016)."""

NEUTRAL = LABELS[0]
"""Expression that a person's neutral baseline is made of, see `edge.classifier.baseline`."""

VOTE_COLUMNS = (*LABELS, "unknown", "NF")
"""Choices of a FER+ voter: an expression, `unknown`, or `NF`, which means no face."""


def checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels in the order of `LABELS`.

    Raises:
        UsageError: a label is unknown or given twice, or there are fewer than two.
    """
    for name in labels:
        if name not in LABELS:
            raise UsageError(unknown("label", name, LABELS))
    if len(set(labels)) != len(labels) or len(labels) < 2:  # noqa: PLR2004 - a classifier needs two to choose from
        raise UsageError("give at least two labels, each of them once")
    return tuple(name for name in LABELS if name in labels)
