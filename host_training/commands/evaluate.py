"""`emotion-train evaluate`: judge a bundle on a keypoint table or a folder of pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse

    from edge.bundle.bundle import Bundle
    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table

SPLITS = ("test", "validation", "train", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Run a bundle as a device does, and compare its predictions with people's labels. Missed faces are errors.\n"
        "Another data set's table, or a folder of pictures, shows how it does on what it was not trained for."
    )
    parser.epilog = (
        "example: emotion-train evaluate --bundle model/fused --data model/keypoints/ferplus.parquet\n"
        "         emotion-train evaluate --bundle model/fused --data pictures/ --labels neutral,happiness,surprise"
    )
    shared_arguments.add_bundle(parser)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="keypoint table, or a folder with a folder of pictures for each label",
    )
    parser.add_argument("--split", choices=SPLITS, help="the rows of a table to judge on (default: test)")
    shared_arguments.add_label(parser, "a folder")
    parser.add_argument(
        "--crops",
        type=Path,
        metavar="FILE",
        help="crop store of the table, made by `crop`, for a bundle that reads crops",
    )
    parser.add_argument(
        "--labels",
        metavar="A,B,...",
        help="choose among these expressions only (default: all that the bundle recognises)",
    )
    parser.add_argument(
        "--truth",
        choices=("votes", "label"),
        default="votes",
        help="truth of a row: its votes (its label if it has none), or its label alone (default: %(default)s)",
    )
    parser.add_argument(
        "--baseline",
        action="store_true",
        help="instead, show the effect of a neutral baseline, which `emotion-edge calibrate` measures",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print."""
    from edge.bundle import bundle as bundles
    from edge.errors import UsageError
    from host_training.data import crops, tables
    from host_training.data.inputs import inputs_of_split
    from host_training.evaluation import baseline
    from host_training.evaluation.evaluate import evaluate
    from host_training.progress import step

    if args.split and args.data.is_dir():
        raise UsageError("--split is for tables: in a folder every picture counts")
    if args.label and not args.data.is_dir():
        raise UsageError("--label is for folders: a table has its own labels")
    if args.baseline and (args.labels or args.data.is_dir()):
        raise UsageError("--baseline is for tables, whose rows name their persons, and for all labels of the bundle")
    if args.crops and args.data.is_dir():
        raise UsageError("--crops is for tables: a folder has its own pictures")
    bundle = bundles.load(args.bundle)
    if args.data.is_dir():
        table, store, notes = _measured(args, bundle)
    else:
        table, notes = tables.load(args.data)
        store = crops.read(args.crops, table) if args.crops and bundle.features.crop else None
    for note in notes:
        print(note, file=sys.stderr)
    split = args.split or SPLITS[0]
    with step("preparing inputs"):
        inputs = inputs_of_split(bundle.features, table, split, store)
    if args.baseline:
        comparison = baseline.compare(bundle, table, split, truth=args.truth, inputs=inputs)
        print(json.dumps(comparison.as_dict(), indent=1) if args.json else comparison.text())
        return 0
    scores = evaluate(
        bundle,
        table,
        split,
        labels=None if args.labels is None else args.labels.split(","),
        truth=args.truth,
        inputs=inputs,
        engines=True,
    )
    if args.json:
        if scores.engines_missing:
            print(f"not compared with the float network: {scores.engines_missing}", file=sys.stderr)
        print(json.dumps(scores.as_dict(), indent=1))
    else:
        print(scores.text())
    return 0


def _measured(args: argparse.Namespace, bundle: Bundle) -> tuple[Table, CropStore | None, list[str]]:
    """The table of a folder of pictures, the crop store if the bundle reads crops, and notes."""
    import tempfile

    from edge.face_mesh.models import cache_folder, find
    from host_training import importers
    from host_training.data import crops, extract
    from host_training.data.source import Options

    models = find([bundle.folder / "mesh", cache_folder()])
    source = importers.load("folder", args.data, Options(labels=shared_arguments.labels(args), split=SPLITS[0]))
    with tempfile.TemporaryDirectory() as parts:
        table, dropped = extract.measure(source, models, parts=Path(parts), workers=-1)
    reasons = [f"left out {count} pictures: {reason}" for reason, count in (source.dropped + dropped).items()]
    pictures = {f"{source.name}/{row.source}": row.picture for row in source.rows}
    of_rows = {row: pictures[name] for row, name in enumerate(table.ids.tolist())}
    needed = bundle.features.crop and table.found.any()
    return table, crops.build(table, of_rows) if needed else None, [*source.notes, *reasons]
