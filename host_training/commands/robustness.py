"""`emotion-train robustness`: judge bundles on dark, blurred, noisy, small and half-covered faces."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Run the daemon's whole pipeline, face mesh and classifier, on the pictures of the test rows: as they are,\n"
        "and darkened, blurred, scaled down or covered by a hand, each in the same way in every run. A face that the\n"
        "mesh misses is an error. Several bundles are judged on the same pictures."
    )
    parser.epilog = (
        "example: emotion-train robustness --bundle model/fused --data model/keypoints/ferplus.parquet \\\n"
        "             --pictures fer2013:fer2013.csv --rows 300"
    )
    parser.add_argument(
        "--bundle", type=Path, action="append", required=True, metavar="DIR", help="model bundle; repeatable"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="TABLE", help="keypoint table")
    shared_arguments.add_pictures(parser, "its pictures are distorted")
    parser.add_argument("--rows", type=int, metavar="N", help="number of test rows, drawn at random (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the figures")


def run(args: argparse.Namespace) -> int:
    """Measure, write, and print."""
    from edge.errors import UsageError
    from edge.face_mesh.models import cache_folder, find
    from host_training.data import tables
    from host_training.evaluation import robustness
    from host_training.importers.pictures import pictures_of
    from host_training.output import ensure_writable, write_text

    if args.rows is not None and args.rows < 1:
        raise UsageError("--rows: give 1 or more")
    if args.out:
        ensure_writable(args.out)
    table, notes = tables.load(args.data)
    print(*notes, sep="\n", end="\n" * bool(notes), file=sys.stderr)
    pictures = pictures_of(table, args.pictures)
    models = find([args.bundle[0] / "mesh", cache_folder()])
    found = robustness.measure(args.bundle, models, table, pictures, args.rows, command=_command(args))
    if args.out:
        write_text(args.out, json.dumps(found.as_dict(), indent=1) + "\n")
    print(found.text())
    return 0


def _command(args: argparse.Namespace) -> str:
    from host_training.training.bundle import shown

    parts = [f"--bundle {shown(folder)}" for folder in args.bundle] + [f"--data {shown(args.data)}"]
    for text in args.pictures:
        name, _, path = text.partition(":")
        parts.append(f"--pictures {name}:{shown(Path(path))}")
    parts += [f"--rows {args.rows}"] if args.rows else []
    return f"emotion-train robustness {' '.join(parts)}"
