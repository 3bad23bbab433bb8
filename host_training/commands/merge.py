"""`emotion-train merge`: one keypoint table of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from host_training.data.keypoints import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Make one keypoint table of several, in their order. What was decided about them with `clean` is applied.\n"
        "A person or picture in more than one split leaves training, then validation; the test keeps its rows."
    )
    parser.epilog = "example: emotion-train merge ferplus.parquet ckplus.parquet mine.parquet --out all.parquet"
    parser.add_argument("tables", type=Path, nargs="+", metavar="TABLE", help="made by `import`")
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the Parquet file to write")


def run(args: argparse.Namespace) -> int:
    """Read, put together, write."""
    from host_training.data import counts, keypoints, parquet, splits, tables
    from host_training.output import ensure_writable

    ensure_writable(args.out)
    parts = []
    for path in args.tables:
        table, notes = tables.load(path)
        print(*notes, sep="\n", end="\n" * bool(notes))
        parts.append(table)
    _ensure_no_row_twice(args.tables, parts)
    table, dropped = splits.disjoint(keypoints.concatenate(parts))
    for reason, count in dropped.items():
        print(f"left out {count}: {reason}")
    parquet.write(table, args.out)
    print(counts.by_data_set(table))
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _ensure_no_row_twice(paths: list[Path], tables: list[Table]) -> None:
    from host_training.errors import TableError

    where: dict[str, Path] = {}
    for path, table in zip(paths, tables, strict=True):
        for name in table.ids.tolist():
            if name in where:
                raise TableError(f"{path}: has {name}, which {where[name]} has too; leave one of the two out")
            where[name] = path
