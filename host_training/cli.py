"""`emotion-train`: finds the command, and turns whatever goes wrong into one line and an exit status."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import edge
from edge.cli import Parser, guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA_SETS = ("fer2013",)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="emotion-train",
        description="Builds and judges the classifier of emotion-edge on a workstation.",
        epilog="example: emotion-train import fer2013 fer2013.csv --ferplus fer2013new.csv --out fer2013.parquet "
        "&& emotion-train train --table fer2013.parquet --out model/emotion",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {edge.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    command = commands.add_parser(
        "import",
        help="measure the faces of a data set and write a keypoint table",
        description="Measure the faces of a data set with the edge's face mesh, on every core, and write a table.",
        epilog="example: emotion-train import fer2013 fer2013.csv --ferplus fer2013new.csv --out fer2013.parquet",
    )
    command.add_argument("data_set", choices=DATA_SETS, help="which data set it is")
    command.add_argument("path", type=Path, help="fer2013.csv, or fer2013.npz with the votes in it")
    command.add_argument("--ferplus", type=Path, metavar="FILE", help="FER+'s votes, fer2013new.csv")
    command.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the Parquet file to write")
    command.add_argument("--mesh", type=Path, metavar="DIR", help="the face mesh models (default: the cache)")
    command.add_argument("--workers", type=_workers, default=-1, metavar="N", help="processes (default: cores)")
    command.set_defaults(run=_import)

    command = commands.add_parser(
        "train",
        help="train, quantise and evaluate a classifier and pack it as a bundle",
        description="From a keypoint table to a verified model bundle, in one go.",
        epilog="example: emotion-train train --table fer2013.parquet --out model/emotion",
    )
    command.add_argument("--table", type=Path, required=True, metavar="TABLE", help="made by `import`")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle; replaced if there")
    command.add_argument("--settings", type=Path, metavar="FILE", help="TOML with other than the default knobs")
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "evaluate",
        help="judge a bundle on the test rows of a table",
        description="Run a bundle as a device does over the test rows of a table. Missed faces are errors.",
        epilog="example: emotion-train evaluate --bundle model/emotion --table fer2013.parquet --json",
    )
    command.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the model bundle")
    command.add_argument("--table", type=Path, required=True, metavar="TABLE", help="made by `import`")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=_evaluate)
    return parser


def _workers(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _import(args: argparse.Namespace) -> int:
    from edge.mesh_models import cache_folder, find
    from host_training import fer2013, keypoints
    from host_training.extract import measure

    keypoints.ensure_writable(args.out)
    models = find([args.mesh or cache_folder()])
    source = fer2013.load(args.path, args.ferplus)
    for reason, rows in source.dropped.items():
        print(f"dropped {rows} rows: {reason}")
    table = measure(source, models, workers=args.workers)
    keypoints.write(table, args.out)
    for split in keypoints.SPLITS:
        rows = table.split == split
        if rows.any():
            print(f"{split}: {rows.sum()} rows, a face found in {table.found[rows].mean():.2%}")
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _train(args: argparse.Namespace) -> int:
    from host_training import keypoints, settings, train

    knobs = settings.load(args.settings)
    table = keypoints.read(args.table)
    print(train.run(table, knobs, args.out, table_path=args.table, settings_path=args.settings))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from edge import bundle
    from host_training import evaluate, keypoints

    scores = evaluate.evaluate(bundle.load(args.bundle), keypoints.read(args.table))
    print(json.dumps(scores.as_dict(), indent=1) if args.json else scores.text())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises but for SystemExit from --help."""

    def work() -> int:
        args = _parser().parse_args(argv)
        status: int = args.run(args)
        return status

    return guarded("emotion-train", work)
