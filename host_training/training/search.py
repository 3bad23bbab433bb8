"""Search over recipes by their validation scores: at random (Bergstra & Bengio 2012), or one knob at a time."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from edge.errors import ConfigError, NoInputError
from host_training.errors import SourceError
from host_training.training import recipe as recipes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.training.recipe import Recipe

FIGURES = ("accuracy", "accuracy_found", "macro_f1", "ece", "negative_log_likelihood")
Knobs = dict[str, Any]
"""Values of a recipe by dotted key."""


def space(path: Path | None) -> dict[str, list[Any]]:
    """The values to choose from, by dotted key; None: those that come with the kit.

    If several knobs belong together, the key is any name, and each choice is a table of them.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is not TOML, a key is unknown, or a value is not allowed.
    """
    try:
        text = (
            path.read_text("utf-8-sig")
            if path
            else resources.files("host_training.training").joinpath("search.toml").read_text()
        )
        values = tomllib.loads(text)
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a TOML file ({error})") from error
    for key, choices in values.items():
        if not isinstance(choices, list) or not choices:
            raise ConfigError(f"{path}: {key}: give a list of values to choose from, with the key in quotes")
        for choice in choices:
            try:
                recipes.load(None, _knobs(key, choice))
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
    return values


def drawn(values: dict[str, list[Any]], count: int, seed: int) -> list[Knobs]:
    """Different combinations, drawn at random: `count` of them, or all if there are fewer."""
    rng = np.random.default_rng(seed)
    most = int(np.prod([len(choices) for choices in values.values()], dtype=np.float64))
    drawn_: dict[str, Knobs] = {}
    seen: set[tuple[int, ...]] = set()
    # Two combinations can be equal, if a table has a knob that also has values of its own.
    while len(drawn_) < count and len(seen) < most:
        at = tuple(int(rng.integers(len(choices))) for choices in values.values())
        seen.add(at)
        chosen = [_knobs(key, choices[place]) for place, (key, choices) in zip(at, values.items(), strict=True)]
        knobs = {key: value for each in chosen for key, value in each.items()}
        drawn_.setdefault(key_of(knobs), knobs)
    return list(drawn_.values())


def one_by_one(values: dict[str, list[Any]], recipe: Recipe) -> list[Knobs]:
    """The recipe as it is, then with each value of each knob in turn."""
    changes = [_knobs(key, choice) for key, choices in values.items() for choice in choices]
    fit = {key: recipes.value_of(recipe, key) for change in changes for key in change}
    changed = ({**fit, **change} for change in changes)
    return list({key_of(knobs): knobs for knobs in (fit, *changed)}.values())


def _knobs(key: str, choice: Any) -> Knobs:
    return choice if isinstance(choice, dict) else {key: choice}


def key_of(knobs: Knobs) -> str:
    """A key that is equal for equal knobs."""
    return json.dumps(knobs, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Trial:
    """A recipe that was tried."""

    knobs: Knobs
    """Those in which the trials differ."""
    validation: dict[str, float]
    """`FIGURES` on the validation split."""


@dataclass(frozen=True, slots=True)
class Trials:
    """The content of a file of trials."""

    command: str
    """Makes them again; empty: unknown."""
    trials: tuple[Trial, ...]

    @classmethod
    def from_json(cls, values: Any) -> Trials:
        """Raises `LookupError`, `TypeError` or `ValueError` if they are in another form."""
        trials = (Trial(dict(each["knobs"]), dict(each["validation"])) for each in values["trials"])
        return cls(str(values.get("command", "")), tuple(trials))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"command": self.command, "trials": [asdict(each) for each in self.trials]}


def run(
    table: Table,
    base: Path | None,
    overrides: Knobs,
    trials: list[Knobs],
    *,
    store: CropStore | None = None,
    workers: int = 1,
) -> Iterator[Trial]:
    """Train and score every trial; the test rows take no part.

    Args:
        table: the rows.
        base: the recipe file that the trials change.
        overrides: knobs that are the same for all.
        trials: from `drawn` or `one_by_one`.
        store: the crop store of the table, if a network reads crops.
        workers: number of processes. Each uses all cores, so more than one helps little on a small machine.

    Yields:
        Each, in the given order.
    """
    jobs = (delayed(_validated)(table, base, {**overrides, **knobs}, store) for knobs in trials)
    done = Parallel(n_jobs=workers, return_as="generator")(jobs)
    for knobs, figures in zip(trials, tqdm(done, total=len(trials), desc="trials"), strict=True):
        yield Trial(knobs, figures)


def _validated(table: Table, base: Path | None, knobs: Knobs, store: CropStore | None) -> dict[str, float]:
    from host_training.data.keypoints import VALIDATION
    from host_training.data.votes import targets_of
    from host_training.evaluation.scores import score
    from host_training.training import fit

    recipe = recipes.load(base, knobs)
    targets = targets_of(table, recipe.labels, recipe.truth)
    features, inputs = fit.prepare(table, targets, recipe, store)
    fitted = fit.fit(table, targets, recipe, features, inputs, store=store)
    probabilities = fitted.probabilities(inputs[VALIDATION][targets.judged[inputs[VALIDATION].rows]])
    scores = score(probabilities, table, targets, VALIDATION, truth=recipe.truth).as_dict()
    return {name: scores[name] for name in FIGURES}


def read(path: Path) -> Trials:
    """The trials in a file; none if there is no file.

    Raises:
        SourceError: it holds something else.
    """
    try:
        return Trials.from_json(json.loads(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        return Trials("", ())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SourceError(f"{path}: holds no trials; give another --out") from error
