from __future__ import annotations

import dataclasses
import json
import resource
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import ConfigError, EdgeError, NoInputError, OutputError
from host_training.data import parquet
from host_training.data.keypoints import MESH, SPLITS, UNKNOWN_MESH, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.shape_code import UNITS
from host_training.errors import TableError
from host_training.output import ensure_writable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EXACT = tuple(field.name for field in dataclasses.fields(Table) if field.name != "landmarks")


@pytest.fixture(scope="session")
def written(measured: Table, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "table.parquet"
    parquet.write(measured, path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, written: bytes):
    (tmp_path / "table.parquet").write_bytes(written)
    return tmp_path / "table.parquet"


def rewrite(path: Path, change: Callable[[Any], Any] = lambda data: data, **about: Any):
    """Change the columns of a written table, or its description."""
    data = change(pq.read_table(path))
    metadata = json.loads(pq.ParquetFile(path).metadata.metadata[parquet.METADATA_KEY]) | about
    pq.write_table(data.replace_schema_metadata({parquet.METADATA_KEY: json.dumps(metadata)}), path)


def with_column(name: str, values: Any) -> Callable[[Any], Any]:
    """Another column in the place of the one with this name."""
    return lambda data: data.set_column(data.schema.get_field_index(name), name, values(data[name]))


def some_rows(count: int, faces: NDArray[np.float32], found: list[bool], rng: np.random.Generator) -> Table:
    """Rows of every kind."""
    landmarks = faces[rng.integers(len(faces), size=count)] * rng.uniform(0.1, 50, (count, 1, 1)).astype(np.float32)
    landmarks += rng.normal(0, 5, (count, 1, 3)).astype(np.float32)
    landmarks[~np.array(found)] = np.nan
    nan = np.where(rng.random(count) < 0.5, np.nan, 1)
    return Table(
        data_set=rng.choice(np.array(["a", "b", "ähm"]), count),
        source=np.arange(count).astype(np.str_),
        split=np.array([SPLITS[n % 3] for n in range(count)]),
        subject=np.array(["" if n % 2 else f"p{n % 3}" for n in range(count)]),
        group=np.arange(count, dtype=np.int64) * 3 + rng.choice([-(2**63), 0, 2**62]),
        label=rng.integers(-1, len(LABELS), count).astype(np.int8),
        votes=rng.integers(0, 256, (count, len(VOTE_COLUMNS))).astype(np.uint8),
        mesh=rng.choice(np.array([MESH, UNKNOWN_MESH]), count),
        presence=rng.random(count).astype(np.float32),
        brightness=(rng.random(count) * nan).astype(np.float32),
        sharpness=(rng.random(count) * nan).astype(np.float32),
        landmarks=landmarks,
    )


def off(again: Table, table: Table) -> NDArray[np.float64]:
    """The largest error of each face, in steps."""
    found = table.landmarks[table.found]
    side = np.ptp(found, axis=1).max(axis=1)
    return np.abs(again.landmarks[table.found] - found).max(axis=(1, 2)) / side * UNITS


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(st.booleans(), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_reads_back_what_was_written(tmp_path: Path, faces: NDArray[np.float32], found: list[bool], seed: int):
    table = some_rows(len(found), faces, found, np.random.default_rng(seed))
    parquet.write(table, tmp_path / "t.parquet")

    again = parquet.read(tmp_path / "t.parquet")

    assert again.found.tolist() == found
    for name in EXACT:
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name), name)
        assert getattr(again, name).dtype.kind == getattr(table, name).dtype.kind, name
    assert (off(again, table) <= 0.52).all()
    assert np.isnan(again.landmarks[~again.found]).all()


def test_landmarks_keep_their_place_to_half_a_step(table: Table, measured: Table):
    assert measured.found.sum() > 300
    assert (off(table, measured) <= 0.52).all()


