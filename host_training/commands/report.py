"""`emotion-train report`: write the report of a bundle, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Write the report of a bundle as one HTML page without scripts: figures with their intervals, confusion,\n"
        "calibration, slices, worst mistakes, data, recipe, limits. It includes the results of `cross-validate`,\n"
        "`search`, `compare` and `robustness`, if the folder evaluation/ beside the bundle NAME has them, as\n"
        "NAME.cross-validation.json, NAME.trials.json, comparison.json and robustness.json."
    )
    parser.epilog = (
        "example: emotion-train report --bundle model/fused --table model/keypoints/ferplus.parquet "
        "--out build/report.html"
    )
    shared_arguments.add_bundle(parser)
    parser.add_argument(
        "--table",
        type=Path,
        metavar="TABLE",
        help="keypoint table on which it was evaluated, to draw its worst mistakes",
    )
    parser.add_argument("--comparison", type=Path, metavar="FILE", help="made by `compare` (default: see above)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML file to write")
    parser.add_argument(
        "--card", action="store_true", help="update the model card in the bundle, and its hash in the manifest"
    )
    shared_arguments.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page, the card, or both."""
    from edge.bundle import bundle as bundles
    from edge.errors import UsageError
    from host_training.data import tables
    from host_training.output import write_text
    from host_training.reporting import card, findings, model_page, report
    from host_training.training.bundle_files import CARD, ensure_replaceable, write_card

    if args.out is None and not args.card:
        raise UsageError("give --out FILE for the page, --card for the model card, or both")
    if args.card:
        ensure_replaceable(args.bundle, force=args.force)
    table = tables.load(args.table)[0] if args.table else None
    bundle = bundles.load(args.bundle)
    about, found = report.read(args.bundle), findings.read(args.bundle, args.comparison)
    if args.card:
        write_card(args.bundle, card.text(about, bundle.manifest.provenance, found))
        print(f"wrote {args.bundle / CARD}")
        bundle = bundles.load(args.bundle)  # its manifest has the new hash
    if args.out:
        write_text(args.out, model_page.text(bundle, about, found, table))
        print(f"wrote {args.out}")
    return 0
