"""What other commands found about a bundle after its training, from the folder `evaluation/` beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from edge.errors import DataError, NoInputError
from edge.validation import build
from host_training.compare.results import Comparison
from host_training.evaluation import face_range
from host_training.evaluation.robustness import Robustness
from host_training.reporting.report import read_json
from host_training.training.folds import CrossValidation
from host_training.training.search import Trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.evaluation.face_range import Range

EVALUATION = "evaluation"
"""Name of the folder."""
FOLDS, TRIALS = "cross-validation.json", "trials.json"
"""Results of `emotion-train cross-validate` and `search` for a bundle's recipe; the names begin with that of the
bundle, as in `fused.trials.json`."""
COMPARISON, ROBUSTNESS = "comparison.json", "robustness.json"
"""Results of `emotion-train compare` and `robustness` for all bundles of a folder."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Findings:
    """Results that are there; None: the command has not run."""

    cross_validation: CrossValidation | None = None
    trials: Trials | None = None
    comparison: Comparison | None = None
    robustness: Robustness | None = None
    range: Range | None = None


def files_of(folder: Path, comparison: Path | None = None) -> dict[str, Path]:
    """The files that `read` looks for, by the field of `Findings`."""
    bundle = folder.absolute()
    place = bundle.parent / EVALUATION
    return {
        "cross_validation": place / f"{bundle.name}.{FOLDS}",
        "trials": place / f"{bundle.name}.{TRIALS}",
        "comparison": comparison or place / COMPARISON,
        "robustness": place / ROBUSTNESS,
    }


def read(folder: Path, comparison: Path | None = None) -> Findings:
    """The findings about a bundle.

    Args:
        folder: of the bundle.
        comparison: a comparison in another place; it must exist.

    Raises:
        NoInputError: a file cannot be read, or there is no such comparison.
        DataError: a file is not in the form of this version.
    """
    if comparison and not comparison.exists():
        raise NoInputError(f"{comparison}: does not exist; `emotion-train compare` makes it")
    files = files_of(folder, comparison)
    return Findings(
        cross_validation=_read(files["cross_validation"], lambda values: build(CrossValidation, values)),
        trials=_read(files["trials"], Trials.from_json),
        comparison=_read(files["comparison"], lambda values: build(Comparison, values)),
        robustness=_read(files["robustness"], _distortions_of),
        range=_read(files["robustness"], face_range.from_json),
    )


def _distortions_of(values: dict[str, Any]) -> Robustness | None:
    return build(Robustness, values) if values.keys() != {face_range.KEY} else None


def _read(path: Path, made: Callable[[dict[str, Any]], Found | None]) -> Found | None:
    values = read_json(path)
    if values is None:
        return None
    try:
        return made(values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not in the form of this version ({error}); make it again") from error
