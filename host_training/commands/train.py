"""`emotion-train train`: train a classifier, and pack it as a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import recipe_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "example: emotion-train train --table model/keypoints/ferplus.parquet --out model/fused\n"
        "         emotion-train recipe > mine.toml"
    )
    recipe_arguments.add(parser, crops=True)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the bundle; replaced if it exists"
    )


def run(args: argparse.Namespace) -> int:
    """Train, evaluate and pack."""
    from host_training import build
    from host_training.data import tables
    from host_training.training import bundle
    from host_training.training.naming import named

    recipe = recipe_arguments.recipe(args)
    table, notes = tables.load(args.table)
    print(*notes, sep="\n", end="\n" * bool(notes))
    recipe = named(recipe, table)
    command = f"emotion-train train {recipe_arguments.spelled(args)} --out {bundle.shown(args.out)}"
    store = recipe_arguments.crop_store(args, recipe, table)
    origin = build.Origin(args.table, command, tuple(notes), args.crops if store else None)
    print(build.run(table, recipe, args.out, origin, store))
    return 0
