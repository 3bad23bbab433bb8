"""`emotion-train export`: write a keypoint table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Write a keypoint table with plain columns, which any program can read: where a row comes from and whom it\n"
        "shows, its split, label and votes, and its 478 landmarks in px of the picture as x0, y0, z0 to x477, y477,\n"
        "z477 (in an npz file: one array, landmarks[row, point, xyz]). Unknown values are empty, as are the landmarks\n"
        "of rows without a face. Decisions made with `clean` are applied."
    )
    parser.epilog = "example: emotion-train export model/keypoints/ferplus.parquet --out ferplus.csv"
    parser.add_argument("table", type=Path, metavar="TABLE", help="keypoint table, made by `import`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: .parquet, .csv or .npz")


def run(args: argparse.Namespace) -> int:
    """Read and write."""
    from host_training.data import export, tables
    from host_training.output import ensure_writable

    export.ensure_kind(args.out)
    ensure_writable(args.out)
    table, notes = tables.load(args.table)
    print(*notes, sep="\n", end="\n" * bool(notes))
    export.write(table, args.out)
    print(f"wrote {len(table)} rows to {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0
