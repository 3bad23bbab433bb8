"""`emotion-train report`: all that is known of a bundle, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Write what is known of a bundle as one HTML page without scripts: figures with their intervals, confusion,\n"
        "calibration, slices, worst mistakes, data, recipe, limits. It includes what `cross-validate`, `search`,\n"
        "`compare` and `robustness` found, if that lies in the folder evaluation/ beside the bundle NAME: as\n"
        "NAME.cross-validation.json, NAME.trials.json, comparison.json and robustness.json."
    )
    parser.epilog = (
        "example: emotion-train report --bundle model/fused --table model/keypoints/ferplus.parquet "
        "--out build/report.html"
    )
    shared_arguments.add_bundle(parser)
    parser.add_argument(
        "--table", type=Path, metavar="TABLE", help="the rows it was judged on, to draw its worst mistakes"
    )
    parser.add_argument("--comparison", type=Path, metavar="FILE", help="made by `compare` (default: see above)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page; replaced if there")
    parser.add_argument("--card", type=Path, metavar="FILE", help="write the model card too, with what is on the page")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from host_training.data import tables
    from host_training.reporting import report

    table = tables.load(args.table)[0] if args.table else None
    report.write(args.bundle, table, args.out, comparison=args.comparison, model_card=args.card)
    print(f"wrote {args.out}")
    return 0
