from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import WritePicture, WriteText

NAMES = {
    "KA.AN1.39.tiff": ("KA", "anger"),
    "KA.DI3.44.tiff": ("KA", "disgust"),
    "KR.FE2.88.tiff": ("KR", "fear"),
    "KR.HA1.74.tiff": ("KR", "happiness"),
    "YM.NE2.50.tiff": ("YM", "neutral"),
    "YM.SA3.57.tiff": ("YM", "sadness"),
    "YM.SU1.58.tiff": ("YM", "surprise"),
}


def test_names_tell_subject_and_expression(tmp_path: Path, picture: WritePicture):
    for name in NAMES:
        picture(name)

    source = importers.load("jaffe", tmp_path, Options())

    assert {row.source: (row.subject, row.label) for row in source.rows} == NAMES
    assert {row.split for row in source.rows} == {""}
    assert source.rows[0].picture.load().shape == (8, 8, 3)


def test_other_files_are_counted(tmp_path: Path, picture: WritePicture, text: WriteText):
    for name in ("KA.AN1.39.tiff", "KA.XX1.39.tiff"):
        picture(name)
    text("README_FIRST.txt", "please")

    source = importers.load("jaffe", tmp_path, Options())

    assert len(source.rows) == 1
    assert source.dropped == {
        "the file's name is not that of a picture": 1,
        "the file's name is not like KA.AN1.39.tiff": 1,
    }


def test_another_folder_is_refused(tmp_path: Path, picture: WritePicture):
    picture("beach.jpg")

    with pytest.raises(SourceError, match=r"not in a known layout.*KA\.AN1\.39\.tiff"):
        importers.load("jaffe", tmp_path, Options())
