"""`emotion-train train`: train a classifier, and pack it as a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import recipe_arguments, shared_arguments

if TYPE_CHECKING:
    import argparse

MODELS = Path("build/models")
"""Default of --models."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "example: emotion-train train --table model/keypoints/ferplus.parquet --name mine\n"
        "         emotion-train recipe > mine.toml"
    )
    recipe_arguments.add(parser, crops=True)
    parser.add_argument("--name", help="first part of the bundle's id, instead of the recipe's name")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--models",
        type=Path,
        default=MODELS,
        metavar="DIR",
        help="folder of your bundles: the new one is DIR/NAME, replaced if it exists, and DIR/latest leads to it; "
        "`make deploy` takes that to devices (default: %(default)s)",
    )
    where.add_argument("--out", type=Path, metavar="DIR", help="folder of the bundle, instead; replaced if it exists")
    shared_arguments.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate and pack."""
    from edge.bundle import locate
    from host_training import build
    from host_training.data import tables
    from host_training.training import bundle
    from host_training.training.bundle_files import ensure_replaceable
    from host_training.training.naming import named
    from host_training.training.trained import TrainedBundles

    recipe = recipe_arguments.recipe(args)
    table, notes = tables.load(args.table)
    print(*notes, sep="\n", end="\n" * bool(notes))
    recipe = named(recipe, table)
    out = args.out or TrainedBundles(args.models).folder(recipe.name)
    ensure_replaceable(out, force=args.force)
    options = [f"--out {bundle.shown(args.out)}"] if args.out else []
    command = " ".join(["emotion-train train", recipe_arguments.spelled(args), *options, *["--force"] * args.force])
    store = recipe_arguments.crop_store(args, recipe, table)
    origin = build.Origin(args.table, command, tuple(notes), args.crops if store else None)
    released = [locate.released() / name for name in (locate.FUSED, locate.LANDMARKS)]
    print(build.run(table, recipe, out, origin, store, beside=released))
    if args.out is None:
        TrainedBundles(args.models).set_latest(out)
    print(f"\n{_next(out, latest=args.out is None)}")
    return 0


def _next(out: Path, *, latest: bool) -> str:
    """What to do with the new bundle: in a checkout with make, else with the programs themselves."""
    from edge import hints

    if hints.checkout() == Path.cwd():
        steps = {
            "to try it": f"make run ARGS='--model {out}'",
            "to take it to devices": f"make deploy HOSTS=pi@livingroom.local{'' if latest else f' BUNDLE={out}'}",
        }
    else:
        steps = {"to try it": f"emotion-edge run --watch --local-broker --model {out}"}
    steps["to use it on this machine"] = f"sudo emotion-edge model install {out}"
    width = max(map(len, steps)) + 1
    return "\n".join(f"{f'{what}:':<{width}}  {command}" for what, command in steps.items())
