"""`emotion-train search`: try recipes, and store the figures of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_training.commands import recipe_arguments

if TYPE_CHECKING:
    import argparse

SHOWN = 10
"""Number of trials to print, the best ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Try recipes from a space of knobs, and judge each on the validation split. The file keeps all trials, and "
        "none is tried again; after a Ctrl-C the same command resumes."
    )
    parser.epilog = (
        "example: emotion-train search --table model/keypoints/ferplus.parquet --trials 20 --out build/trials.json"
    )
    recipe_arguments.add(parser, crops=True)
    parser.add_argument(
        "--space",
        type=Path,
        metavar="FILE",
        help="TOML file: knob = [values], or any name = [tables of knobs] (default: the kit's)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--trials", type=int, default=20, metavar="N", help="number of random trials (default: %(default)s)"
    )
    which.add_argument(
        "--one-by-one",
        action="store_true",
        help="try the recipe as it is, and then with each value of the space, instead of random trials",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="number of trials at a time (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file for the figures")


def run(args: argparse.Namespace) -> int:
    """Run the trials, and write the file after each."""
    from edge.errors import UsageError
    from host_training.data import tables
    from host_training.output import write_text
    from host_training.training import search
    from host_training.training.bundle import shown

    if args.trials < 1 or args.workers < 1:
        raise UsageError("--trials and --workers must be at least 1")
    recipe = recipe_arguments.recipe(args)
    values = search.space(args.space)
    trials = search.read(args.out).trials
    wanted = search.one_by_one(values, recipe) if args.one_by_one else search.drawn(values, args.trials, recipe.seed)
    known = {search.key_of(each.knobs) for each in trials}
    ahead = [each for each in wanted if search.key_of(each) not in known]
    table, _ = tables.load(args.table)
    fixed: dict[str, Any] = {
        "labels": list(recipe.labels),
        "inputs": list(recipe.inputs),
        "truth": recipe.truth,
        "seed": recipe.seed,
    }
    store = recipe_arguments.crop_store(args, recipe, table)
    space = f" --space {shown(args.space)}" if args.space else ""
    how = "--one-by-one" if args.one_by_one else f"--trials {args.trials}"
    command = f"emotion-train search {recipe_arguments.spelled(args)}{space} {how}"
    for trial in search.run(table, args.recipe, fixed, ahead, store=store, workers=args.workers):
        trials = tuple(sorted([*trials, trial], key=lambda each: -each.validation["accuracy"]))
        write_text(args.out, json.dumps(search.Trials(command, trials).as_dict(), indent=1) + "\n")
    for trial in trials[:SHOWN]:
        figures = "   ".join(f"{name} {value:.4f}" for name, value in trial.validation.items())
        print(f"{figures}\n    {search.key_of(trial.knobs)}")
    print(f"{len(trials)} trials in {args.out}. The best of many looks better than it is; confirm it: `cross-validate`")
    return 0
