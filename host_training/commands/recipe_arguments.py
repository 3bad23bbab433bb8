"""The options that say which rows and which recipe: the same for every command that trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from host_training.training.settings import TrainSettings


def add(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("--table", type=Path, required=True, metavar="TABLE", help="made by `import`")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML with other than the default knobs")
    parser.add_argument("--labels", metavar="A,B,...", help="read these expressions only")
    parser.add_argument("--truth", choices=("votes", "label"), help="votes (else the label), or the label alone")
    parser.add_argument("--seed", type=int, help="other than the settings'")


def settings(args: argparse.Namespace) -> TrainSettings:
    """The recipe that file and options give.

    Raises:
        UsageError: a label is unknown.
        NoInputError, ConfigError: see `settings.load`.
    """
    from host_training.data.votes import checked_labels
    from host_training.training import settings as module

    given: dict[str, Any] = {"truth": args.truth, "seed": args.seed}
    given["labels"] = checked_labels(args.labels.split(",")) if args.labels else None
    return module.load(args.settings, {key: value for key, value in given.items() if value is not None})


def spelled(args: argparse.Namespace) -> str:
    """The options as they would be typed, folders of this machine left out."""
    from host_training.training.bundle import shown

    parts = [f"--table {shown(args.table)}"]
    parts += [f"--settings {shown(args.settings)}"] if args.settings else []
    parts += [
        f"--{name} {getattr(args, name)}" for name in ("labels", "truth", "seed") if getattr(args, name) is not None
    ]
    return " ".join(parts)
