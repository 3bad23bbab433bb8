"""`report.json` of a bundle: the recipe that made it, and all that training measured."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.errors import DataError, NoInputError
from edge.validation import InvalidError, as_json, build
from host_training.data.counts import Rows  # noqa: TC001  likewise
from host_training.evaluation.scores import Scores, rounded
from host_training.reporting.side_by_side import SideBySide  # noqa: TC001  likewise
from host_training.training.bundle_files import REPORT
from host_training.training.parity import Parity  # noqa: TC001  likewise
from host_training.training.recipe import Recipe  # noqa: TC001  likewise

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of a network, one for each epoch."""

    loss: tuple[float, ...]
    """On the training rows."""
    val_loss: tuple[float, ...]
    """On the validation rows."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of the packed bundle."""

    validation: Scores
    test: Scores


@dataclass(frozen=True, slots=True)
class Report:
    """The whole file."""

    id: str
    """Of the bundle."""
    evaluate_command: str
    """Gives the test scores again."""
    recipe: Recipe
    notes: tuple[str, ...]
    """Changes made to the table before training."""
    data_sets: tuple[str, ...]
    """Names of the data sets in the table."""
    rows: Mapping[str, Rows]
    """By split."""
    counts: Mapping[str, Mapping[str, int]]
    """Judged rows by split and label."""
    kind: str
    """Type of the network: `int8`, or `float32` if parity does not hold."""
    parity: Parity
    inputs: tuple[str, ...]
    """One of `edge.classifier.features.INPUTS`."""
    parameters: int
    """Number of learned parameters."""
    crop_share: float | None
    """Share of the crop network in the sum; None: there is no sum."""
    bytes: int
    """Size of the network's file."""
    temperature: float
    losses: Mapping[str, Losses]
    """By the input of the network."""
    evaluation: Evaluation
    beside_released: tuple[SideBySide, ...] = ()
    """It and released models on the same test rows."""

    def to_json(self) -> str:
        """The text of the file."""
        values: dict[str, Any] = rounded(as_json(self))
        values["evaluation"] = {
            "validation": self.evaluation.validation.as_dict(),
            "test": self.evaluation.test.as_dict(),
        }
        return json.dumps(values, indent=1) + "\n"


def read(folder: Path) -> Report:
    """The report of a bundle.

    Raises:
        NoInputError: the bundle has none.
        DataError: it is not a report in the form of this version.
    """
    path = folder / REPORT
    values = read_json(path)
    if values is None:
        raise NoInputError(f"{path}: does not exist; `emotion-train train` makes bundles with a report")
    try:
        return build(Report, values)
    except InvalidError as error:
        raise DataError(f"{path}: {error}; train the model again") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no file.

    Raises:
        NoInputError: it cannot be read.
        DataError: it holds no JSON object.
    """
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error}); make it again") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds no JSON object; make it again")
    return values
