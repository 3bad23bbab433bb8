from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import WritePicture, WriteText


@pytest.fixture
def sequence(picture: WritePicture, text: WriteText):
    """Writes a sequence of frames, and its emotion file if it has one."""

    def write(subject: str, number: str, frames: int, emotion: str | None):
        for frame in range(1, frames + 1):
            picture(f"cohn-kanade-images/{subject}/{number}/{subject}_{number}_{frame:08d}.png")
        if emotion is not None:
            text(f"Emotion/{subject}/{number}/{subject}_{number}_{frames:08d}_emotion.txt", emotion)

    return write


def test_a_sequence_gives_its_first_frame_as_neutral_and_its_last_three_as_the_expression(tmp_path: Path, sequence):
    sequence("S005", "001", 11, "   3.0000000e+00\n")

    source = importers.load("ckplus", tmp_path, Options())

    assert [(row.source, row.label) for row in source.rows] == [
        ("S005/001/S005_001_00000001.png", "neutral"),
        ("S005/001/S005_001_00000009.png", "disgust"),
        ("S005/001/S005_001_00000010.png", "disgust"),
        ("S005/001/S005_001_00000011.png", "disgust"),
    ]
    assert source.rows[3].picture.load().shape == (8, 8, 3)
    assert source.dropped == {"the frame lies between the neutral face and the peak": 7}


@pytest.mark.parametrize(
    ("code", "label"),
    list(enumerate(("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"))),
)
def test_the_codes_of_the_emotion_files(tmp_path: Path, sequence, code: int, label: str):
    sequence("S010", "002", 4, f"   {code}.0000000e+00\n")

    assert importers.load("ckplus", tmp_path, Options()).rows[-1].label == label


def test_subjects_are_known_and_their_splits_left_open(tmp_path: Path, sequence):
    sequence("S005", "001", 5, "3")
    sequence("S010", "001", 5, "1")

    rows = importers.load("ckplus", tmp_path, Options()).rows

    assert [row.subject for row in rows] == ["S005"] * 4 + ["S010"] * 4
    assert {row.split for row in rows} == {""}


def test_counts_sequences_without_an_expression(tmp_path: Path, sequence):
    sequence("S005", "001", 5, "3")
    sequence("S005", "002", 6, None)
    sequence("S005", "003", 3, "5")

    source = importers.load("ckplus", tmp_path, Options())

    assert len(source.rows) == 4
    assert source.dropped["the sequence has no emotion label"] == 6
    assert source.dropped["the sequence is too short for a neutral frame and three of the peak"] == 3


@pytest.mark.parametrize("content", ["8.0", "2.5", "", "happy", "nan"])
def test_an_emotion_file_with_another_code_is_refused(tmp_path: Path, sequence, content: str):
    sequence("S005", "001", 5, content)

    with pytest.raises(SourceError, match=r"S005_001_00000005_emotion\.txt: does not hold a code from 0 to 7"):
        importers.load("ckplus", tmp_path, Options())


def test_pictures_without_labels_say_which_archive_is_missing(tmp_path: Path, sequence):
    sequence("S005", "001", 5, None)

    with pytest.raises(SourceError, match=r"not the folder Emotion; unpack Emotion_labels\.zip"):
        importers.load("ckplus", tmp_path, Options())


def test_the_48_px_folders_tell_label_and_subject(tmp_path: Path, picture: WritePicture):
    for name in ("anger/S010_004_00000017.png", "happy/S055_005_00000043.png", "contempt/S138_008_00000007.png"):
        picture(f"CK+48/{name}")

    source = importers.load("ckplus", tmp_path, Options())

    assert [(row.label, row.subject, row.split) for row in source.rows] == [
        ("anger", "S010", ""),
        ("contempt", "S138", ""),
        ("happiness", "S055", ""),
    ]
    assert [row.source for row in importers.load("ckplus", tmp_path / "CK+48", Options()).rows] == [
        row.source for row in source.rows
    ]


def test_a_picture_whose_subject_or_label_is_not_known_is_counted(tmp_path: Path, picture: WritePicture):
    for name in ("anger/S010_004_00000017.png", "anger/copy.png", "boredom/S011_004_00000017.png"):
        picture(name)

    source = importers.load("ckplus", tmp_path, Options())

    assert len(source.rows) == 1
    assert len(source.dropped) == 2
    assert set(source.dropped.values()) == {1}


def test_the_csv_keeps_all_rows_on_one_side_and_says_why(text: WriteText):
    face = " ".join(["7"] * 48 * 48)
    usages = ("Training", "PublicTest", "PrivateTest", *["Training"] * 5)
    path = text(
        "ckextended.csv",
        "emotion,pixels,Usage\n" + "\n".join(f"{code},{face},{usage}" for code, usage in enumerate(usages)),
    )

    source = importers.load("ckplus", path, Options())

    assert [row.label for row in source.rows] == [
        *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
    ]
    assert {row.split for row in source.rows} == {"train"}
    assert "does not say who is in a picture" in source.notes[0]

    whole = importers.load("ckplus", path, Options(split="test"))

    assert {row.split for row in whole.rows} == {"test"}
    assert whole.notes[0].endswith("all rows are in the test split")


def test_unknown_codes_of_the_csv_are_refused(text: WriteText):
    path = text("ckextended.csv", f"emotion,pixels,Usage\n8,{' '.join(['7'] * 48 * 48)},Training\n")

    with pytest.raises(SourceError, match="line 2: emotion '8' is not a code from 0 to 7"):
        importers.load("ckplus", path, Options())


def test_another_folder_is_refused_with_the_layouts_that_are_known(tmp_path: Path, picture: WritePicture):
    picture("holidays/S010_004_00000017.png")

    with pytest.raises(SourceError, match=r"'holidays'.*cohn-kanade-images.*CK\+48.*ckextended\.csv"):
        importers.load("ckplus", tmp_path, Options())
