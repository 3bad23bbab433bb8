from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from edge.errors import UsageError
from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import WritePicture, WriteText


@pytest.fixture
def folder(tmp_path: Path, picture: WritePicture):
    """Writes pictures of some names."""

    def write(*names: str):
        for name in names:
            picture(name)
        return tmp_path

    return write


def rows(path: Path, **options: Any):
    return {row.source: row for row in importers.load("folder", path, Options(**options)).rows}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("neutral", "neutral"),
        ("happy", "happiness"),
        ("Joy", "happiness"),
        ("surprised", "surprise"),
        ("SAD", "sadness"),
        ("0_angry", "anger"),
        ("Disgust (12)", "disgust"),
        ("afraid", "fear"),
        ("contempt", "contempt"),
    ],
)
def test_folders_name_the_expressions_in_several_spellings(folder, name: str, label: str):
    found = rows(folder(f"{name}/1.jpg"))

    assert found[f"{name}/1.jpg"].label == label
    assert found[f"{name}/1.jpg"].picture.load().shape == (8, 8, 3)


def test_the_set_is_named_after_its_folder(folder):
    assert importers.load("folder", folder("faces/happy/1.jpg") / "faces", Options()).name == "faces"


@pytest.mark.parametrize("on_disk", ["Fröhlich", "Fro\N{COMBINING DIAERESIS}hlich"])
@pytest.mark.parametrize("typed", ["fröhlich", "fro\N{COMBINING DIAERESIS}hlich"])
@pytest.mark.parametrize("subject", ["Zoë", "Zoe\N{COMBINING DIAERESIS}"])
def test_accents_may_be_written_either_way(folder, on_disk: str, typed: str, subject: str):
    name, given = f"{on_disk}/1.jpg", {typed: "happiness"}

    found = rows(folder(name), labels=given, subject=subject)

    assert found[name].label == "happiness"
    assert found[name].subject == "Zoë"


def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path, picture: WritePicture):
    plain = picture("photos/happy/1.jpg")
    for name in (b"happy/caf\xe9.jpg", b"\xe9t\xe9/1.jpg"):
        path = tmp_path / "photos" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(plain.read_bytes())
    (tmp_path / "photos").rename(tmp_path / os.fsdecode(b"photos\xff"))

    source = importers.load("folder", tmp_path / os.fsdecode(b"photos\xff"), Options(labels={r"\xe9t\xe9": "neutral"}))

    assert source.name == r"photos\xff"
    assert {row.source: row.label for row in source.rows} == {
        "happy/1.jpg": "happiness",
        r"happy/caf\xe9.jpg": "happiness",
        r"\xe9t\xe9/1.jpg": "neutral",
    }
    assert all(row.picture.load().shape == (8, 8, 3) for row in source.rows)


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "pgm", "gif", "ppm", "jp2", "avif", "tif", "webp"])
def test_every_format_that_is_read_elsewhere_is_taken(folder, suffix: str):
    path = folder("happy/1.png", "happy/2.jpg")
    (path / "happy/2.jpg").rename(path / f"happy/2.{suffix}")

    assert set(rows(path)) == {"happy/1.png", f"happy/2.{suffix}"}


def test_heic_is_counted_with_what_to_do(folder):
    path = folder("happy/1.jpg")
    for number in range(3):
        (path / f"happy/{number}.HEIC").touch()

    ((reason, count),) = importers.load("folder", path, Options()).dropped.items()

    assert count == 3
    assert re.match("HEIC pictures are not read; convert them to JPEG, for example with heif-convert", reason)


def test_class_folders_may_be_links(folder, tmp_path: Path):
    folder("disk/smiles/1.jpg", "d/sad/2.jpg")
    (tmp_path / "d/happy").symlink_to("../disk/smiles")
    (tmp_path / "d/neutral").symlink_to("/media/unplugged/neutral")
    (tmp_path / "d/sad/loop").symlink_to("..")

    source = importers.load("folder", tmp_path / "d", Options())

    assert {row.source: row.label for row in source.rows} == {"happy/1.jpg": "happiness", "sad/2.jpg": "sadness"}
    assert source.dropped == {"the link 'neutral' leads nowhere": 1}


