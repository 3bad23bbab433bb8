"""`emotion-train crop`: make the crop store of a keypoint table."""

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
        "Cut the faces of a keypoint table out of their pictures, for networks that read crops: small and grey, with\n"
        "a margin, in one file. Don't publish that file: a table may be published, its pictures usually may not."
    )
    parser.epilog = "example: emotion-train crop --table model/keypoints/ferplus.parquet --pictures fer2013:fer2013.csv"
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="keypoint table")
    shared_arguments.add_pictures(parser, "the faces are cut out of it")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"crop store, *{SUFFIX} (default: in build/, named after the table)",
    )


def run(args: argparse.Namespace) -> int:
    """Cut the faces out, and write the store."""
    from edge.errors import UsageError
    from host_training.data import crops, parquet
    from host_training.importers.pictures import pictures_of
    from host_training.output import ensure_writable

    out = args.out or crops.path_of(args.table)
    if not out.name.endswith(crops.SUFFIX):
        raise UsageError(f"--out {out}: the name must end in {crops.SUFFIX}, which git ignores")
    table = parquet.read(args.table)
    ensure_writable(out)
    store = crops.build(table, pictures_of(table, args.pictures))
    crops.write(store, out)
    lacking = int((table.found & ~store.held).sum())
    if lacking:
        print(f"{lacking:,} faces of the table have no picture in these data sets; give the others too (--pictures)")
    print(f"wrote {out}: {int(store.held.sum()):,} faces ({out.stat().st_size / 1e6:.1f} MB); don't publish this file")
    return 0
