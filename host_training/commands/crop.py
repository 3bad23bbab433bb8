"""`emotion-train crop`: the pictures of a table's faces, in a store of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from host_training.data.crops import SUFFIX

    parser.description = (
        "Cut the faces of a keypoint table out of their pictures, for networks that look at pixels: small, grey, with\n"
        "a margin, in one file. It is for this machine alone. A table may be published, its pictures as a rule not."
    )
    parser.epilog = "example: emotion-train crop --table model/keypoints/ferplus.parquet --pictures fer2013:fer2013.csv"
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="the keypoint table")
    shared_arguments.add_pictures(parser, "what faces are cut out of")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"the store, *{SUFFIX} (default: in build/, called after the table)",
    )


def run(args: argparse.Namespace) -> int:
    """Cut, write, and say what is in it."""
    from edge.errors import UsageError
    from host_training.data import crops, parquet
    from host_training.importers.pictures import pictures_of
    from host_training.output import ensure_writable

    out = args.out or crops.path_of(args.table)
    if not out.name.endswith(crops.SUFFIX):
        raise UsageError(f"--out {out}: its name must end in {crops.SUFFIX}, which git is told to leave out")
    table = parquet.read(args.table)
    ensure_writable(out)
    store = crops.build(table, pictures_of(table, args.pictures))
    crops.write(store, out)
    lacking = int((table.found & ~store.held).sum())
    if lacking:
        print(f"{lacking:,} faces of the table have no picture in these data sets; give the others too (--pictures)")
    print(f"wrote {out}: {int(store.held.sum()):,} faces ({out.stat().st_size / 1e6:.1f} MB); don't publish it")
    return 0
