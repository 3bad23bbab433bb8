"""Export of a keypoint table with plain columns, which any program can read: csv, Parquet or npz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from edge.errors import UsageError
from edge.values import LANDMARKS
from host_training.data.keypoints import take
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.output import whole
from host_training.words import joined

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

KINDS = (".parquet", ".csv", ".npz")
"""Suffixes of the formats."""
REPEATED = ("data_set", "split", "subject", "label", "mesh")
"""Columns with few different values."""
ROWS = 4096
"""Rows written at a time: 23 MB of landmarks."""
DECIMALS = 3
"""Decimals of a px in a csv file: a fiftieth of a table's resolution in a face of 50 px."""


def ensure_kind(path: Path) -> None:
    """Check that the name of a file ends in one of `KINDS`.

    Raises:
        UsageError: it does not.
    """
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"{path}: the name must end in {joined(KINDS, 'or')}")


def write(table: Table, path: Path) -> None:
    """Write a table in the format that the file's name ends in; the file appears whole or not at all.

    The columns are those of `Table`, with label and votes by name and the landmarks as x0, y0, z0 to z477 in px. An
    unknown value is empty, or NaN in an npz file, which has the votes and the landmarks as one array each.

    Raises:
        UsageError: the name ends in none of `KINDS`.
        OutputError: it cannot be written.
    """
    ensure_kind(path)
    kind = path.suffix.lower()
    with whole(path) as partial:
        if kind == ".npz":
            with partial.open("wb") as file:
                np.savez(file, **_arrays(table))
            return
        schema = _batch(take(table, np.arange(0)), kind).schema
        if kind == ".csv":
            writer = pa.csv.CSVWriter(partial, schema)
        else:
            writer = pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=list(REPEATED))
        with writer, tqdm(total=len(table), desc=f"writing {path.name}", unit=" rows") as bar:
            for start in range(0, len(table), ROWS):
                rows = take(table, np.arange(start, min(start + ROWS, len(table))))
                writer.write_table(_batch(rows, kind))
                bar.update(len(rows))


def _batch(rows: Table, kind: str) -> Any:
    columns: dict[str, Any] = {
        "data_set": pa.array(rows.data_set.tolist(), pa.string()),
        "source": pa.array(rows.source.tolist(), pa.string()),
        "split": pa.array(rows.split.tolist(), pa.string()),
        "subject": _texts(rows.subject),
        "group": rows.group,
        "label": _texts(_names(rows)),
        **{f"votes_{name}": rows.votes[:, place] for place, name in enumerate(VOTE_COLUMNS)},
        "mesh": pa.array(rows.mesh.tolist(), pa.string()),
        "found": rows.found,
        "presence": rows.presence,
        "brightness": _numbers(rows.brightness),
        "sharpness": _numbers(rows.sharpness),
    }
    landmarks = rows.landmarks if kind == ".parquet" else rows.landmarks.round(DECIMALS)
    flat = np.asfortranarray(landmarks.reshape(len(rows), LANDMARKS * 3))
    for number in range(LANDMARKS * 3):
        columns[f"{'xyz'[number % 3]}{number // 3}"] = _numbers(flat[:, number])
    return pa.table(columns)


def _arrays(table: Table) -> dict[str, Any]:
    names = ("data_set", "source", "split", "subject", "group", "votes", "mesh", "found")
    more = ("presence", "brightness", "sharpness", "landmarks")
    return {
        **{name: getattr(table, name) for name in (*names, *more)},
        "label": _names(table),
        "votes_columns": np.array(VOTE_COLUMNS),
    }


def _names(table: Table) -> NDArray[np.str_]:
    return np.array([*LABELS, ""])[table.label]  # -1 is the last


def _texts(values: NDArray[np.str_]) -> Any:
    return pa.array([value or None for value in values.tolist()], pa.string())


def _numbers(values: NDArray[np.float32]) -> Any:
    """A column of numbers in which NaN is null."""
    return pa.array(values, from_pandas=True)
