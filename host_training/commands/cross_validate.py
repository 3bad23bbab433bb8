"""`emotion-train cross-validate`: k-fold cross-validation of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import recipe_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Cross-validate a recipe on the training and validation rows. Each person or picture is in one fold "
        "only. The fold after the one that is judged decides when to stop the training. Test rows are not used."
    )
    parser.epilog = (
        "example: emotion-train cross-validate --table model/keypoints/ferplus.parquet --folds 5 --out cv.json"
    )
    recipe_arguments.add(parser, crops=True)
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="number of folds (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the figures")


def run(args: argparse.Namespace) -> int:
    """Judge every fold; print mean and deviation."""
    from host_training.data import tables
    from host_training.data.keypoints import ALL, take
    from host_training.data.votes import targets_of
    from host_training.evaluation.scores import score
    from host_training.output import write_text
    from host_training.training.folds import FIGURES, CrossValidation, Fold, cross_validated

    recipe = recipe_arguments.recipe(args)
    table, _ = tables.load(args.table)
    store = recipe_arguments.crop_store(args, recipe, table)
    targets = targets_of(table, recipe.labels, recipe.truth)
    folds = []
    for rows, probabilities in cross_validated(table, targets, recipe, args.folds, store):
        part = take(table, rows)
        truth = targets_of(part, recipe.labels, recipe.truth)
        fold = Fold.of(score(probabilities[truth.judged[part.found]], part, truth, ALL, truth=recipe.truth))
        folds.append(fold)
        print(f"fold {len(folds)}: " + "   ".join(f"{name} {getattr(fold, name):.4f}" for name in FIGURES))
    command = f"emotion-train cross-validate {recipe_arguments.spelled(args)} --folds {args.folds}"
    found = CrossValidation.of(folds, command)
    for name in FIGURES:
        print(f"{name}: {found.mean[name]:.4f} ± {found.deviation[name]:.4f}")
    if args.out:
        write_text(args.out, json.dumps(found.as_dict(), indent=1) + "\n")
    return 0
