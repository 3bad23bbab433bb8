"""K-fold cross-validation with folds that share no person and no picture."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import UsageError
from edge.validation import as_json
from host_training.data.inputs import inputs_of
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.data.splits import folds, units
from host_training.progress import step
from host_training.training.fit import features_of, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.evaluation.scores import Scores
    from host_training.training.recipe import Recipe

FOLDS = 5
LEAST_FOLDS = 3
"""Minimum number of folds: one to evaluate, one to stop the training, and one to train on."""
FIGURES = ("accuracy", "accuracy_found", "macro_f1", "ece")
"""Scores of a fold that are averaged."""
DIGITS = 6
"""Decimals of the figures."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Scores on the rows of one fold."""

    rows: int
    accuracy: float
    accuracy_found: float
    macro_f1: float
    ece: float

    @classmethod
    def of(cls, scores: Scores) -> Fold:
        """Those of an evaluation."""
        return cls(scores.rows, **{name: round(float(getattr(scores, name)), DIGITS) for name in FIGURES})


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """The scores of a recipe over all folds."""

    command: str
    """Gives them again."""
    folds: tuple[Fold, ...]
    mean: Mapping[str, float]
    deviation: Mapping[str, float]
    """Standard deviation over the folds."""

    @classmethod
    def of(cls, folds: Sequence[Fold], command: str) -> CrossValidation:
        """Summarise two or more folds."""
        values = {name: np.array([getattr(fold, name) for fold in folds]) for name in FIGURES}
        return cls(
            command,
            tuple(folds),
            {name: round(float(each.mean()), DIGITS) for name, each in values.items()},
            {name: round(float(each.std(ddof=1)), DIGITS) for name, each in values.items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return as_json(self)


def cross_validated(
    table: Table, targets: Targets, recipe: Recipe, count: int = FOLDS, store: CropStore | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Train a network for each fold: the next fold stops the training, all others are trained on.

    The test rows take no part.

    Args:
        table: the rows.
        targets: of the rows.
        recipe: the knobs.
        count: K.
        store: the crop store of the table, if the network reads crops.

    Yields:
        The rows of a fold, int[N], and for those with a face, in their order, the probabilities, float32[M, C], of a
        network that was trained on no row of the same person or picture.

    Raises:
        UsageError: K is too small, or there are fewer people or pictures.
    """
    rows = np.flatnonzero(targets.usable & np.isin(table.split, (TRAIN, VALIDATION)))
    most = len(np.unique(units(table)[rows]))
    if not LEAST_FOLDS <= count <= most:
        raise UsageError(f"{count} folds: give {LEAST_FOLDS} to {most}, the number of people or pictures")
    with step(f"choosing {count} folds"):
        held_out = [rest for _, rest in folds(table, rows, targets.soft[rows].argmax(axis=1), count, recipe.seed)]
    inputs: Inputs | None = None
    for number, fold in enumerate(held_out):
        validation = held_out[(number + 1) % count]
        training = np.setdiff1d(rows, np.concatenate([fold, validation]))
        training, validation, judged = (part[table.found[part]] for part in (training, validation, fold))
        with step(f"fold {number + 1} of {count}: inputs"):
            features = features_of(table, targets, training, recipe)
            if inputs is None:
                inputs = inputs_of(features, table, rows[table.found[rows]], store)
            else:  # the crops stay; only the vectors depend on the training rows
                inputs = inputs.under(features, table)
        parts = {TRAIN: inputs.of(training), VALIDATION: inputs.of(validation)}
        fitted = fit(table, targets, recipe, features, parts, store=store, label=f"fold {number + 1} of {count}")
        yield fold, fitted.probabilities(inputs.of(judged))


def out_of_fold(table: Table, targets: Targets, recipe: Recipe) -> NDArray[np.float32]:
    """Probabilities by networks that were not trained on the row, float32[N, C]; NaN for rows that take no part."""
    probabilities = np.full((len(table), len(targets.labels)), np.nan, np.float32)
    for rows, of_fold in cross_validated(table, targets, recipe):
        probabilities[rows[table.found[rows]]] = of_fold
    return probabilities
