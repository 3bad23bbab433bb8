from __future__ import annotations

import json
import resource
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge.errors import ConfigError, NoInputError, OutputError
from host_training import keypoints
from host_training.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.keypoints import Table


@pytest.fixture
def path(tmp_path: Path, measured: Table):
    keypoints.write(measured, tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def rewrite(path: Path, change: Callable[[Any], Any], **about: Any):
    """Change the columns of a written table, or its description."""
    data = pq.read_table(path)
    metadata = json.loads(data.schema.metadata[keypoints.METADATA_KEY]) | about
    data = change(data)
    pq.write_table(data.replace_schema_metadata({keypoints.METADATA_KEY: json.dumps(metadata)}), path)


def test_what_was_written_is_read_back(path: Path, measured: Table):
    again = keypoints.read(path)

    for name in ("source", "split", "group", "votes", "presence", "found"):
        np.testing.assert_array_equal(getattr(again, name), getattr(measured, name))


def test_landmarks_keep_their_place_to_half_a_step(path: Path, measured: Table):
    off = np.abs(keypoints.read(path).landmarks - measured.landmarks)[measured.found].max(axis=(1, 2))
    side = np.ptp(measured.landmarks[measured.found], axis=1).max(axis=1)

    assert (off <= 0.51 * side / keypoints.UNITS).all()


def test_a_missed_face_stays_missed(path: Path, measured: Table):
    assert (~measured.found).sum() == 3
    assert np.isnan(keypoints.read(path).landmarks[~measured.found]).all()


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(NoInputError, match="No such file"):
        keypoints.read(tmp_path / "none.parquet")


@pytest.mark.parametrize("keep", [0, 3, 1000, -1000])
def test_a_truncated_table_is_refused(path: Path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(TableError, match="not a whole keypoint table"):
        keypoints.read(path)


def test_any_other_parquet_file_is_refused(tmp_path: Path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")

    with pytest.raises(TableError, match="no keypoint table"):
        keypoints.read(tmp_path / "x.parquet")


def test_a_missing_column_is_named(path: Path):
    rewrite(path, lambda data: data.drop_columns(["votes"]))

    with pytest.raises(TableError, match="lacks the column 'votes'"):
        keypoints.read(path)


def test_a_column_of_the_wrong_type_is_named(path: Path):
    rewrite(path, lambda data: data.set_column(2, "group", data["group"].cast(pa.string())))

    with pytest.raises(TableError, match="'group' is string, not int32"):
        keypoints.read(path)


def test_a_table_of_a_later_schema_is_refused(path: Path):
    rewrite(path, lambda data: data, schema=2)

    with pytest.raises(TableError, match="schema 2, and this is for 1"):
        keypoints.read(path)


def test_landmarks_of_another_mesh_are_refused(path: Path):
    rewrite(path, lambda data: data, landmarker_sha256="0" * 64)

    with pytest.raises(ConfigError, match="another face mesh"):
        keypoints.read(path)


def test_a_hole_is_refused(path: Path):
    def punch(data: Any) -> Any:
        values = data["presence"].to_pylist()
        return data.set_column(5, "presence", pa.array([None, *values[1:]], pa.float32()))

    rewrite(path, punch)

    with pytest.raises(TableError, match="'presence' has holes"):
        keypoints.read(path)


def test_a_picture_on_two_sides_is_refused(tmp_path: Path, measured: Table, changed: Callable[..., Table]):
    group = measured.group.copy()
    group[[0, -1]] = 7
    keypoints.write(changed(group=group), tmp_path / "leak.parquet")

    with pytest.raises(TableError, match="one picture stands in test and elsewhere"):
        keypoints.read(tmp_path / "leak.parquet")


def test_an_unknown_split_is_refused(tmp_path: Path, measured: Table, changed: Callable[..., Table]):
    keypoints.write(changed(split=np.where(measured.split == "test", "exam", measured.split)), tmp_path / "t.parquet")

    with pytest.raises(TableError, match="split 'exam'"):
        keypoints.read(tmp_path / "t.parquet")


def test_a_folder_is_not_replaced_by_a_table(tmp_path: Path, measured: Table):
    (tmp_path / "data").mkdir()

    with pytest.raises(OutputError, match="data: cannot be written"):
        keypoints.write(measured, tmp_path / "data")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_write_that_fails_leaves_the_table_before(path: Path, measured: Table):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            keypoints.write(measured, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
