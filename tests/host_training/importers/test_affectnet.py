from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import WritePicture, WriteText

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"


def line(place: str, expression: object, box: str = "20,30,40,60"):
    return f"{place},{box},1.5;2.5;3.5;4.5,{expression},-0.5,0.25\n"


@pytest.fixture
def lists(tmp_path: Path, picture: WritePicture, text: WriteText):
    """The original layout: a training row for each code, one row for validation."""
    places = [f"{number}/{number}.jpg" for number in range(11)]
    for place in [*places, "99/99.jpg"]:
        picture(f"Manually_Annotated_Images/{place}", height=200, width=100)
    text("training.csv", HEADER + "".join(line(place, code) for code, place in enumerate(places)))
    text("validation.csv", HEADER + line("99/99.jpg", 1))
    return tmp_path


@pytest.fixture
def sets(tmp_path: Path, picture: WritePicture):
    """The newer layout: a training row for each code, one row for validation."""
    for name, codes in (("train_set", range(11)), ("val_set", [6])):
        for code in codes:
            picture(f"{name}/images/{code}.jpg")
            annotation = tmp_path / name / "annotations" / f"{code}_exp.npy"
            annotation.parent.mkdir(exist_ok=True)
            np.save(annotation, str(code))
    return tmp_path


def test_the_lists_give_labels_and_leave_out_what_is_no_expression(lists: Path):
    source = importers.load("affectnet", lists, Options())

    assert [row.label for row in source.rows] == [*LABELS, "happiness"]
    assert source.dropped == {
        "its annotation is 'none'": 1,
        "its annotation is 'uncertain'": 1,
        "its annotation is 'no face'": 1,
    }


def test_the_published_validation_set_is_the_test(lists: Path):
    rows = importers.load("affectnet", lists, Options()).rows

    assert [row.source for row in rows if row.split == "test"] == ["99/99.jpg"]


def test_the_box_of_the_face_is_taken_with_a_margin(lists: Path):
    picture = importers.load("affectnet", lists, Options()).rows[0].picture

    assert picture.box == (10, 15, 60, 90)
    assert picture.load().shape == (90, 60, 3)


@pytest.mark.parametrize("box", ["NULL,NULL,NULL,NULL", "0,0,-1,-1"])
def test_without_a_box_the_whole_picture_is_taken(lists: Path, text: WriteText, box: str):
    text("training.csv", HEADER + line("0/0.jpg", 0, box))

    assert importers.load("affectnet", lists, Options()).rows[0].picture.load().shape == (200, 100, 3)


def test_a_twentieth_of_the_training_rows_is_held_out(tmp_path: Path, text: WriteText):
    folder = tmp_path / "Manually_Annotated_Images/1"
    folder.mkdir(parents=True)
    for number in range(600):
        (folder / f"{number}.jpg").touch()
    text("Manually_Annotated_file_lists/training.csv", HEADER + "".join(line(f"1/{n}.jpg", 1) for n in range(600)))

    source = importers.load("affectnet", tmp_path, Options())
    again = importers.load("affectnet", tmp_path, Options())

    assert 15 <= sum(row.split == "validation" for row in source.rows) <= 45
    assert {row.split for row in source.rows} == {"train", "validation"}
    assert [row.split for row in source.rows] == [row.split for row in again.rows]
    assert source.notes == ["validation.csv is missing, so there are no rows for test"]


def test_missing_pictures_are_counted(lists: Path):
    (lists / "Manually_Annotated_Images/0/0.jpg").unlink()
    (lists / "Manually_Annotated_Images/1/1.jpg").unlink()
    (lists / "Manually_Annotated_Images/1").rmdir()

    source = importers.load("affectnet", lists, Options())

    assert source.dropped["the picture is missing"] == 2
    assert source.rows[0].source == "2/2.jpg"


def test_the_sets_give_the_same_as_the_lists(sets: Path):
    source = importers.load("affectnet", sets, Options())

    assert {row.source: row.label for row in source.rows} == {
        **{f"train_set/images/{code}.jpg": label for code, label in enumerate(LABELS)},
        "val_set/images/6.jpg": "anger",
    }
    assert [row.source for row in source.rows if row.split == "test"] == ["val_set/images/6.jpg"]
    assert sum(source.dropped.values()) == 3


def test_accepts_numbers_as_annotations(sets: Path):
    np.save(sets / "train_set/annotations/0_exp.npy", np.int64(7))

    assert importers.load("affectnet", sets, Options()).rows[0].label == "contempt"


def test_a_picture_without_an_annotation_is_counted(sets: Path):
    (sets / "train_set/annotations/0_exp.npy").unlink()

    assert importers.load("affectnet", sets, Options()).dropped["the picture has no annotation of its expression"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (line("0/0.jpg", 11), "line 2: expression '11' is not a code from 0 to 10"),
        (line("0/0.jpg", "happy"), "line 2: expression 'happy'"),
        (line("0/0.jpg", 1, "a,b,c,d"), "line 2: its box is not four numbers"),
        ("0/0.jpg,1,2\n", "line 2: 3 cells instead of 9"),
    ],
)
def test_a_damaged_row_is_refused_by_its_line(lists: Path, text: WriteText, row: str, message: str):
    text("training.csv", HEADER + row)

    with pytest.raises(SourceError, match=rf"training\.csv, {message}"):
        importers.load("affectnet", lists, Options())


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"12"])
def test_a_damaged_annotation_is_refused(sets: Path, content: bytes):
    (sets / "train_set/annotations/0_exp.npy").write_bytes(content)

    with pytest.raises(SourceError, match=r"0_exp\.npy: not a complete npy file"):
        importers.load("affectnet", sets, Options())


def test_an_annotation_of_another_code_is_refused(sets: Path):
    np.save(sets / "train_set/annotations/0_exp.npy", "11")

    with pytest.raises(SourceError, match=r"0_exp\.npy: expression '11' is not a code"):
        importers.load("affectnet", sets, Options())


def test_lists_without_pictures_are_refused_with_the_layouts_that_are_known(tmp_path: Path, text: WriteText):
    text("training.csv", HEADER + line("0/0.jpg", 1))

    with pytest.raises(SourceError, match=r"Manually_Annotated_Images.*train_set and val_set"):
        importers.load("affectnet", tmp_path, Options())
