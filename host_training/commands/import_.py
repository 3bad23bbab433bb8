"""`emotion-train import`: measure a data set, and write a keypoint table."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    from collections import Counter

    from host_training.data.keypoints import Table
    from host_training.data.source import Options, Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from host_training.data.keypoints import SPLITS
    from host_training.data.labels import LABELS
    from host_training.importers import IMPORTERS

    width = max(map(len, IMPORTERS))
    parser.description = (
        "Measure the faces of a data set with the daemon's own face mesh, on every core, and write a keypoint table.\n"
        "A run that was stopped, by Ctrl-C or otherwise, resumes when the same command runs again.\n\n"
        "NAME is one of\n" + "\n".join(f"  {name:{width}}  {module.SUMMARY}" for name, module in IMPORTERS.items())
    )
    parser.epilog = (
        "A person or picture is never in two splits: where a data set has it in two, its training rows are left out.\n"
        f"LABEL is one of {', '.join(LABELS)}.\n\n"
        "--cluster hands the pictures to the workers of a Dask scheduler: `dask scheduler` on one machine,\n"
        "`dask worker tcp://HOST:8786` on each. All need this version of emotion-edge with the extras train and\n"
        "cluster, the mesh models (`emotion-edge model fetch`), and the image files at the same absolute path as on\n"
        "this machine. Whoever reaches a scheduler can run programs there, so keep it in a network that you trust.\n\n"
        "example: emotion-train import fer2013 fer2013.csv --ferplus fer2013new.csv --out ferplus.parquet\n"
        "         emotion-train import folder pictures --label smile=happiness --label blurred=- --out mine.parquet\n"
        "         emotion-train import folder frames --subject-pattern '^[^/]+/(\\d+)_' --out mine.parquet"
    )
    parser.add_argument("name", metavar="NAME", choices=tuple(IMPORTERS), help="the data set, see above")
    parser.add_argument("path", metavar="PATH", type=Path, help="its file or folder")
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="Parquet file to write")
    parser.add_argument("--ferplus", type=Path, metavar="FILE", help="FER+'s votes for FER2013, fer2013new.csv")
    shared_arguments.add_label(parser, "the data set")
    parser.add_argument(
        "--split", choices=SPLITS, default="", help="put all rows into this split, whatever the data set says"
    )
    people = parser.add_mutually_exclusive_group()
    people.add_argument("--subject", default="", metavar="NAME", help="all pictures show this one person")
    people.add_argument(
        "--subject-pattern",
        type=_pattern,
        metavar="REGEX",
        help="finds the subject in a picture's path: its first group, or else the whole match",
    )
    parser.add_argument("--mesh", type=Path, metavar="DIR", help="folder of the face mesh models (default: the cache)")
    machines = parser.add_mutually_exclusive_group()
    machines.add_argument(
        "--workers", type=_workers, default=-1, metavar="N", help="number of processes (default: one for each core)"
    )
    machines.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786; see below")


def run(args: argparse.Namespace) -> int:
    """Read, measure, split, write."""
    from host_training import importers, output
    from host_training.data import counts, keypoints, parquet, parts, splits
    from host_training.data.source import Measured

    output.ensure_writable(args.out)
    loaded = importers.load(args.name, args.path, _options(args))
    print(*loaded.notes, sep="\n", end="\n" * bool(loaded.notes))
    _say_dropped(loaded.dropped)
    folder = args.out.with_name(f".{args.out.name}.parts")
    table = loaded.table if isinstance(loaded, Measured) else _measure(args, loaded, folder)
    table, dropped = splits.disjoint(splits.assign(table))
    _say_dropped(dropped)
    parquet.write(table, args.out)
    if not isinstance(loaded, Measured):
        parts.remove(folder)
    print(counts.by_label(table))
    for split in keypoints.SPLITS:
        if not (table.split == split).any():
            print(f"there are no rows for {split}; `emotion-train merge` adds those of another table")
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _measure(args: argparse.Namespace, source: Source, parts: Path) -> Table:
    from edge.face_mesh.models import cache_folder, find
    from host_training.data import extract

    models = find([args.mesh or cache_folder()])
    try:
        table, dropped = extract.measure(source, models, parts=parts, workers=args.workers, cluster=args.cluster)
    except KeyboardInterrupt:
        print("stopped; the same command resumes here", file=sys.stderr)
        raise
    _say_dropped(dropped)
    return table


def _say_dropped(dropped: Counter[str]) -> None:
    for reason, count in dropped.most_common():
        print(f"left out {count}: {reason}")


def _options(args: argparse.Namespace) -> Options:
    from host_training.data.source import Options

    return Options(
        ferplus=args.ferplus,
        labels=shared_arguments.labels(args),
        split=args.split,
        subject=args.subject,
        subject_pattern=args.subject_pattern,
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression ({error})") from error


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)
