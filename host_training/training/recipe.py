"""The recipe of a model: every knob of training. `recipe.toml` has the defaults and their reasons."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

from edge.classifier.crop import SIZES
from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT
from edge.errors import ConfigError, NoInputError
from edge.validation import Between, InvalidError, Items, Matching, OneOf, build, update
from host_training.data.labels import LABELS
from host_training.data.landmark_sets import REGIONS
from host_training.data.votes import TRUTHS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULTS = "recipe.toml"
FUSIONS = LATE, EARLY = "late", "early"
"""How a model that sees landmarks and crop combines them."""

Share = Annotated[float, Between(0, 1)]
Dropout = Annotated[float, Between(0, 1, high_allowed=False)]
NotNegative = Annotated[float, Between(0)]
Positive = Annotated[float, Between(0, low_allowed=False)]
Degrees = Annotated[float, Between(0, 90, "degrees")]
Count = Annotated[int, Between(1)]
Layers = Annotated[tuple[Count, ...], Items(1)]


@dataclass(frozen=True, slots=True)
class FeatureKnobs:
    """`[features]`."""

    regions: Annotated[tuple[Annotated[str, OneOf(tuple(REGIONS))], ...], Items(1)]


@dataclass(frozen=True, slots=True)
class BalanceKnobs:
    """`[balance]`."""

    class_weight_power: NotNegative
    up_sampling: Share
    down_sampling: Share
    logit_adjustment: Share


@dataclass(frozen=True, slots=True)
class AugmentationKnobs:
    """`[augmentation]`."""

    mirror: bool
    noise: NotNegative
    pose_degrees: Degrees
    stretch: Share


@dataclass(frozen=True, slots=True)
class NetworkKnobs:
    """`[network]`."""

    hidden: Layers
    dropout: Dropout


@dataclass(frozen=True, slots=True)
class OptimiserKnobs:
    """`[optimiser]`."""

    learning_rate: Positive
    weight_decay: NotNegative
    batch: Count
    epochs: Count
    patience: Count


@dataclass(frozen=True, slots=True)
class CropKnobs:
    """`[crop]`."""

    teachers: Annotated[int, Between(0)]
    up_sampling: Share
    size: Annotated[int, Between(SIZES[0], SIZES[-1], "px")]
    channels: Layers
    dropout: Dropout
    distorted: Share
    cut_out: Share
    mix_up: NotNegative
    turn_degrees: Degrees
    scale: Share
    shift: Share
    learning_rate: Positive
    weight_decay: NotNegative
    batch: Annotated[int, Between(2)]
    epochs: Count


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe."""

    name: Annotated[str, Matching("[A-Za-z0-9-]*[A-Za-z0-9][A-Za-z0-9-]*", "letters, digits and hyphens")]
    seed: int
    labels: Annotated[tuple[Annotated[str, OneOf(LABELS)], ...], Items(2, distinct=True)]
    """In the order of `LABELS`."""
    inputs: Annotated[tuple[Annotated[str, OneOf((LANDMARKS_INPUT, CROP_INPUT))], ...], Items(1, distinct=True)]
    """One of `edge.classifier.features.INPUTS`."""
    fusion: Annotated[str, OneOf(FUSIONS)]
    truth: Annotated[str, OneOf(TRUTHS)]
    features: FeatureKnobs
    balance: BalanceKnobs
    augmentation: AugmentationKnobs
    network: NetworkKnobs
    optimiser: OptimiserKnobs
    crop: CropKnobs


def template() -> str:
    """The commented defaults, as TOML."""
    return resources.files("host_training.training").joinpath(DEFAULTS).read_text("utf-8")


def load(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The defaults, changed by a TOML file and then by a command's options.

    Args:
        path: a TOML file with the keys that differ.
        overrides: values that take precedence over the file, by dotted key, as in `network.hidden`.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is not TOML, or has an unknown key or a value that is not allowed.
    """
    recipe = build(Recipe, tomllib.loads(template()))
    if path is not None:
        try:
            recipe = update(recipe, tomllib.loads(path.read_text("utf-8-sig")))
        except OSError as error:
            raise NoInputError(f"{path}: {error.strerror}") from error
        except InvalidError as error:
            raise ConfigError(f"{path}: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{path}: not a TOML file ({error})") from error
    try:
        for dotted, value in (overrides or {}).items():
            section, dot, key = dotted.partition(".")
            recipe = update(recipe, {section: {key: value} if dot else value})
    except InvalidError as error:
        raise ConfigError(str(error)) from None
    # Both have one order in a bundle, in whichever order a file names them.
    return dataclasses.replace(
        recipe,
        labels=tuple(name for name in LABELS if name in recipe.labels),
        inputs=tuple(name for name in (LANDMARKS_INPUT, CROP_INPUT) if name in recipe.inputs),
    )


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """For JSON: nested as in the file."""
    return dataclasses.asdict(recipe)


def value_of(recipe: Recipe, key: str) -> Any:
    """The value of a dotted key, as a TOML file has it."""
    return json.loads(json.dumps(flat(as_dict(recipe))[key]))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
