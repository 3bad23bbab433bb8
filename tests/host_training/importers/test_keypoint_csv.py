from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.errors import UsageError
from host_training import importers
from host_training.data import parquet
from host_training.data.keypoints import UNKNOWN_MESH
from host_training.data.labels import LABELS
from host_training.data.source import Options
from host_training.errors import SourceError
from host_training.importers import keypoint_csv

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .conftest import WriteText

CLASSES = "\ufeffAngry\nHappy\nNeutral\nTired\n"


def relative(face: NDArray[np.float32]):
    """Coordinates as the older tools keep them: from the first point, divided by the largest."""
    points = face[:, :2] - face[0, :2]
    return points / np.abs(points).max()


def line(number: object, points: NDArray[np.float32]):
    return f"{number},{','.join(map(str, points.ravel().tolist()))}\n"


@pytest.fixture
def load(text: WriteText, depth_table: Path):
    """Writes the two files and reads them; text that is None is not written."""

    def run(lines: str, classes: str | None = CLASSES, **options: Any):
        path = text("keypoint.csv", lines)
        if classes is not None:
            text("keypoint_classifier_label.csv", classes)
        return keypoint_csv.load(path, Options(**options), depth_table)

    return run


def test_classes_become_labels_by_their_names(load, golden: NDArray[np.float32]):
    table = load("".join(line(number, relative(golden[number])) for number in (2, 0, 1))).table

    assert [LABELS[index] for index in table.label] == ["neutral", "anger", "happiness"]
    assert not table.votes.any()


def test_the_face_keeps_its_shape_at_200_px(load, golden: NDArray[np.float32]):
    in_px = np.floor(golden[1][:, :2] * 5)
    table = load(line(0, relative(golden[0])) + line(0, in_px)).table

    for face, original in zip(table.landmarks[:, :, :2], (golden[0][:, :2], in_px), strict=True):
        assert np.ptp(face, axis=0).max() == pytest.approx(200)
        scale = 200 / np.ptp(original, axis=0).max()
        np.testing.assert_allclose(face, (original - original.min(axis=0)) * scale, atol=1e-3)


def test_the_depth_is_estimated(load, golden: NDArray[np.float32]):
    result = load("".join(line(0, relative(face)) for face in golden))
    scale = 200 / np.ptp(golden[:, :, :2], axis=1).max(axis=1)
    truth = (golden[:, :, 2] - golden[:, :, 2].mean(axis=1, keepdims=True)) * scale[:, None]

    assert np.abs(result.table.landmarks[:, :, 2] - truth).mean() < 1
    assert any("estimated" in note for note in result.notes)


def test_all_rows_are_one_person_on_one_side(load, golden: NDArray[np.float32]):
    lines = line(0, relative(golden[0])) + "\n" + line(0, relative(golden[1]))
    unnamed, named = load(lines), load(lines, subject="anna")

    (subject,) = set(unnamed.table.subject)
    assert re.fullmatch("keypoint-[0-9a-f]{8}", subject), "of another file it is another person"
    assert "--subject names that person" in unnamed.notes[1]
    assert set(load(lines + line(0, relative(golden[2]))).table.subject) != {subject}
    assert named.table.ids.tolist() == ["keypoint-csv/anna/1", "keypoint-csv/anna/3"]
    assert set(named.table.subject) == {"anna"}
    assert set(named.table.split) == {"train"}
    assert "'anna'" in named.notes[1]


def test_marks_unknown_values_of_faces(load, golden: NDArray[np.float32]):
    table = load(line(0, relative(golden[0]))).table

    assert table.mesh.tolist() == [UNKNOWN_MESH]
    assert table.presence.tolist() == [1]
    assert np.isnan(table.brightness).all()
    assert np.isnan(table.sharpness).all()


def test_equal_rows_form_a_group(load, golden: NDArray[np.float32]):
    group = load("".join(line(0, relative(golden[face])) for face in (0, 1, 0))).table.group

    assert group[0] == group[2] != group[1]


def test_the_result_is_a_proper_table(load, golden: NDArray[np.float32], tmp_path: Path):
    table = load("".join(line(number % 3, relative(golden[number])) for number in range(9))).table

    parquet.write(table, tmp_path / "table.parquet")

    back = parquet.read(tmp_path / "table.parquet")
    np.testing.assert_allclose(back.landmarks, table.landmarks, atol=0.2)
    assert back.label.tolist() == table.label.tolist()


def test_counts_unwanted_rows(load, golden: NDArray[np.float32]):
    face = relative(golden[0])
    lines = [line(0, face), line(3, face), line(1, face), line(4, face), line(0, np.zeros((478, 2), np.float32))]

    result = load("".join(lines), labels={"happy": "-"})

    assert len(result.table) == 1
    assert result.dropped == {
        "the class 'Tired' is not a known expression (give it a label with --label Tired=LABEL)": 1,
        "--label leaves the class 'Happy' out": 1,
        "the class '4' is not a known expression (give it a label with --label 4=LABEL)": 1,
        "all landmarks are on one line": 1,
    }


def test_the_user_may_name_classes_by_number(load, golden: NDArray[np.float32]):
    lines = line(0, relative(golden[0])) + line(1, relative(golden[1]))

    table = load(lines, classes=None, labels={"0": "sadness", "1": "fear"}).table

    assert [LABELS[index] for index in table.label] == ["sadness", "fear"]


def test_asks_for_the_names_of_classes(load, golden: NDArray[np.float32]):
    with pytest.raises(
        UsageError, match=r"keypoint_classifier_label\.csv is missing; name the classes with --label 0="
    ):
        load(line(0, relative(golden[0])), classes=None)


def test_a_name_that_no_class_has_is_refused(load, golden: NDArray[np.float32]):
    with pytest.raises(UsageError, match="--label 7=fear: there is no class"):
        load(line(0, relative(golden[0])), labels={"7": "fear"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1,2,3\n", "line 1: 3 cells instead of a class and 478 pairs"),
        ("0" + ",0.5" * 936 + "\n", "line 1: has 468 landmarks, but only the mesh with irises"),
        ("happy" + ",0.5" * 956 + "\n", "line 1: not all cells are numbers"),
        ("0,x" + ",0.5" * 955 + "\n", "line 1: not all cells are numbers"),
        ("0,nan" + ",0.5" * 955 + "\n", "line 1: not all cells are finite numbers"),
        ("-1" + ",0.5" * 956 + "\n", "line 1: not all cells are finite numbers"),
        ("0" + ",0.5" * 956 + "\n", "no row is left .all landmarks are on one line"),
        ("", "has no rows"),
    ],
)
def test_damaged_files_are_refused(load, lines: str, message: str):
    with pytest.raises(SourceError, match=rf"keypoint\.csv(, |: ){message}"):
        load(lines)


def test_odd_bytes_are_refused(tmp_path: Path, load):
    with pytest.raises(SourceError, match="has no rows"):
        load("")
    (tmp_path / "keypoint.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SourceError, match="not a csv file"):
        importers.load("keypoint-csv", tmp_path / "keypoint.csv", Options())


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"a folder; give the keypoint\.csv in it"):
        importers.load("keypoint-csv", tmp_path, Options())
