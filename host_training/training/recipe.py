"""The recipe of a model. `training.toml` beside this file holds every default, and why; a file may override any."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, get_type_hints

from edge.classifier.crop import SIZES
from edge.classifier.features import INPUTS
from edge.errors import ConfigError, NoInputError, UsageError
from host_training.data.labels import checked_labels
from host_training.data.landmark_sets import REGIONS
from host_training.data.votes import TRUTHS

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = "training.toml"
FUSIONS = LATE, EARLY = "late", "early"
"""How a network that sees landmarks and crop puts them together."""


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """`[features]`."""

    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BalanceSettings:
    """`[balance]`."""

    class_weight_power: float
    up_sampling: float
    down_sampling: float
    logit_adjustment: float


@dataclass(frozen=True, slots=True)
class AugmentationSettings:
    """`[augmentation]`."""

    mirror: bool
    noise: float
    pose_degrees: float
    stretch: float


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """`[network]`."""

    hidden: tuple[int, ...]
    dropout: float


@dataclass(frozen=True, slots=True)
class CropSettings:
    """`[crop]`."""

    teachers: int
    up_sampling: float
    size: int
    channels: tuple[int, ...]
    dropout: float
    distorted: float
    cut_out: float
    mix_up: float
    turn_degrees: float
    scale: float
    shift: float
    learning_rate: float
    weight_decay: float
    batch: int
    epochs: int


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """`[optimiser]`."""

    learning_rate: float
    weight_decay: float
    batch: int
    epochs: int
    patience: int


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The whole recipe."""

    name: str
    seed: int
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    fusion: str
    truth: str
    features: FeatureSettings
    balance: BalanceSettings
    augmentation: AugmentationSettings
    network: NetworkSettings
    optimiser: OptimiserSettings
    crop: CropSettings


def template() -> str:
    """The commented defaults, as TOML."""
    return resources.files("host_training.training").joinpath(DEFAULTS).read_text("utf-8")


def load(path: Path | None, overrides: dict[str, Any] | None = None) -> TrainSettings:
    """The defaults, or what a TOML file and a command's options make of them.

    Args:
        path: a TOML file with the keys that differ.
        overrides: what stands above the file, by dotted key, as in `network.hidden`.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is no TOML, or has an unknown key or a value of the wrong type or range.
    """
    values = _flat(tomllib.loads(template()))
    given: dict[str, Any] = {}
    if path is not None:
        try:
            given = _flat(tomllib.loads(path.read_text("utf-8")))
        except OSError as error:
            raise NoInputError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path}: not a TOML file ({error})") from error
    try:
        settings: TrainSettings = _build(TrainSettings, _over(values, given | (overrides or {})), "")
        _check(settings)
    except ConfigError as error:
        if path is None:
            raise
        raise ConfigError(f"{path}: {error}") from error
    return settings


def as_dict(settings: TrainSettings) -> dict[str, Any]:
    """For the report: nested as in the file."""
    return dataclasses.asdict(settings)


def value_of(settings: TrainSettings, key: str) -> Any:
    """What a dotted key stands for, as a TOML file has it."""
    return json.loads(json.dumps(_flat(as_dict(settings))[key]))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _over(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    unknown = [key for key in given if key not in values]
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r}; there are {', '.join(values)}")
    return values | given


def _build(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    fields: dict[str, Any] = {}
    for name, field in get_type_hints(kind).items():
        key = f"{prefix}{name}"
        if dataclasses.is_dataclass(field):
            fields[name] = _build(field, values, f"{key}.")
        else:
            fields[name] = _as(field, values[key])
            if fields[name] is None:
                raise ConfigError(f"{key} = {values[key]!r} is not of the right type, as in {_example(key)}")
    return kind(**fields)


def _as(kind: Any, value: Any) -> Any:
    """The value as the field wants it, or None. A whole number will do for a float, a bool for nothing else."""
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    item = {tuple[int, ...]: int, tuple[str, ...]: str}.get(kind)
    if item and isinstance(value, list | tuple) and all(type(part) is item for part in value):
        return tuple(value)
    return None


def _example(key: str) -> str:
    default = _flat(tomllib.loads(template()))[key]
    name = key.rpartition(".")[2]
    return f"{name} = {str(default).lower() if isinstance(default, bool) else repr(default)}"


def _check(settings: TrainSettings) -> None:
    """Refuse what cannot be trained."""
    regions = settings.features.regions
    unknown = [name for name in regions if name not in REGIONS]
    if unknown or not regions:
        raise ConfigError(f"features.regions: {(*unknown, 'nothing')[0]} is no region; there are {', '.join(REGIONS)}")
    if settings.inputs not in INPUTS:
        raise ConfigError(f"inputs: choose {' or '.join(','.join(each) for each in INPUTS)}")
    for key, sizes in (("network.hidden", settings.network.hidden), ("crop.channels", settings.crop.channels)):
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"{key}: give at least one layer, of at least one unit")
    if not settings.name or not settings.name.replace("-", "").isalnum():
        raise ConfigError("name: use letters, digits and hyphens")
    _check_choices(settings)
    try:
        checked_labels(settings.labels)
    except UsageError as error:
        raise ConfigError(f"labels: {error}") from error
    inf, below_one = math.inf, math.nextafter(1, 0)
    smallest = math.ulp(0)
    for key, low, high in (
        ("balance.class_weight_power", 0, inf),
        ("balance.up_sampling", 0, 1),
        ("balance.down_sampling", 0, 1),
        ("balance.logit_adjustment", 0, 1),
        ("augmentation.noise", 0, inf),
        ("augmentation.pose_degrees", 0, 90),
        ("augmentation.stretch", 0, 1),
        ("network.dropout", 0, below_one),
        ("optimiser.learning_rate", smallest, inf),
        ("optimiser.weight_decay", 0, inf),
        ("optimiser.batch", 1, inf),
        ("optimiser.epochs", 1, inf),
        ("optimiser.patience", 1, inf),
        ("crop.teachers", 0, inf),
        ("crop.up_sampling", 0, 1),
        ("crop.size", SIZES[0], SIZES[-1]),
        ("crop.dropout", 0, below_one),
        ("crop.distorted", 0, 1),
        ("crop.cut_out", 0, 1),
        ("crop.mix_up", 0, inf),
        ("crop.turn_degrees", 0, 90),
        ("crop.scale", 0, 1),
        ("crop.shift", 0, 1),
        ("crop.learning_rate", smallest, inf),
        ("crop.weight_decay", 0, inf),
        ("crop.batch", 2, inf),
        ("crop.epochs", 1, inf),
    ):
        table, name = key.split(".")
        value = getattr(getattr(settings, table), name)
        if not (low <= value <= high and math.isfinite(value)):
            raise ConfigError(f"{key} = {value}: {_range(low, high)}")


def _check_choices(settings: TrainSettings) -> None:
    for key, value, choices in (("fusion", settings.fusion, FUSIONS), ("truth", settings.truth, TRUTHS)):
        if value not in choices:
            raise ConfigError(f"{key}: choose one of {', '.join(choices)}")


def _range(low: float, high: float) -> str:
    least = "more than 0" if 0 < low < 1 else f"at least {low:g}"
    if high == math.inf:
        return f"must be {least}"
    return f"must be {least} and {'less than 1' if high < 1 else f'at most {high:g}'}"
