"""The keypoint table: one row a picture of a face, in Parquet, with everything but the picture.

Landmarks are stored as integers: relative to the middle of their own box, in `1 / UNITS` of its longer side.
That is finer than the mesh can measure, and the same for a face of 48 px and one of 4,800.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edge.errors import ConfigError, NoInputError, OutputError
from edge.mesh_models import LANDMARKER, MEMBERS
from edge.values import LANDMARKS
from host_training.errors import TableError
from host_training.votes import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA_VERSION = 1
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)

UNITS = 4096
"""Integer steps in the longer side of a face."""
METADATA_KEY = b"emotion-edge"

_COORDINATES = LANDMARKS * 3
SCHEMA = pa.schema(
    [
        ("source", pa.string()),  # data set and row in it
        ("split", pa.string()),  # one of SPLITS
        ("group", pa.int32()),  # -1, or the group of byte-equal pictures within its data set
        ("votes", pa.list_(pa.uint8(), len(COLUMNS))),  # in the order of votes.COLUMNS
        ("found", pa.bool_()),  # whether the mesh saw a face; if not, the rest is 0
        ("presence", pa.float32()),  # 0..1
        (
            "box",
            pa.list_(pa.float32(), 4),
        ),  # middle x, y, z and longer side of the landmarks' box, px of the picture
        ("landmarks", pa.list_(pa.int16(), _COORDINATES)),  # x, y, z of each point, see above
    ]
)


@dataclass(frozen=True, slots=True)
class Table:
    """A keypoint table in memory."""

    source: NDArray[np.str_]
    """str[N]: data set and row in it, as in `fer2013/123`; never used twice."""
    split: NDArray[np.str_]
    """str[N], each one of `SPLITS`."""
    group: NDArray[np.int32]
    """int32[N]: -1, or the group of byte-equal pictures; a group stands on one side of the splits."""
    votes: NDArray[np.uint8]
    """uint8[N, 10] in the order of `votes.COLUMNS`."""
    presence: NDArray[np.float32]
    """float32[N]: 0..1, the mesh's own estimate that this is a face; 0 where it found none."""
    landmarks: NDArray[np.float32]
    """float32[N, 478, 3] px of the picture; NaN where no face was found."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.source)

    @property
    def found(self) -> NDArray[np.bool_]:
        """bool[N]: whether the mesh saw a face."""
        return np.asarray(np.isfinite(self.landmarks[:, 0, 0]))


def ensure_writable(path: Path) -> None:
    """Find out before the work, not after it, whether a table can be put there.

    Raises:
        OutputError: it can't.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if path.is_dir():
        raise OutputError(f"{path}: cannot be written (it is a folder)")


def _partial(path: Path) -> Path:
    """Where a table is written before it takes its place."""
    return path.with_name(f".{path.name}.partial")


