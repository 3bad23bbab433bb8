from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from edge.errors import NoInputError, UsageError
from host_training import importers
from host_training.data.source import ImageFile, Measured, Options, Pixels
from host_training.errors import SourceError
from host_training.importers import depth

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .conftest import WritePicture, WriteText

ANY = sorted(importers.IMPORTERS)
FACE = " ".join(["7"] * 48 * 48)


@pytest.mark.parametrize("name", ANY)
def test_every_importer_describes_its_path_in_one_line(name: str):
    summary = importers.IMPORTERS[name].SUMMARY

    assert 0 < len(summary) <= 110
    assert "\n" not in summary


@pytest.mark.parametrize("name", ANY)
def test_names_a_missing_path(name: str, tmp_path: Path):
    with pytest.raises(NoInputError, match="nowhere: No such file or directory"):
        importers.load(name, tmp_path / "nowhere", Options())


@pytest.mark.parametrize("name", sorted({*ANY} - {"keypoint-csv"}))
def test_an_empty_folder_is_refused(name: str, tmp_path: Path):
    with pytest.raises(SourceError, match="not in a known layout"):
        importers.load(name, tmp_path, Options())


def test_an_unknown_name_gets_the_list(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown data set 'imagenet'; choose fer2013, ckplus"):
        importers.load("imagenet", tmp_path, Options())


@pytest.mark.parametrize(
    ("name", "options", "flag"),
    [
        ("jaffe", {"ferplus": "fer2013new.csv"}, "--ferplus"),
        ("fer2013", {"labels": {"happy": "-"}}, "--label"),
        ("rafdb", {"subject": "anna"}, "--subject"),
        ("folder", {"ferplus": "fer2013new.csv"}, "--ferplus"),
        ("emotic", {"subject": "anna"}, "--subject"),
    ],
)
def test_refuses_unused_options(name: str, options: dict[str, Any], flag: str, tmp_path: Path):
    with pytest.raises(UsageError, match=f"{name} takes no {flag}; leave it out"):
        importers.load(name, tmp_path, Options(**options))


def test_unknown_splits_and_labels_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="--split: unknown split 'half'; choose train, validation or test"):
        importers.load("folder", tmp_path, Options(split="half"))
    with pytest.raises(UsageError, match=r"--label grin=glee: unknown label 'glee'; choose neutral, .* or -"):
        importers.load("folder", tmp_path, Options(labels={"grin": "glee"}))


def test_a_split_for_all_goes_above_what_the_data_set_says(text: WriteText):
    path = text("fer2013.csv", f"emotion,pixels,Usage\n3,{FACE},Training\n3,{FACE},PrivateTest\n")

    rows = importers.load("fer2013", path, Options(split="validation")).rows

    assert [row.split for row in rows] == ["validation", "validation"]


def test_a_pattern_finds_subjects_in_any_set_of_files(tmp_path: Path, picture: WritePicture):
    picture("DATASET/train/1/train_00001_aligned.jpg")

    pattern, group = re.compile(r"\d{5}"), re.compile(r"train_(\d+)_")
    for each in (pattern, group):
        rows = importers.load("rafdb", tmp_path, Options(subject_pattern=each)).rows
        assert [row.subject for row in rows] == ["00001"]


def test_a_pattern_must_find_a_subject_in_each_picture(tmp_path: Path, picture: WritePicture):
    picture("happy/anna-1.jpg")
    picture("happy/2.jpg")

    with pytest.raises(UsageError, match=r"finds nothing in 'happy/2\.jpg'"):
        importers.load("folder", tmp_path, Options(subject_pattern=re.compile(r"(\w+)-")))


def test_a_pattern_is_refused_where_there_are_no_files(text: WriteText):
    path = text("ckextended.csv", f"emotion,pixels\n3,{FACE}\n")

    with pytest.raises(UsageError, match="finds subjects in file names, and ckplus has none here"):
        importers.load("ckplus", path, Options(subject_pattern=re.compile("S.*")))


def test_a_picture_that_is_listed_twice_is_taken_once(tmp_path: Path, picture: WritePicture, text: WriteText):
    picture("basic/Image/aligned/train_00001_aligned.jpg")
    text("basic/EmoLabel/list_patition_label.txt", "train_00001.jpg 1\ntrain_00001.jpg 5\n")

    source = importers.load("rafdb", tmp_path, Options())

    assert [row.label for row in source.rows] == ["surprise"]
    assert source.dropped == {"the data set lists the picture twice": 1}


def test_a_set_of_which_nothing_is_left_is_refused(tmp_path: Path, text: WriteText):
    (tmp_path / "basic/Image/aligned").mkdir(parents=True)
    text("basic/EmoLabel/list_patition_label.txt", "train_00001.jpg 1\n")

    with pytest.raises(SourceError, match=r"no picture is left \(the picture is missing\)"):
        importers.load("rafdb", tmp_path, Options())


def test_pictures_in_files_are_not_read_before_they_are_measured(tmp_path: Path, text: WriteText):
    text("happy/1.jpg", "this is no picture")

    picture = importers.load("folder", tmp_path, Options()).rows[0].picture

    assert picture == ImageFile(tmp_path / "happy/1.jpg")


def test_pictures_in_a_table_are_at_hand(text: WriteText):
    path = text("fer2013.csv", f"emotion,pixels,Usage\n3,{FACE},Training\n")

    picture = importers.load("fer2013", path, Options()).rows[0].picture

    assert isinstance(picture, Pixels)
    assert (picture.load() == 7).all()


def test_a_split_for_all_is_given_to_landmarks_too(
    text: WriteText, golden: NDArray[np.float32], depth_table: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(depth, "PUBLISHED", depth_table)
    path = text("keypoint.csv", f"0,{','.join(map(str, golden[0][:, :2].ravel().tolist()))}\n")

    loaded = importers.load("keypoint-csv", path, Options(labels={"0": "anger"}, split="test"))

    assert isinstance(loaded, Measured)
    assert loaded.table.split.tolist() == ["test"]
