"""`comparison.json`: what became of the contenders."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass
from typing import Any

from edge.validation import as_json
from host_training.data.counts import Rows  # noqa: TC001  likewise
from host_training.evaluation.metrics import Interval  # noqa: TC001  likewise


@dataclass(frozen=True, slots=True)
class Figures:
    """Scores on a split, 0 to 1, means over the seeds."""

    accuracy: float
    """Missed faces are errors."""
    accuracy_found: float
    """On faces found."""
    macro_f1: float
    ece: float
    """Expected calibration error on faces found."""
    accuracy_interval: Interval
    """95 %, by bootstrap over people and pictures."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of scores over the seeds."""

    accuracy: float
    accuracy_found: float
    macro_f1: float
    ece: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """Standard deviations by split."""

    validation: Spread
    test: Spread


@dataclass(frozen=True, slots=True)
class Result:
    """One contender. All that follows `why_not` is None if it did not run."""

    name: str
    about: str
    learned_from: str
    why_not: str | None = None
    """Why it did not run; None: it ran."""
    parameters: int | None = None
    """Number of learned parameters."""
    bytes: int | None = None
    """Of these as 32-bit numbers."""
    seconds: float | None = None
    """Training time, mean over the seeds."""
    seeds: int | None = None
    """Number of trainings; 1 if it does not depend on a seed."""
    validation: Figures | None = None
    test: Figures | None = None
    deviation: Deviation | None = None
    """None for a single training."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole file."""

    command: str
    """Gives it again."""
    rows: Mapping[str, Rows]
    """By split."""
    notes: tuple[str, ...]
    """Changes made to the table before."""
    labels: tuple[str, ...]
    truth: str
    """One of `votes.TRUTHS`."""
    seeds: tuple[int, ...]
    libraries: Mapping[str, str]
    """Versions."""
    contenders: tuple[Result, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return as_json(self)
