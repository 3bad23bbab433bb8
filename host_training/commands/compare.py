"""`emotion-train compare`: other kinds of classifier on the same rows, side by side."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_training.commands import recipe_arguments, shared_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from host_training.compare.contender import Contender
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe

BACKBONES = ("VGG16", "VGG19", "ResNet50", "MobileNet")
KNOWN = ("majority", "logistic", "original", "measures", "ours", *BACKBONES)
DEFAULT = (*KNOWN[:5], "MobileNet")
"""Contenders if neither --only nor --backbone names others."""


class _Weights(argparse.Action):
    """`--weights` belongs to the `--backbone` before it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        if not namespace.backbone:
            parser.error("--weights FILE: put the network's --backbone before it, as in --backbone MobileNet")
        namespace.weights = {**(namespace.weights or {}), namespace.backbone[-1]: values}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Train other kinds of classifier on the same rows and judge all alike: the majority class, logistic\n"
        "regression, the usual keypoint classifier, boosted trees on named measures of the face, our network, and\n"
        "image networks by transfer learning. An image network needs the pictures that the table was made of, and\n"
        "a file of its ImageNet weights (without the top), linked at https://keras.io/api/applications. If either is\n"
        "missing, the network is not trained, and its row says why."
    )
    parser.epilog = (
        "example: emotion-train compare --table model/keypoints/ferplus.parquet --seeds 3 --out build/comparison\n"
        "         emotion-train compare --table faces.parquet --pictures fer2013:fer2013.npz \\\n"
        "             --backbone MobileNet --weights mobilenet_1_0_224_tf_no_top.h5 --only ours,MobileNet"
    )
    recipe_arguments.add(parser)
    parser.add_argument("--only", metavar="NAME,...", help=f"contenders to train, of {', '.join(KNOWN)}")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="number of trainings of each (default: %(default)s)"
    )
    shared_arguments.add_pictures(parser, "image networks read its pictures")
    parser.add_argument("--backbone", action="append", choices=BACKBONES, help="image network to train; repeatable")
    parser.add_argument(
        "--weights",
        action=_Weights,
        type=Path,
        metavar="FILE",
        help="weights of the --backbone before it: .h5 or .keras",
    )
    parser.add_argument(
        "--cnn-epochs",
        type=int,
        default=10,
        metavar="N",
        help="epochs for the head, and again for the last block (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json and comparison.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, and write the results after every contender."""
    from edge.errors import UsageError
    from host_training.compare import comparison, results_text
    from host_training.compare.results import Comparison
    from host_training.data import counts, tables
    from host_training.data.votes import targets_of
    from host_training.output import ensure_writable, write_text
    from host_training.training.versions import versions

    if args.seeds < 1 or args.cnn_epochs < 1:
        raise UsageError("--seeds and --cnn-epochs must be at least 1")
    names = _names(args)
    recipe = recipe_arguments.recipe(args)
    if args.out:
        ensure_writable(args.out / "comparison.json")
    table, notes = tables.load(args.table)
    targets = targets_of(table, recipe.labels, recipe.truth)
    contenders = _contenders(args, names, recipe, table, targets)
    seeds = [recipe.seed + index for index in range(args.seeds)]
    results = [comparison.not_run(contender, "interrupted before its turn") for contender in contenders]
    found = Comparison(
        command=_spelled(args),
        rows=counts.by_split(table, targets),
        notes=tuple(notes),
        labels=targets.labels,
        truth=recipe.truth,
        seeds=tuple(seeds),
        libraries=versions("scikit-learn"),
        contenders=tuple(results),
    )
    for index, result in enumerate(comparison.compare(table, targets, recipe.truth, contenders, seeds)):
        results[index] = result
        found = replace(found, contenders=tuple(results))
        if args.out:
            write_text(args.out / "comparison.json", json.dumps(found.as_dict(), indent=1) + "\n")
            write_text(args.out / "comparison.md", results_text.markdown(found))
    print(json.dumps(found.as_dict(), indent=1) if args.json else results_text.table(found).rstrip("\n"))
    return 0


def _names(args: argparse.Namespace) -> list[str]:
    from edge.errors import UsageError
    from host_training.words import unknown

    wanted = args.only.split(",") if args.only else [*DEFAULT[:5], *(args.backbone or DEFAULT[5:])]
    for name in wanted:
        if name not in KNOWN:
            raise UsageError(f"--only: {unknown('contender', name, KNOWN)}")
    return [name for name in KNOWN if name in wanted]


def _contenders(
    args: argparse.Namespace, names: Sequence[str], recipe: Recipe, table: Table, targets: Targets
) -> list[Contender]:
    from host_training.compare import baselines, boosted, cnn, original, ours
    from host_training.compare.crops import Pictures
    from host_training.importers.pictures import pictures_of

    wanted = bool(args.pictures) and not set(names).isdisjoint(BACKBONES)
    pictures = Pictures(table, pictures_of(table, args.pictures)) if wanted else None
    ids = table.ids[targets.judged & table.found].tolist()
    make: dict[str, Callable[[], Contender]] = {
        "majority": baselines.majority,
        "logistic": lambda: baselines.logistic(recipe.features.regions),
        "original": original.original,
        "measures": boosted.boosted,
        "ours": lambda: ours.ours(recipe),
    }
    weights = args.weights or {}
    return [
        make[name]() if name in make else cnn.cnn(name, weights.get(name), pictures, ids, args.cnn_epochs)
        for name in names
    ]


def _spelled(args: argparse.Namespace) -> str:
    """The command line, without folders of this machine."""
    from host_training.training.bundle import shown

    parts = [f"emotion-train compare {recipe_arguments.spelled(args)}"]
    parts += [f"--only {args.only}"] if args.only else []
    parts += [f"--seeds {args.seeds}"] if args.seeds > 1 else []
    for text in args.pictures:
        name, _, path = text.partition(":")
        parts.append(f"--pictures {name}:{shown(Path(path))}")
    for name in args.backbone or []:
        parts.append(f"--backbone {name}")
        parts += [f"--weights {shown(args.weights[name])}"] if name in (args.weights or {}) else []
    parts += [f"--cnn-epochs {args.cnn_epochs}"] if args.backbone else []
    parts += [f"--out {shown(args.out)}"] if args.out else []
    return " ".join(parts)
