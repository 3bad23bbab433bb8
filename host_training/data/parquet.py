"""The file of a keypoint table, in Parquet.

Landmarks are stored on a grid of `1 / UNITS` of the face's longer side: a face of 48 px and one of 4,800 px have the
same relative resolution. `shape_code` makes them small.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edge.errors import ConfigError, NoInputError
from edge.face_mesh import STILL_VERSION
from edge.values import LANDMARKS
from host_training.data.keypoints import MESH, SPLITS, UNKNOWN_MESH, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.shape_code import UNITS, ShapeCode, from_steps, to_steps
from host_training.errors import TableError
from host_training.output import whole
from host_training.progress import step
from host_training.words import joined

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA_VERSION = 2
"""Version of the columns; rises with every change."""
METADATA_KEY = b"emotion-edge"
"""Key of the description, in JSON, in the file's metadata."""

_COORDINATES = LANDMARKS * 3
_FARTHEST = 1e9
"""Largest coordinate in px. No picture is that large, and beyond it float32 could not hold the size of a face."""
_BIAS = np.uint16(128)
"""Offset of the residuals, modulo 2^16: few are below -128, so nearly all high bytes are 0 and compress to nothing."""
_TEXTS = ("data_set", "source", "split", "subject", "mesh")
_NUMBERS = ("presence", "brightness", "sharpness")


def _schema(components: int) -> Any:
    return pa.schema(
        [
            ("data_set", pa.string()),  # such as fer2013
            ("source", pa.string()),  # place in the data set
            ("split", pa.string()),  # one of SPLITS
            ("subject", pa.string()),  # who it is, within the data set; empty: unknown
            ("group", pa.int64()),  # equal for byte-equal pictures
            ("label", pa.string()),  # the data set's own label, one of labels.LABELS; empty: it has votes only
            ("votes", pa.list_(pa.uint8(), len(VOTE_COLUMNS))),  # in the order of labels.VOTE_COLUMNS
            ("mesh", pa.string()),  # sha256 of the landmark model
            ("presence", pa.float32()),  # 0..1
            ("brightness", pa.float32()),  # 0..1
            ("sharpness", pa.float32()),  # see Table
            ("found", pa.bool_()),  # whether the mesh found a face; if not, the columns below are 0
            (
                "box",
                pa.list_(pa.float32(), 4),
            ),  # x, y, z of its middle, and its side, px; this and the rest: shape_code
            ("coefficients", pa.list_(pa.int16(), components)),
            ("residual", pa.list_(pa.uint16(), _COORDINATES)),  # x, y, z of each point, _BIAS more than they are
        ]
    )


def write(table: Table, path: Path) -> None:
    """Write a table; the file appears whole or not at all, and the same table always gives the same bytes.

    Raises:
        TableError: `read` would refuse it, or a landmark is not a number.
        OutputError: it cannot be written; a file that was there stays as it was.
    """
    _check_rows(path, table)
    found = table.found
    box, steps = to_steps(table.landmarks[found])
    code = ShapeCode.fit(steps)
    coefficients, residual = code.encode(steps)
    mean, components = code.mean.astype("<i2").tobytes(), code.components.astype("<f2").tobytes()
    metadata = {
        "schema": SCHEMA_VERSION,
        "extraction": STILL_VERSION,
        "votes": VOTE_COLUMNS,
        "units": UNITS,
        "mean": base64.b64encode(mean).decode(),
        "components": base64.b64encode(components).decode(),
        "crc32": zlib.crc32(mean + components),  # Parquet's own checksums do not cover its footer
    }
    values = {
        **{name: pa.array(getattr(table, name).tolist(), pa.string()) for name in _TEXTS},
        **{name: pa.array(getattr(table, name).astype(np.float32)) for name in _NUMBERS},
        "group": pa.array(table.group),
        "label": pa.array([LABELS[index] if index >= 0 else "" for index in table.label.tolist()], pa.string()),
        "votes": _lists(table.votes),
        "found": pa.array(found),
        "box": _lists(_spread(box, found)),
        "coefficients": _lists(_spread(coefficients, found)),
        "residual": _lists(_spread(residual.view(np.uint16) + _BIAS, found)),
    }
    schema = _schema(len(code.components))
    options = {
        "compression": "zstd",
        "compression_level": 12,
        "use_dictionary": ["data_set", "split", "subject", "label", "mesh"],
        # High and low bytes are stored apart: the high ones hardly change and compress well.
        "column_encoding": {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in ("coefficients", "residual")},
        "write_page_checksum": True,
    }
    with whole(path) as partial, pq.ParquetWriter(partial, schema, **options) as writer:
        writer.write_table(pa.Table.from_arrays([values[name] for name in schema.names], schema=schema))
        # In the schema's own metadata it would be in the file twice.
        writer.add_key_value_metadata({METADATA_KEY: json.dumps(metadata)})


def read(path: Path) -> Table:
    """Read a table and check it.

    Raises:
        NoInputError: the file cannot be read.
        TableError: it is damaged, or of another kind or version.
        ConfigError: its landmarks come from another face mesh.
    """
    with step(f"reading {path.name}"):
        return _read(path)


