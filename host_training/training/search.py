"""Search over recipes, judged on the validation split: at random (Bergstra and Bengio 2012), or a knob at a time."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from edge.errors import ConfigError, NoInputError
from host_training.errors import SourceError
from host_training.training import recipe as settings_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.training.recipe import TrainSettings

FIGURES = ("accuracy", "accuracy_found", "macro_f1", "ece", "negative_log_likelihood")
Knobs = dict[str, Any]
"""Dotted key of the recipe -> value."""


def space(path: Path | None) -> dict[str, list[Any]]:
    """The values to choose from, by dotted key; None: those that come with the kit.

    Where several knobs belong together, the key is any name, and each choice is a table of them.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is no TOML, a key is unknown, or a value is none that the recipe takes.
    """
    try:
        text = (
            path.read_text("utf-8")
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
                settings_module.load(None, _knobs(key, choice))
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
    return values


def drawn(values: dict[str, list[Any]], count: int, seed: int) -> list[Knobs]:
    """Different combinations, drawn; fewer than asked for where there are no more."""
    rng = np.random.default_rng(seed)
    most = int(np.prod([len(choices) for choices in values.values()], dtype=np.float64))
    drawn_: dict[str, Knobs] = {}
    seen: set[tuple[int, ...]] = set()
    # Two combinations may come to the same where a table names a knob that has values of its own, too.
    while len(drawn_) < count and len(seen) < most:
        at = tuple(int(rng.integers(len(choices))) for choices in values.values())
        seen.add(at)
        chosen = [_knobs(key, choices[place]) for place, (key, choices) in zip(at, values.items(), strict=True)]
        knobs = {key: value for each in chosen for key, value in each.items()}
        drawn_.setdefault(key_of(knobs), knobs)
    return list(drawn_.values())


def one_by_one(values: dict[str, list[Any]], settings: TrainSettings) -> list[Knobs]:
    """The recipe as it is, and then with each value of each knob in turn."""
    changes = [_knobs(key, choice) for key, choices in values.items() for choice in choices]
    fit = {key: settings_module.value_of(settings, key) for change in changes for key in change}
    changed = ({**fit, **change} for change in changes)
    return list({key_of(knobs): knobs for knobs in (fit, *changed)}.values())


def _knobs(key: str, choice: Any) -> Knobs:
    return choice if isinstance(choice, dict) else {key: choice}


def key_of(knobs: Knobs) -> str:
    """The same for the same knobs."""
    return json.dumps(knobs, sort_keys=True)


def run(
    table: Table,
    base: Path | None,
    overrides: Knobs,
    trials: list[Knobs],
    *,
    store: CropStore | None = None,
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """Train and judge every trial; the test rows take no part.

    Args:
        table: the rows.
        base: the settings file that the trials differ from.
        overrides: knobs that are the same for all.
        trials: from `drawn` or `one_by_one`.
        store: the crop store of the table, if a network reads crops.
        workers: processes. Every one takes all cores it can get, so more than one helps little on a small machine.

    Yields:
        `settings` and `validation` of each, in the order in which they were given.
    """
    jobs = (delayed(_judge)(table, base, {**overrides, **knobs}, store) for knobs in trials)
    done = Parallel(n_jobs=workers, return_as="generator")(jobs)
    for knobs, figures in zip(trials, tqdm(done, total=len(trials), desc="trials"), strict=True):
        yield {"settings": knobs, "validation": figures}


def _judge(table: Table, base: Path | None, knobs: Knobs, store: CropStore | None) -> dict[str, float]:
    from host_training.data.keypoints import VALIDATION
    from host_training.data.votes import targets_of
    from host_training.evaluation.scores import score
    from host_training.training import fit

    settings = settings_module.load(base, knobs)
    targets = targets_of(table, settings.labels, settings.truth)
    features, inputs = fit.prepare(table, targets, settings, store)
    fitted = fit.fit(table, targets, settings, features, inputs, store=store)
    said = fitted.probabilities(inputs[VALIDATION][targets.judged[inputs[VALIDATION].rows]])
    scores = score(said, table, targets, VALIDATION, truth=settings.truth).as_dict()
    return {name: scores[name] for name in FIGURES}


def read(path: Path) -> list[dict[str, Any]]:
    """The trials that a file holds; none where there is no file.

    Raises:
        SourceError: it is there, and something else.
    """
    try:
        trials = json.loads(path.read_text("utf-8"))["trials"]
        return [{"settings": dict(each["settings"]), "validation": dict(each["validation"])} for each in trials]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: holds no trials; give another --out") from error
