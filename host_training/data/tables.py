"""A keypoint table as commands use it: read, with the decisions beside it applied, and its splits made disjoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host_training.data import decisions, keypoints, parquet
from host_training.data.splits import disjoint

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.keypoints import Table


def load(path: Path) -> tuple[Table, list[str]]:
    """Read a table, apply the decisions about it, and leave out rows whose photo or person is then in two splits.

    Returns:
        The table, and notes on what was done to it, one line each.

    Raises:
        NoInputError: the file cannot be read.
        TableError, ConfigError, DataError: see `parquet.read` and `decisions.read`.
    """
    return decided(parquet.read(path), path)


def decided(table: Table, path: Path) -> tuple[Table, list[str]]:
    """A table that was read from a file, with the decisions beside that file. See `load`."""
    beside = keypoints.decisions_path(path)
    if not beside.exists():
        return table, []
    table, done = decisions.apply(table, decisions.read(beside))
    table, dropped = disjoint(table)
    return table, [f"{beside.name}: {count} rows: {what}" for what, count in (done + dropped).items()]