def write(table: Table, path: Path) -> None:
    """Write a table; it appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    low, high = table.landmarks.min(axis=1), table.landmarks.max(axis=1)
    middle = (low + high) / 2
    side = (high - low).max(axis=1)
    found = table.found
    whole = np.rint((table.landmarks - middle[:, None]) / np.maximum(side, 1e-6)[:, None, None] * UNITS)
    box = np.column_stack([middle, side])
    metadata = {
        "schema": SCHEMA_VERSION,
        "votes": COLUMNS,
        "units": UNITS,
        "landmarker_sha256": MEMBERS[LANDMARKER],
    }
    columns = [
        pa.array(table.source.tolist(), pa.string()),
        pa.array(table.split.tolist(), pa.string()),
        pa.array(table.group),
        _lists(table.votes),
        pa.array(found),
        pa.array(table.presence),
        _lists(np.where(found[:, None], box, 0).astype(np.float32)),
        _lists(np.where(found[:, None, None], whole, 0).astype(np.int16).reshape(len(table), -1)),
    ]
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(metadata)})
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.Table.from_arrays(columns, schema=schema),
            partial,
            compression="zstd",
            use_dictionary=["split"],
            # High and low bytes apart: the high ones hardly change and compress well.
            column_encoding={"landmarks.list.element": "BYTE_STREAM_SPLIT"},
        )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({os.strerror(error.errno) if error.errno else error})"
        ) from error


def read(path: Path) -> Table:
    """Read a table and check that it is one.

    Raises:
        NoInputError: there is no such file.
        TableError: it is damaged, or of another kind or version.
        ConfigError: its landmarks come from another face mesh.
    """
    try:
        # Through Python's own file, so that a missing or forbidden one says so in the system's words.
        with path.open("rb") as file:
            data = pq.read_table(file)
    except pa.ArrowException as error:
        raise TableError(f"{path}: not a whole keypoint table ({_first(error)}); import the data again") from error
    except OSError as error:
        if error.errno is None:  # a damaged page
            raise TableError(f"{path}: not a whole keypoint table ({_first(error)}); import again") from error
        raise NoInputError(f"{path}: {error.strerror}") from error
    _check(path, data.schema)
    if data.num_rows == 0:
        raise TableError(f"{path}: has no rows")
    for name in SCHEMA.names:
        if data[name].null_count:
            raise TableError(f"{path}: column {name!r} has holes; import the data again")
    votes, box, whole = (_matrix(data[name]) for name in ("votes", "box", "landmarks"))
    found = data["found"].to_numpy()
    landmarks = whole.reshape(-1, LANDMARKS, 3).astype(np.float32)
    landmarks *= (box[:, 3] / UNITS)[:, None, None]
    landmarks += box[:, None, :3]
    landmarks[~found] = np.nan
    table = Table(
        source=np.array(data["source"].to_pylist(), np.str_),
        split=np.array(data["split"].to_pylist(), np.str_),
        group=data["group"].to_numpy(),
        votes=votes,
        presence=data["presence"].to_numpy(),
        landmarks=landmarks,
    )
    _check_rows(path, table)
    return table


def _check(path: Path, schema: Any) -> None:
    metadata = (schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise TableError(f"{path}: a Parquet file, but no keypoint table; make one with `emotion-train import`")
    try:
        about = dict(json.loads(metadata))
    except ValueError as error:
        raise TableError(f"{path}: its description is damaged ({error}); import the data again") from error
    if about.get("schema") != SCHEMA_VERSION:
        raise TableError(
            f"{path}: a keypoint table of schema {about.get('schema')}, and this is for {SCHEMA_VERSION}; "
            "import the data again"
        )
    for field in SCHEMA:
        position = schema.get_field_index(field.name)
        if position < 0:
            raise TableError(f"{path}: lacks the column {field.name!r}; import the data again")
        if schema.field(position).type != field.type:
            raise TableError(f"{path}: column {field.name!r} is {schema.field(position).type}, not {field.type}")
    if about.get("votes") != list(COLUMNS) or about.get("units") != UNITS:
        raise TableError(f"{path}: counts other votes or in other units than this version; import the data again")
    if about.get("landmarker_sha256") != MEMBERS[LANDMARKER]:
        raise ConfigError(f"{path}: was measured with another face mesh than the edge's; import the data again")


def _check_rows(path: Path, table: Table) -> None:
    """What the columns' types can't promise: known splits, unique sources, no picture on two sides."""
    unknown = sorted(set(table.split.tolist()) - set(SPLITS))
    if unknown:
        raise TableError(f"{path}: split {unknown[0]!r} is none of {', '.join(SPLITS)}")
    if len(set(table.source.tolist())) != len(table):
        raise TableError(f"{path}: has the same source twice; import the data again")
    sides: dict[tuple[str, int], str] = {}
    for source, group, split in zip(table.source.tolist(), table.group.tolist(), table.split.tolist(), strict=True):
        if group >= 0 and sides.setdefault((source.split("/")[0], group), split) != split:
            raise TableError(f"{path}: one picture stands in {split} and elsewhere ({source}); import the data again")


def _lists(values: NDArray[Any]) -> Any:
    """An array[N, K] as a column of lists of K values."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _matrix(column: Any) -> NDArray[Any]:
    """A column of lists of K values as an array[N, K]."""
    values: NDArray[Any] = column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)
    return values


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
