"""`emotion-train describe`: count the content of a keypoint table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-train describe model/keypoints/ferplus.parquet"
    parser.add_argument("table", type=Path, metavar="TABLE", help="keypoint table, made by `import` or `merge`")


def run(args: argparse.Namespace) -> int:
    """Count, and print Markdown."""
    from host_training.data import tables
    from host_training.reporting import describe

    table, notes = tables.load(args.table)
    print(*notes, sep="\n", end="\n\n" * bool(notes))
    print(describe.text(table), end="")
    return 0
