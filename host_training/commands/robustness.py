"""`emotion-train robustness`: judge bundles on dark, blurred, noisy, half-covered and far-away faces."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse

DISTORTIONS, RANGE, ALL = "distortions", "range", "all"
"""Parts of the measurement."""
FACES = 100
"""Default number of faces of the range: with so many, an interval is at most 0.2 wide."""
SLOWEST = 10.0
"""Greatest slowdown: the search gets a share of at least 0.01 of a core."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Run the daemon's whole pipeline, face mesh and classifier, on the pictures of a split. A face that the mesh\n"
        "misses is an error. Several bundles are judged on the same pictures. There are two parts.\n\n"
        "distortions: the pictures as they are, and darkened, blurred, at a lower resolution or covered by a hand,\n"
        "each in the same way in every run.\n\n"
        "range: the faces, 16 to 240 px high, pasted into scenes without people and seen as a stream of 640x480 and\n"
        "1280x720, so that search and expression machine take part: how soon faces are found and whether they are\n"
        "read right. Expect half a minute of processor time a face."
    )
    parser.epilog = (
        "example: emotion-train robustness --bundle model/fused --data model/keypoints/ferplus.parquet \\\n"
        "             --pictures fer2013:fer2013.csv --part range --faces 100"
    )
    parser.add_argument(
        "--bundle", type=Path, action="append", required=True, metavar="DIR", help="model bundle; repeatable"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="TABLE", help="keypoint table")
    shared_arguments.add_pictures(parser, "its pictures are distorted, its faces pasted")
    parser.add_argument(
        "--part", choices=(DISTORTIONS, RANGE, ALL), default=DISTORTIONS, help="what to measure (default: %(default)s)"
    )
    parser.add_argument("--split", default="test", help="train, validation or test (default: %(default)s)")
    parser.add_argument(
        "--rows", type=int, metavar="N", help="number of rows to distort, drawn at random (default: all)"
    )
    parser.add_argument(
        "--faces",
        type=int,
        default=FACES,
        metavar="N",
        help="number of faces of the range, drawn at random (default: %(default)s)",
    )
    parser.add_argument(
        "--heights",
        metavar="PX,PX",
        help="heights of the faces of the range, such as 24,48 (default: 16 to 240)",
    )
    parser.add_argument(
        "--slowdown",
        type=float,
        default=1.0,
        metavar="K",
        help="show the range of a processor so many times slower than this one, whose search gets on less "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--scenes",
        type=Path,
        metavar="DIR",
        help="photographs without faces in which the range is measured (default: the two of scikit-learn)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for the figures; it keeps a part that is not measured"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, write, and print."""
    from edge.errors import UsageError
    from edge.face_mesh.models import cache_folder, find
    from host_training.data import tables
    from host_training.evaluation import face_range, robustness
    from host_training.importers.pictures import pictures_of
    from host_training.output import ensure_writable, write_text
    from host_training.reporting.report import read_json

    for name in ("rows", "faces"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name}: give 1 or more")
    if not 1 <= args.slowdown <= SLOWEST:
        raise UsageError(f"--slowdown: give 1 to {SLOWEST:g}")
    heights = face_range.HEIGHTS if args.heights is None else _heights(args.heights)
    document: dict[str, Any] = {}
    if args.out:
        ensure_writable(args.out)
        document = read_json(args.out) or {}
    table, notes = tables.load(args.data)
    print(*notes, sep="\n", end="\n" * bool(notes), file=sys.stderr)
    pictures = pictures_of(table, args.pictures)
    models = find([args.bundle[0] / "mesh", cache_folder()])
    texts = []
    if args.part in {DISTORTIONS, ALL}:
        distorted = robustness.measure(
            args.bundle, models, table, pictures, args.rows, split=args.split, command=_command(args, DISTORTIONS)
        )
        kept = {face_range.KEY: document[face_range.KEY]} if face_range.KEY in document else {}
        document = distorted.as_dict() | kept
        texts.append(distorted.text())
    if args.part in {RANGE, ALL}:
        ranged = face_range.measure(
            args.bundle,
            models,
            table,
            pictures,
            args.faces,
            split=args.split,
            scenes_folder=args.scenes,
            heights=heights,
            slowdown=args.slowdown,
            command=_command(args, RANGE),
        )
        document[face_range.KEY] = ranged.as_dict()
        texts.append(ranged.text())
    if args.out:
        write_text(args.out, json.dumps(document, indent=1) + "\n")
    print("\n\n".join(texts))
    return 0


def _heights(text: str) -> tuple[int, ...]:
    from edge.errors import UsageError
    from host_training.evaluation.face_range import ALLOWED

    try:
        heights = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        heights = ()
    if not heights or not ALLOWED[0] <= heights[0] <= heights[-1] <= ALLOWED[1]:
        raise UsageError(f"--heights {text}: give whole px from {ALLOWED[0]} to {ALLOWED[1]}, such as --heights 24,48")
    return heights


def _command(args: argparse.Namespace, part: str) -> str:
    from host_training.training.bundle import shown

    parts = [f"--bundle {shown(folder)}" for folder in args.bundle] + [f"--data {shown(args.data)}"]
    for text in args.pictures:
        name, _, path = text.partition(":")
        parts.append(f"--pictures {name}:{shown(Path(path))}")
    parts += [f"--split {args.split}"] if args.split != "test" else []
    if part == RANGE:
        parts += [f"--part {part}", f"--faces {args.faces}"]
        parts += [f"--heights {args.heights}"] if args.heights else []
        parts += [f"--slowdown {args.slowdown:g}"] if args.slowdown != 1 else []
        parts += [f"--scenes {shown(args.scenes)}"] if args.scenes else []
    elif args.rows:
        parts.append(f"--rows {args.rows}")
    return f"emotion-train robustness {' '.join(parts)}"