def test_a_face_unlike_all_others_does_too(tmp_path: Path, measured: Table):
    landmarks = measured.landmarks.copy()
    landmarks[5] = np.random.default_rng(0).choice([-1e6, 1e6], (478, 3))
    landmarks[7, :, :2] *= 1000
    odd = dataclasses.replace(measured, landmarks=landmarks)
    parquet.write(odd, tmp_path / "t.parquet")

    assert (off(parquet.read(tmp_path / "t.parquet"), odd) <= 0.52).all()


def test_the_same_table_is_always_the_same_bytes(tmp_path: Path, measured: Table, written: bytes):
    parquet.write(measured, tmp_path / "again.parquet")

    assert (tmp_path / "again.parquet").read_bytes() == written


def test_reading_a_table_and_writing_it_again_changes_nothing(tmp_path: Path, table: Table, written: bytes):
    parquet.write(table, tmp_path / "again.parquet")

    assert (tmp_path / "again.parquet").read_bytes() == written


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(NoInputError, match="No such file"):
        parquet.read(tmp_path / "none.parquet")


@pytest.mark.parametrize("keep", [0, 3, 1000, -1000])
def test_a_truncated_table_is_refused(path: Path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(TableError, match="not a complete keypoint table"):
        parquet.read(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_damaged_byte_gives_another_table(path: Path, written: bytes, table: Table, place: float, flip: int):
    damaged = bytearray(written)
    damaged[int(place * len(damaged))] ^= flip
    path.write_bytes(damaged)

    try:
        again = parquet.read(path)
    except EdgeError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either of the two will do
    else:  # what nobody reads was hit
        for field in dataclasses.fields(Table):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(table, field.name))


def test_any_other_parquet_file_is_refused(tmp_path: Path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")

    with pytest.raises(TableError, match="not a keypoint table"):
        parquet.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("name", ["votes", "group", "residual", "data_set"])
def test_a_missing_column_is_named(path: Path, name: str):
    rewrite(path, lambda data: data.drop_columns([name]))

    with pytest.raises(TableError, match=f"lacks the column '{name}'"):
        parquet.read(path)


def test_a_column_of_the_wrong_type_is_named(path: Path):
    rewrite(path, with_column("group", lambda column: column.cast(pa.string())))

    with pytest.raises(TableError, match="'group' is string, not int64"):
        parquet.read(path)


def test_a_list_of_the_wrong_length_is_named(path: Path):
    rewrite(path, with_column("votes", lambda column: pa.array([[1]] * len(column), pa.list_(pa.uint8(), 1))))

    with pytest.raises(TableError, match=r"'votes' is fixed_size_list<.*>\[1\], not fixed_size_list<.*>\[10\]"):
        parquet.read(path)


@pytest.mark.parametrize(
    ("about", "error", "message"),
    [
        ({"schema": 1}, TableError, "schema 1, not 2"),
        ({"schema": 3}, TableError, "schema 3, not 2"),
        ({"units": 512}, TableError, "has other votes or units"),
        ({"votes": list(LABELS)}, TableError, "has other votes or units"),
        ({"extraction": 99}, ConfigError, "measured in another way"),
        ({"mean": "?"}, TableError, "shape model is damaged"),
        ({"components": 7}, TableError, "shape model is damaged"),
        ({"mean": ""}, TableError, "shape model is damaged"),
        ({"crc32": 0}, TableError, "shape model is damaged"),
    ],
)
def test_another_description_is_refused(path: Path, about: dict[str, Any], error: type[EdgeError], message: str):
    rewrite(path, **about)

    with pytest.raises(error, match=message):
        parquet.read(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null"])
def test_refuses_a_malformed_description(path: Path, text: str):
    data = pq.read_table(path)
    pq.write_table(data.replace_schema_metadata({parquet.METADATA_KEY: text}), path)

    with pytest.raises(TableError, match="description is damaged"):
        parquet.read(path)


@pytest.mark.parametrize("name", ["presence", "split", "votes"])
def test_a_hole_is_refused(path: Path, name: str):
    rewrite(path, with_column(name, lambda column: pa.array([None, *column.to_pylist()[1:]], column.type)))

    with pytest.raises(TableError, match=f"'{name}' has missing values"):
        parquet.read(path)


def test_a_hole_in_a_list_is_refused(path: Path):
    rewrite(path, with_column("votes", lambda c: pa.array([[None, *c[0].as_py()[1:]], *c.to_pylist()[1:]], c.type)))

    with pytest.raises(TableError, match="'votes' has missing values"):
        parquet.read(path)


def test_a_table_without_rows_is_refused(path: Path):
    rewrite(path, lambda data: data.slice(0, 0))

    with pytest.raises(TableError, match="has no rows"):
        parquet.read(path)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("split", "exam", TableError, "unknown split 'exam'"),
        ("label", "joy", TableError, "unknown label 'joy'"),
        ("mesh", "0" * 64, ConfigError, "another face mesh"),
        ("data_set", "", TableError, "'data_set' has an impossible value in row 0"),
        ("data_set", "a/b", TableError, "'data_set' has an impossible value"),
        ("source", "1", TableError, "has tiny/1 twice"),
        ("presence", 7.0, TableError, r"'presence' has an impossible value in row 0 \(tiny/0\)"),
        ("presence", float("nan"), TableError, "'presence' has an impossible value"),
        ("brightness", -0.1, TableError, "'brightness' has an impossible value"),
        ("sharpness", -1.0, TableError, "'sharpness' has an impossible value"),
        ("sharpness", float("inf"), TableError, "'sharpness' has an impossible value"),
        ("box", [float("nan")] * 4, TableError, "'box' has an impossible value"),
    ],
)
def test_names_an_impossible_value(path: Path, name: str, value: Any, error: type[EdgeError], message: str):
    rewrite(path, with_column(name, lambda column: pa.array([value, *column.to_pylist()[1:]], column.type)))

    with pytest.raises(error, match=message):
        parquet.read(path)


def test_a_picture_on_two_sides_is_refused(path: Path):
    rewrite(path, with_column("group", lambda c: pa.array([7, *c.to_pylist()[1:-1], 7], c.type)))

    with pytest.raises(TableError, match="one picture is in test and in another split"):
        parquet.read(path)


def test_a_person_on_two_sides_is_refused(path: Path):
    rewrite(path, with_column("subject", lambda c: pa.array(["ann", *c.to_pylist()[1:-1], "ann"], c.type)))

    with pytest.raises(TableError, match="one person is in test and in another split"):
        parquet.read(path)


def test_the_same_name_in_two_data_sets_is_no_person_on_two_sides(tmp_path: Path, measured: Table):
    data_set = np.where(measured.split == "train", "a", "b")
    twins = dataclasses.replace(measured, data_set=data_set, subject=np.where(measured.split == "test", "", "ann"))
    parquet.write(twins, tmp_path / "t.parquet")

    assert parquet.read(tmp_path / "t.parquet").subject[0] == "ann"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("split", "", "unknown split ''"),
        ("source", "1", "has tiny/1 twice"),
        ("landmarks", np.float32(np.inf), "'landmarks' has an impossible value"),
        ("landmarks", np.float32(np.nan), "'landmarks' has an impossible value"),
        ("landmarks", np.float32(-2e38), "'landmarks' has an impossible value"),
    ],
)
def test_refuses_to_write_what_could_not_be_read(tmp_path: Path, measured: Table, name: str, value: Any, message: str):
    values = getattr(measured, name).copy()
    values.flat[1 if name == "landmarks" else 0] = value

    with pytest.raises(TableError, match=message):
        parquet.write(dataclasses.replace(measured, **{name: values}), tmp_path / "t.parquet")

    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_replaced_by_a_table(tmp_path: Path, measured: Table):
    (tmp_path / "data").mkdir()

    with pytest.raises(OutputError, match="data: cannot be written"):
        ensure_writable(tmp_path / "data")
    with pytest.raises(OutputError, match="data: cannot be written"):
        parquet.write(measured, tmp_path / "data")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_write_that_fails_leaves_the_table_before(path: Path, measured: Table):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            parquet.write(measured, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
