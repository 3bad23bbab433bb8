from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import WritePicture, WriteText

LABELS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
LIST = "basic/EmoLabel/list_patition_label.txt"


@pytest.fixture
def basic(tmp_path: Path, picture: WritePicture, text: WriteText):
    """Seven aligned pictures for training, one for test."""
    names = [f"train_{number:05d}" for number in range(1, 8)] + ["test_0001"]
    for name in names:
        picture(f"basic/Image/aligned/{name}_aligned.jpg", width=10)
    text(LIST, "".join(f"{name}.jpg {number % 7 + 1}\n" for number, name in enumerate(names)))
    return tmp_path / "basic"


def test_the_list_gives_labels_and_the_test_split(basic: Path):
    rows = importers.load("rafdb", basic, Options()).rows

    assert [row.label for row in rows] == [*LABELS, "surprise"]
    assert [row.source for row in rows if row.split == "test"] == ["test_0001.jpg"]
    assert rows[0].picture.load().shape == (8, 10, 3)


def test_the_folder_above_will_do(basic: Path):
    assert len(importers.load("rafdb", basic.parent, Options()).rows) == 8


def test_original_pictures_stand_in_for_aligned_ones_with_the_box_of_the_face(
    basic: Path, picture: WritePicture, text: WriteText
):
    for name in ("train_00001", "train_00002"):
        (basic / f"Image/aligned/{name}_aligned.jpg").unlink()
        picture(f"basic/Image/original/{name}.jpg", height=100, width=200)
    text("basic/Annotation/boundingbox/train_00001_boundingbox.txt", "40.0 20.0 80.0 60.0\n")

    rows = importers.load("rafdb", basic, Options()).rows

    assert rows[0].picture.box == (30, 10, 60, 60)
    assert rows[0].picture.load().shape == (60, 60, 3)
    assert rows[1].picture.load().shape == (100, 200, 3)


def test_missing_pictures_are_counted(basic: Path):
    (basic / "Image/aligned/train_00003_aligned.jpg").unlink()

    source = importers.load("rafdb", basic, Options())

    assert len(source.rows) == 7
    assert source.dropped == {"the picture is missing": 1}


def test_a_tenth_of_the_training_rows_is_held_out_in_both_layouts_alike(
    tmp_path: Path, text: WriteText, picture: WritePicture
):
    names = [f"train_{number:05d}" for number in range(300)]
    for name in names:
        picture(f"basic/Image/aligned/{name}_aligned.jpg")
        picture(f"DATASET/train/4/{name}_aligned.jpg")
    text(LIST, "".join(f"{name}.jpg 4\n" for name in names))

    by_list = importers.load("rafdb", tmp_path / "basic", Options()).rows
    by_folder = importers.load("rafdb", tmp_path / "DATASET", Options()).rows

    assert [row.split for row in by_list] == [row.split for row in by_folder]
    assert 20 <= sum(row.split == "validation" for row in by_list) <= 40
    assert {row.split for row in by_list} == {"train", "validation"}


def test_the_folders_give_labels_and_splits(tmp_path: Path, picture: WritePicture):
    for code in range(1, 8):
        picture(f"DATASET/test/{code}/test_000{code}_aligned.jpg")
    picture("DATASET/test/8/test_0009_aligned.jpg")
    picture("DATASET/other/1/test_0010_aligned.jpg")

    source = importers.load("rafdb", tmp_path, Options())

    assert [row.label for row in source.rows] == list(LABELS)
    assert {row.split for row in source.rows} == {"test"}
    assert source.dropped == {"the picture is not in a folder like train/1": 2}


@pytest.mark.parametrize("line", ["train_00001.jpg 8", "train_00001.jpg", "img.jpg 1", "train_00001.jpg happy"])
def test_a_line_of_another_kind_is_refused(basic: Path, line: str):
    path = basic / "EmoLabel/list_patition_label.txt"
    path.write_text(f"train_00002.jpg 1\n{line}\n")

    with pytest.raises(SourceError, match=rf"line 2: '{line}' is not like 'train_00001\.jpg 5'"):
        importers.load("rafdb", basic, Options())


def test_odd_bytes_are_refused(basic: Path):
    (basic / "EmoLabel/list_patition_label.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SourceError, match="not a text file"):
        importers.load("rafdb", basic, Options())


def test_refuses_a_malformed_box(basic: Path, picture: WritePicture, text: WriteText):
    (basic / "Image/aligned/train_00001_aligned.jpg").unlink()
    picture("basic/Image/original/train_00001.jpg")
    text("basic/Annotation/boundingbox/train_00001_boundingbox.txt", "40.0 20.0")

    with pytest.raises(SourceError, match=r"train_00001_boundingbox\.txt: not the four numbers"):
        importers.load("rafdb", basic, Options())


def test_another_folder_is_refused(tmp_path: Path, picture: WritePicture):
    picture("holidays/beach.jpg")

    with pytest.raises(SourceError, match=r"not in a known layout.*list_patition_label\.txt.*DATASET"):
        importers.load("rafdb", tmp_path, Options())
