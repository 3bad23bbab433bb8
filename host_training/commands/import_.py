"""`emotion-train import`: from a data set to a keypoint table."""

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
        "Measure the faces of a data set with the edge's own face mesh, on every core, and write a keypoint table.\n"
        "A run that was stopped, by Ctrl-C or otherwise, goes on where it was when the same command runs again.\n\n"
        "NAME is one of\n" + "\n".join(f"  {name:{width}}  {module.SUMMARY}" for name, module in IMPORTERS.items())
    )
    parser.epilog = (
        "A person, or a picture, never stands in two splits: where a data set has them there, training gives way.\n"
        f"LABEL is one of {', '.join(LABELS)}.\n\n"
        "--cluster hands the pictures to the workers of a Dask scheduler: `dask scheduler` on one machine,\n"
        "`dask worker tcp://HOST:8786` on each. All need emotion-edge[train,cluster] in this version, the mesh models\n"
        "(`emotion-edge model fetch`), and image files at the same path as on this machine. Whoever reaches a\n"
        "scheduler can run programs there: keep it to a network that you trust.\n\n"
        "example: emotion-train import fer2013 fer2013.csv --ferplus fer2013new.csv --out ferplus.parquet\n"
        "         emotion-train import folder pictures --label smile=happiness --label blurred=- --out mine.parquet\n"
        "         emotion-train import folder frames --subject-pattern '^[^/]+/(\\d+)_' --out mine.parquet"
    )
    parser.add_argument("name", metavar="NAME", choices=tuple(IMPORTERS), help="which data set it is, see above")
    parser.add_argument("path", metavar="PATH", type=Path, help="where it lies")
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the Parquet file to write")
    parser.add_argument("--ferplus", type=Path, metavar="FILE", help="FER+'s votes for FER2013, fer2013new.csv")
    shared_arguments.add_label(parser, "the data set")
    parser.add_argument("--split", choices=SPLITS, default="", help="put all rows there, whatever the data set says")
    people = parser.add_mutually_exclusive_group()
    people.add_argument("--subject", default="", metavar="NAME", help="all pictures show this one person")
    people.add_argument(
        "--subject-pattern",
        type=_pattern,
        metavar="REGEX",
        help="finds in a picture's path who it shows: its first group, or the whole match",
    )
    parser.add_argument("--mesh", type=Path, metavar="DIR", help="the face mesh models (default: the cache)")
    machines = parser.add_mutually_exclusive_group()
    machines.add_argument("--workers", type=_workers, default=-1, metavar="N", help="processes (default: all cores)")
    machines.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler, as in tcp://host:8786; see below")


def run(args: argparse.Namespace) -> int:
    """Read, measure, split, write."""
    from host_training import importers, output
    from host_training.data import counts, keypoints, parquet, parts, splits
    from host_training.data.source import Measured

    output.ensure_writable(args.out)
    loaded = importers.load(args.name, args.path, _options(args))
    print(*loaded.notes, sep="\n", end="\n" * bool(loaded.notes))
    _say_dropped(loaded.dropped)
    kept = args.out.with_name(f".{args.out.name}.parts")
    table = loaded.table if isinstance(loaded, Measured) else _measure(args, loaded, kept)
    table, dropped = splits.disjoint(splits.assign(table))
    _say_dropped(dropped)
    parquet.write(table, args.out)
    if not isinstance(loaded, Measured):
        parts.remove(kept)
    print(counts.by_label(table))
    for split in keypoints.SPLITS:
        if not (table.split == split).any():
            print(f"no row is for {split}: `emotion-train merge` adds those of another table")
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _measure(args: argparse.Namespace, source: Source, kept: Path) -> Table:
    from edge.face_mesh.models import cache_folder, find
    from host_training.data import extract

    models = find([args.mesh or cache_folder()])
    try:
        table, dropped = extract.measure(source, models, parts=kept, workers=args.workers, cluster=args.cluster)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
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
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression ({error})") from error


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)
