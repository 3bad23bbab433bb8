"""Suspects: rows whose label is probably wrong, by the predictions of networks that were not trained on the row.

The score of a label, computed by cleanlab, is its margin: how much more probable it is than any other label. If one
person labelled a picture, only the network decides about the score. This finds the errors in FER2013's own labels well:
of the 200 most doubtful, FER+'s ten voters contradict 85 %, and in 78 % they agree with the network; of all labels they
contradict 32 %.

If several people voted, CROWDLAB (Goh et al. 2022) weighs the network against each of them, so that one network does
not overrule nine people: on FER+ it counts as four. FER+ tells how many people voted for what, but not who, so its
votes are assigned to columns at random, which gives each voter the same weight. Some photos are in FER+ several times,
each with votes of its own; among those it finds the copy with the odd label better than the network alone (area under
the ROC curve 0.84 against 0.73).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from cleanlab.multiannotator import get_label_quality_multiannotator
from cleanlab.rank import get_label_quality_scores

from host_training.data.labels import LABELS
from host_training.data.votes import VOTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets

METHOD = "normalized_margin"
"""Score of a label, by cleanlab's name."""
DOUBTFUL = 0.5
"""Score below which another label is more probable than the given one."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is in doubt."""

    row: int
    """Row of the table."""
    given: str
    """Label of the row, one of `labels.LABELS`."""
    predicted: str
    """Label that the network predicts."""
    confidence: float
    """Probability of the predicted label, 0..1."""
    score: float
    """Score of the given label, from 0, certainly wrong, to `DOUBTFUL`."""


def rank(table: Table, targets: Targets, probabilities: NDArray[np.float32], truth: str) -> list[Suspect]:
    """The rows with a doubtful label, the most doubtful first.

    Args:
        table: the rows.
        targets: their labels.
        probabilities: float32[N, C], of networks that were not trained on the row; NaN for rows that take no part.
        truth: the source of the labels, one of `votes.TRUTHS`.
    """
    taken = np.isfinite(probabilities[:, 0]) & targets.judged
    votes = table.votes[:, [LABELS.index(name) for name in targets.labels]].astype(np.intp)
    voted = taken & (votes.sum(axis=1) > 1) & (truth == VOTES)
    sure = probabilities.astype(np.float64)
    sure /= sure.sum(axis=1, keepdims=True)  # cleanlab requires a sum of exactly 1
    score = np.ones(len(table))
    alone = taken & ~voted
    if alone.any():
        score[alone] = get_label_quality_scores(targets.hard[alone], sure[alone], method=METHOD)
    if voted.any():
        score[voted] = _crowd_scores(votes[voted], sure[voted])
    order = np.argsort(score, kind="stable")
    predicted = np.argmax(np.nan_to_num(probabilities), axis=1)
    return [
        Suspect(
            row,
            targets.labels[targets.hard[row]],
            targets.labels[predicted[row]],
            float(probabilities[row, predicted[row]]),
            float(score[row]),
        )
        for row in order[score[order] < DOUBTFUL].tolist()
    ]


def _crowd_scores(votes: NDArray[np.intp], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """CROWDLAB's scores of the majority labels, float64[M], from votes, int[M, C]."""
    count, labels = int(np.max(votes.sum(axis=1))), votes.shape[1]
    # Each row's votes one by one, in the order of the labels; then shuffled, with missing votes last.
    single = (votes.cumsum(axis=1)[:, None] <= np.arange(count)[:, None]).sum(axis=2)
    key = np.where(single < labels, np.random.default_rng(0).random(single.shape), 1)
    dealt = np.take_along_axis(single, key.argsort(axis=1), axis=1).astype(np.float64)
    dealt[dealt == labels] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a label without rows
        quality = get_label_quality_multiannotator(
            dealt,
            probabilities,
            consensus_method="majority_vote",
            return_detailed_quality=False,
            return_annotator_stats=False,
            label_quality_score_kwargs={"method": METHOD},
            verbose=False,
        )
    return np.asarray(quality["label_quality"]["consensus_quality_score"], np.float64)
