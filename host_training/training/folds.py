"""K-fold cross-validation, the folds disjoint by person and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from host_training.data.inputs import inputs_of
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.splits import folds, units
from host_training.training.fit import features_of, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import TrainSettings

FOLDS = 5
LEAST_FOLDS = 3
"""One to judge by, one to stop the training by, and one to learn from."""


def cross_validated(
    table: Table, targets: Targets, settings: TrainSettings, count: int = FOLDS, store: CropStore | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Train a network for each fold on all the others but one, which stops it.

    The test rows take no part.

    Args:
        table: the rows.
        targets: what they teach.
        settings: the recipe.
        count: K.
        store: the crop store of the table, if the network reads crops.

    Yields:
        The rows of a fold, int[N], and for those with a face found, in their order, the probabilities,
        float32[M, C], of a network that has seen neither them nor another row of their persons and pictures.

    Raises:
        UsageError: K is too small, or there are not that many persons or pictures.
    """
    rows = np.flatnonzero(targets.usable & np.isin(table.split, (TRAIN, VALIDATION)))
    there = len(np.unique(units(table)[rows]))
    if not LEAST_FOLDS <= count <= there:
        raise UsageError(f"{count} folds: at least {LEAST_FOLDS}, and no more than the {there} persons or pictures")
    held_out = [rest for _, rest in folds(table, rows, targets.soft[rows].argmax(axis=1), count, settings.seed)]
    inputs: Inputs | None = None
    for number, fold in enumerate(held_out):
        watched = held_out[(number + 1) % count]
        learnt = np.setdiff1d(rows, np.concatenate([fold, watched]))
        learnt, watched, judged = (part[table.found[part]] for part in (learnt, watched, fold))
        features = features_of(table, targets, learnt, settings)
        if inputs is None:
            inputs = inputs_of(features, table, rows[table.found[rows]], store)
        else:  # the crops stay, and only the vectors depend on the rows that are learnt from
            inputs = inputs.under(features, table)
        parts = {TRAIN: inputs.of(learnt), VALIDATION: inputs.of(watched)}
        fitted = fit(table, targets, settings, features, parts, store=store, label=f"fold {number + 1} of {count}")
        yield fold, fitted.probabilities(inputs.of(judged))


def out_of_fold(table: Table, targets: Targets, settings: TrainSettings) -> NDArray[np.float32]:
    """What networks say to rows that they have not seen, float32[N, C]; NaN where a row takes no part."""
    said = np.full((len(table), len(targets.labels)), np.nan, np.float32)
    for rows, probabilities in cross_validated(table, targets, settings):
        said[rows[table.found[rows]]] = probabilities
    return said
