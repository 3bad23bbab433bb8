"""Every knob of training, with the reason for its value. A TOML file may override any of them."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from edge.errors import ConfigError, NoInputError
from host_training.landmark_sets import REGIONS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The recipe of one model; the defaults are those of the released one, chosen on the validation split."""

    name: str = "ferplus-landmarks"
    """First part of the bundle's id."""
    seed: int = 1
    """Same seed, same table, same libraries, same processor family: same weights."""
    regions: tuple[str, ...] = ("lips", "eyes", "brows", "irises", "nose", "oval")
    """Landmarks that the network sees, see `landmark_sets.REGIONS`."""
    hidden: tuple[int, ...] = (192, 96)
    """Units of the hidden layers."""
    dropout: float = 0.1
    """Share of hidden units that are silenced at a time. A network as small as this hardly overfits."""
    noise: float = 0.05
    """Jitter of each coordinate, in standard deviations over the training rows."""
    class_weight_power: float = 0.4
    """A row counts as its labels' frequency to minus this power: rare expressions are heard."""
    learning_rate: float = 2e-3
    """Of AdamW at the start; it falls to nothing along a cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    batch: int = 512
    """Rows a step."""
    epochs: int = 40
    """Passes over the training rows, at most."""
    patience: int = 12
    """Epochs without a better validation loss after which training stops; the best weights are kept."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ConfigError: a value is out of its range.
        """
        unknown = [name for name in self.regions if name not in REGIONS]
        if unknown or not self.regions:
            raise ConfigError(f"regions: {(*unknown, 'nothing')[0]} is no region; there are {', '.join(REGIONS)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError("hidden: give at least one layer, of at least one unit")
        for key in ("batch", "epochs", "patience"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: must be at least 1")
        for key in ("noise", "weight_decay", "class_weight_power"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise ConfigError(f"{key}: must be 0 or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout: must be at least 0 and less than 1")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError("learning_rate: must be more than 0")
        if not self.name or not self.name.replace("-", "").isalnum():
            raise ConfigError("name: use letters, digits and hyphens")


def load(path: Path | None) -> TrainSettings:
    """The defaults, or what a TOML file makes of them.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is no TOML, or has an unknown key or a value of the wrong type or range.
    """
    if path is None:
        return TrainSettings()
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a TOML file ({error})") from error
    kinds = get_type_hints(TrainSettings)
    for key, value in given.items():
        if key not in kinds:
            raise ConfigError(f"{path}: unknown key {key!r}; there are {', '.join(kinds)}")
        given[key] = _as(kinds[key], value)
        if given[key] is None:
            raise ConfigError(f"{path}: {key} = {value!r} is not of the right type, as in {_example(key)}")
    try:
        return TrainSettings(**given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _as(kind: Any, value: Any) -> Any:
    """The value as the field wants it, or None. A whole number will do for a float, a bool for nothing."""
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, str) and type(value) is kind:
        return value
    item = {tuple[int, ...]: int, tuple[str, ...]: str}.get(kind)
    if item and isinstance(value, list) and all(type(part) is item for part in value):
        return tuple(value)
    return None


def _example(key: str) -> str:
    default = getattr(TrainSettings(), key)
    return f"{key} = {list(default) if isinstance(default, tuple) else default!r}"


def as_dict(settings: TrainSettings) -> dict[str, Any]:
    """For the report."""
    return dataclasses.asdict(settings)