def test_split_folders_may_stand_above(folder):
    names = (
        "train/happy/1.jpg",
        "Val/happy/1.png",
        "valid/sad/1.bmp",
        "validation/sad/2.webp",
        "x/test/deep/sad/1.jpg",
    )
    source = importers.load("folder", folder(*names), Options())

    assert {row.source: row.split for row in source.rows} == {
        "train/happy/1.jpg": "train",
        "Val/happy/1.png": "validation",
        "valid/sad/1.bmp": "validation",
        "validation/sad/2.webp": "validation",
        "x/test/deep/sad/1.jpg": "test",
    }
    assert source.notes == []


def test_the_folder_nearest_to_the_picture_decides(folder):
    found = rows(folder("happy/anna/1.jpg", "happy/sad/1.jpg"))

    assert {name: row.label for name, row in found.items()} == {
        "happy/anna/1.jpg": "happiness",
        "happy/sad/1.jpg": "sadness",
    }


def test_a_folder_below_the_label_names_no_split(folder):
    assert rows(folder("happy/test/1.jpg"))["happy/test/1.jpg"].split == "train"


def test_unknown_folders_and_other_files_are_counted_by_name(folder, text: WriteText):
    text("happy/notes.txt", "no picture")
    source = importers.load(
        "folder", folder("happy/1.jpg", "bored/1.jpg", "bored/2.jpg", "tired/1.jpg", "3.jpg"), Options()
    )

    assert [row.source for row in source.rows] == ["happy/1.jpg"]
    assert source.dropped == {
        "the folder 'bored' is not a known expression (give it a label with --label bored=LABEL)": 2,
        "the folder 'tired' is not a known expression (give it a label with --label tired=LABEL)": 1,
        "the picture is in no folder that could name its expression": 1,
        "the file's name is not that of a picture": 1,
    }


def test_the_user_may_name_folders_and_leave_some_out(folder):
    path = folder("0/1.jpg", "Grin/1.jpg", "happy/1.jpg", "sad/1.jpg")
    source = importers.load(
        "folder", path, Options(labels={"0": "anger", "grin": "happiness", "happy": "contempt", "sad": "-"})
    )

    assert {row.source: row.label for row in source.rows} == {
        "0/1.jpg": "anger",
        "Grin/1.jpg": "happiness",
        "happy/1.jpg": "contempt",
    }
    assert source.dropped == {"--label leaves the folder 'sad' out": 1}


def test_a_name_that_no_folder_has_is_refused(folder):
    with pytest.raises(UsageError, match="--label hapy=happiness: there is no folder with that name"):
        rows(folder("happy/1.jpg"), labels={"hapy": "happiness"})


def test_without_subjects_and_splits_all_is_for_training_and_the_note_says_why(folder):
    source = importers.load("folder", folder("happy/1.jpg", "sad/1.jpg"), Options())

    assert {row.split for row in source.rows} == {"train"}
    assert re.search(
        r"^all 2 pictures .*one person could be in two splits.*--subject-pattern.*--split", source.notes[0]
    )


def test_known_subjects_leave_the_split_open(folder):
    path = folder("happy/anna-1.jpg", "sad/ben-1.jpg", "test/sad/anna-2.jpg")
    source = importers.load("folder", path, Options(subject_pattern=re.compile(r"(\w+)-\d+\.jpg")))

    assert {row.source: (row.subject, row.split) for row in source.rows} == {
        "happy/anna-1.jpg": ("anna", ""),
        "sad/ben-1.jpg": ("ben", ""),
        "test/sad/anna-2.jpg": ("anna", "test"),
    }
    assert source.notes == []


def test_one_subject_may_be_named_for_all(folder):
    found = rows(folder("happy/1.jpg", "sad/1.jpg"), subject="anna")

    assert {(row.subject, row.split) for row in found.values()} == {("anna", "")}


def test_a_split_for_all_goes_above_the_folders(folder):
    source = importers.load("folder", folder("train/happy/1.jpg", "sad/1.jpg"), Options(split="test"))

    assert {row.split for row in source.rows} == {"test"}
    assert source.notes == []


@pytest.mark.parametrize("names", [(), ("beach/1.jpg",), ("1.jpg",)])
def test_a_folder_without_expressions_is_refused(folder, names: tuple[str, ...]):
    with pytest.raises(SourceError, match=r"not in a known layout.*happy/1\.jpg"):
        rows(folder(*names))


def test_a_file_is_refused(folder):
    with pytest.raises(SourceError, match=r"not in a known layout"):
        rows(folder("happy/1.jpg") / "happy/1.jpg")
