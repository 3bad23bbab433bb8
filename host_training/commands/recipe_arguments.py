"""The options for the rows and the recipe, which are the same for every command that trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.training.recipe import Recipe


def add(parser: argparse.ArgumentParser, *, crops: bool = False) -> None:
    """Declare the options.

    Args:
        parser: of the command.
        crops: whether the command can train networks that read crops; other commands train on landmarks alone.
    """
    parser.add_argument("--table", type=Path, required=True, metavar="TABLE", help="keypoint table, made by `import`")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="TOML file with the knobs that differ from the default recipe"
    )
    parser.add_argument("--labels", metavar="A,B,...", help="recognise these expressions only")
    parser.add_argument(
        "--truth",
        choices=("votes", "label"),
        help="truth of a row: its votes (its label if it has none), or its label alone",
    )
    parser.add_argument("--seed", type=int, help="random seed, instead of the recipe's")
    if crops:
        parser.add_argument("--inputs", metavar="A,B", help="inputs of the network: landmarks, crop, or both")
        parser.add_argument("--crops", type=Path, metavar="FILE", help="the crop store, made by `crop`")


def recipe(args: argparse.Namespace) -> Recipe:
    """The recipe from its file and the options.

    Raises:
        UsageError: a label is unknown, or the command cannot train what the recipe asks for.
        NoInputError, ConfigError: see `recipe.load`.
    """
    from edge.classifier.features import CROP_INPUT
    from edge.errors import UsageError
    from host_training.data.labels import checked_labels
    from host_training.training.recipe import load

    given: dict[str, Any] = {"truth": args.truth, "seed": args.seed, "name": getattr(args, "name", None)}
    given["labels"] = checked_labels(args.labels.split(",")) if args.labels else None
    given["inputs"] = args.inputs.split(",") if getattr(args, "inputs", None) else None
    loaded = load(args.recipe, {key: value for key, value in given.items() if value is not None})
    if CROP_INPUT in loaded.inputs and not hasattr(args, "crops"):
        raise UsageError(f"{args.command} trains on landmarks alone; leave {CROP_INPUT} out of the recipe's inputs")
    return loaded


def crop_store(args: argparse.Namespace, recipe: Recipe, table: Table) -> CropStore | None:
    """The crop store of the table, if the recipe's network reads crops.

    Raises:
        UsageError: it does, and no store was given.
        NoInputError, DataError: see `crops.read`.
    """
    from edge.classifier.features import CROP_INPUT
    from edge.errors import UsageError
    from host_training.data.crops import read
    from host_training.data.inputs import NO_CROPS

    if CROP_INPUT not in recipe.inputs:
        return None
    if args.crops is None:
        raise UsageError(NO_CROPS)
    return read(args.crops, table)


def spelled(args: argparse.Namespace) -> str:
    """The options as text, without folders of this machine."""
    from host_training.training.bundle import shown

    parts = [f"--table {shown(args.table)}"]
    parts += [f"--recipe {shown(args.recipe)}"] if args.recipe else []
    parts += [
        f"--{name} {getattr(args, name)}"
        for name in ("labels", "truth", "seed", "inputs", "name")
        if getattr(args, name, None) is not None
    ]
    parts += [f"--crops {shown(args.crops)}"] if getattr(args, "crops", None) else []
    return " ".join(parts)