def _read(path: Path) -> Table:
    try:
        # A missing or forbidden file gives the system's error here. The reading itself does not go through Python's
        # file: a thread of pyarrow may release that after Python has ended, and then aborts the program.
        path.open("rb").close()
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            code = _described(path, (parquet.metadata.metadata or {}).get(METADATA_KEY))
            schema = _schema(len(code.components))
            _check_columns(path, parquet.schema_arrow, schema)
            data = parquet.read(schema.names)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise NoInputError(f"{path}: {error.strerror}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"{path}: not a complete keypoint table ({reason}); import the data again") from error
    columns = {name: _values(path, name, data[name]) for name in data.schema.names}
    found, box = columns["found"], columns["box"]
    if not np.isfinite(box).all():
        raise TableError(f"{path}: column 'box' has an impossible value; import the data again")
    landmarks = np.full((len(found), LANDMARKS, 3), np.nan, np.float32)
    residual = (columns["residual"][found] - _BIAS).view(np.int16)
    landmarks[found] = from_steps(box[found], code.decode(columns["coefficients"][found], residual))
    columns |= {name: columns[name].astype(np.str_) for name in _TEXTS}
    columns |= {"label": _label_indices(path, columns["label"].tolist()), "landmarks": landmarks}
    table = Table(**{field.name: columns[field.name] for field in fields(Table)})
    _check_rows(path, table)
    return table


def _described(path: Path, text: bytes | None) -> ShapeCode:
    """The shape model in a file's description, once the rest of it has been checked."""
    if text is None:
        raise TableError(f"{path}: a Parquet file, but not a keypoint table; make one with `emotion-train import`")
    try:
        about = dict(json.loads(text))
    except (TypeError, ValueError) as error:
        raise TableError(f"{path}: its description is damaged ({error}); import the data again") from error
    if about.get("schema") != SCHEMA_VERSION:
        raise TableError(
            f"{path}: a keypoint table of schema {about.get('schema')}, not {SCHEMA_VERSION}; import the data again"
        )
    if about.get("votes") != list(VOTE_COLUMNS) or about.get("units") != UNITS:
        raise TableError(f"{path}: has other votes or units than this version; import the data again")
    if about.get("extraction") != STILL_VERSION:
        raise ConfigError(f"{path}: was measured in another way than by this version; import the data again")
    try:
        mean, components = (base64.b64decode(about[name], validate=True) for name in ("mean", "components"))
        if about["crc32"] != zlib.crc32(mean + components):
            raise ValueError  # noqa: TRY301 - one of the ways to be damaged
        code = ShapeCode(
            np.frombuffer(mean, "<i2").reshape(_COORDINATES),
            np.frombuffer(components, "<f2").reshape(-1, _COORDINATES),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(f"{path}: its shape model is damaged; import the data again") from error
    return code


def _check_columns(path: Path, schema: Any, expected: Any) -> None:
    for field in expected:
        position = schema.get_field_index(field.name)
        if position < 0:
            raise TableError(f"{path}: lacks the column {field.name!r}, or has it twice; import the data again")
        if schema.field(position).type != field.type:
            raise TableError(f"{path}: column {field.name!r} is {schema.field(position).type}, not {field.type}")


def _values(path: Path, name: str, column: Any) -> NDArray[Any]:
    """A column as an array[N], or array[N, K] where it has lists of K values."""
    whole_column = column.combine_chunks()
    size = getattr(column.type, "list_size", None)
    flat = whole_column.flatten() if size else whole_column
    if whole_column.null_count or flat.null_count:
        raise TableError(f"{path}: column {name!r} has missing values; import the data again")
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return values.reshape(-1, size) if size else values


def _label_indices(path: Path, names: list[str]) -> NDArray[np.int8]:
    place = {name: index for index, name in enumerate(LABELS)} | {"": -1}
    unknown = sorted(set(names) - place.keys())
    if unknown:
        raise TableError(f"{path}: unknown label {unknown[0]!r}; the labels are {joined(LABELS)}")
    return np.array([place[name] for name in names], np.int8)


def _check_rows(path: Path, table: Table) -> None:
    """Check what the types of the columns cannot promise; last that no picture or person is in two splits."""
    if not len(table):
        raise TableError(f"{path}: has no rows")
    unknown = sorted(set(table.split.tolist()) - set(SPLITS))
    if unknown:
        raise TableError(f"{path}: unknown split {unknown[0]!r}; the splits are {joined(SPLITS)}")
    if not set(table.mesh.tolist()) <= {MESH, UNKNOWN_MESH}:
        raise ConfigError(f"{path}: was measured with another face mesh than the daemon's; import the data again")
    for name, allowed in (
        ("data_set", (table.data_set != "") & (np.char.find(table.data_set, "/") < 0)),
        ("presence", (table.presence >= 0) & (table.presence <= 1)),
        ("brightness", ~((table.brightness < 0) | (table.brightness > 1))),  # or NaN
        ("sharpness", ~((table.sharpness < 0) | np.isinf(table.sharpness))),
        ("landmarks", ~table.found | (np.abs(table.landmarks) <= _FARTHEST).all(axis=(1, 2))),
    ):
        if not allowed.all():
            row = int(np.flatnonzero(~allowed)[0])
            raise TableError(f"{path}: column {name!r} has an impossible value in row {row} ({table.ids[row]})")
    ids = table.ids.tolist()
    if len(set(ids)) != len(table):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise TableError(f"{path}: has {twice} twice; import the data again")
    split_of: dict[object, str] = {}
    persons = zip(table.data_set.tolist(), table.subject.tolist(), strict=True)
    for name, group, person, split in zip(ids, table.group.tolist(), persons, table.split.tolist(), strict=True):
        for key, what in ((group, "picture"), (person if person[1] else None, "person")):
            if key is not None and split_of.setdefault(key, split) != split:
                raise TableError(
                    f"{path}: one {what} is in {split} and in another split ({name}); import the data again"
                )


def _spread(values: NDArray[Any], found: NDArray[np.bool_]) -> NDArray[Any]:
    """Values of the rows with a face, with 0 for all other rows."""
    spread = np.zeros((len(found), values.shape[1]), values.dtype)
    spread[found] = values
    return spread


def _lists(values: NDArray[Any]) -> Any:
    """An array[N, K] as a column of lists of K values."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
