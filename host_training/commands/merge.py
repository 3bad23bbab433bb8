"""`emotion-train merge`: join several keypoint tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Join several keypoint tables to one, in their order. Decisions made with `clean` are applied. Rows of\n"
        "different people are told apart where their names are equal, as in two folders called photos. If a person or\n"
        "picture is in more than one split, its training rows are left out, then those for validation; the test split\n"
        "keeps its rows."
    )
    parser.epilog = "example: emotion-train merge ferplus.parquet ckplus.parquet mine.parquet --out all.parquet"
    parser.add_argument(
        "tables", type=Path, nargs="+", metavar="TABLE", help="keypoint tables, made by `import` or `collect`"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="Parquet file to write")


def run(args: argparse.Namespace) -> int:
    """Read, join and write."""
    import dataclasses

    import numpy as np

    from host_training.data import counts, decisions, joining, keypoints, parquet, splits, tables
    from host_training.output import ensure_writable

    ensure_writable(args.out)
    parts, pictures = [], []
    for path in args.tables:
        raw = parquet.read(path)
        table, notes = tables.decided(raw, path)
        print(*notes, sep="\n", end="\n" * bool(notes))
        parts.append(table)
        pictures.append(raw.group[np.isin(raw.ids, table.ids)])
    table, renamed = joining.join(parts, [str(path) for path in args.tables])
    if renamed:
        print(f"told apart {renamed} rows: an earlier table has other rows of the same name")
    kept, dropped = splits.disjoint(table)
    for reason, count in dropped.items():
        print(f"left out {count}: {reason}")
    for line in counts.lost(table, kept):
        print(line)
    # Groups stay the fingerprints of the pictures, by which `crop` knows them; decisions say which are one photo.
    group = np.concatenate(pictures)[np.isin(table.ids, kept.ids)]
    if copies := joining.copies(kept, group):
        beside = keypoints.decisions_path(args.out)
        decisions.write(decisions.merged(decisions.read(beside) if beside.exists() else [], copies), beside)
        print(f"wrote {beside}: {len(copies)} pictures that show a photo of another row")
    parquet.write(dataclasses.replace(kept, group=group), args.out)
    print(counts.by_data_set(kept))
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0
