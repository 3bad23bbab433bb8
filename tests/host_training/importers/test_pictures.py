from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.errors import NoInputError, UsageError
from host_training.data.keypoints import Table, take
from host_training.data.source import fingerprint
from host_training.importers import depth
from host_training.importers.pictures import pictures_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ["happy/a.png", "gone.png", "sad/b.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of two rows of the table, each of one shade, and one of no row."""
    for name, shade in (("happy/a.png", 10), ("sad/b.png", 20), ("sad/other.png", 30)):
        (tmp_path / "web" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "web" / name), np.full((8, 8, 3), shade, np.uint8))
    return tmp_path / "web"


@pytest.fixture
def rows(table: Table) -> Callable[[str], Table]:
    """Three rows of a data set, the second of which has no picture."""

    def named(data_set: str) -> Table:
        return dataclasses.replace(take(table, np.arange(3)), data_set=np.full(3, data_set), source=np.array(NAMES))

    return named


def test_each_row_gets_its_own_picture_and_those_without_one_get_none(rows: Callable[[str], Table], folder: Path):
    pictures = pictures_of(rows("web"), [f"folder:{folder}"])

    assert {row: int(picture.load()[0, 0, 0]) for row, picture in pictures.items()} == {0: 10, 2: 20}


def test_several_data_sets_add_up(rows: Callable[[str], Table], folder: Path, tmp_path: Path):
    (tmp_path / "more").mkdir()
    (folder / "sad").rename(tmp_path / "more" / "sad")
    table = dataclasses.replace(rows("web"), data_set=np.array(["web", "web", "more"]))

    pictures = pictures_of(table, [f"folder:{folder}", f"folder:{tmp_path / 'more'}"])

    assert pictures.keys() == {0, 2}


def test_pictures_of_one_name_go_to_the_rows_that_show_them(rows: Callable[[str], Table], folder: Path, tmp_path: Path):
    other = tmp_path / "ben" / "web"
    (other / "happy").mkdir(parents=True)
    cv2.imwrite(str(other / "happy/a.png"), np.full((8, 8, 3), 40, np.uint8))
    (other / "happy/b.png").write_bytes(b"no picture")
    groups = [fingerprint(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 40, 20)]
    table = dataclasses.replace(
        rows("web"), source=np.array(["happy/a.png", "happy/a.png#2", "sad/b.png"]), group=np.array(groups)
    )

    for given in ([folder, other], [other, folder]):
        pictures = pictures_of(table, [f"folder:{path}" for path in given])
        assert {row: int(picture.load()[0, 0, 0]) for row, picture in pictures.items()} == {0: 10, 1: 40, 2: 20}
    assert pictures_of(table, [f"folder:{other}"]).keys() == {1}


def test_folders_need_no_names_of_expressions(rows: Callable[[str], Table], folder: Path):
    (folder / "happy").rename(folder / "grins")
    table = dataclasses.replace(rows("web"), source=np.array(["grins/a.png", "gone.png", "sad/b.png"]))

    assert pictures_of(table, [f"folder:{folder}"]).keys() == {0, 2}


def test_accents_in_names_may_be_written_either_way(rows: Callable[[str], Table], folder: Path):
    (folder / "happy" / "a.png").rename(folder / "happy" / "Zoe\N{COMBINING DIAERESIS}.png")
    table = dataclasses.replace(rows("web"), source=np.array(["happy/Zoë.png", "gone.png", "sad/b.png"]))

    assert pictures_of(table, [f"folder:{folder}"]).keys() == {0, 2}


def test_where_no_data_set_is_given_there_is_no_picture(rows: Callable[[str], Table]):
    assert pictures_of(rows("web"), []) == {}


@pytest.mark.parametrize("text", ["fer2013.csv", ":fer2013.csv", "fer2013:"])
def test_a_data_set_is_named_with_its_place(rows: Callable[[str], Table], text: str):
    with pytest.raises(UsageError, match=f"--pictures {text}: give a data set and its path, such as fer2013:"):
        pictures_of(rows("web"), [text])


def test_refuses_unknown_and_missing_data_sets(rows: Callable[[str], Table], tmp_path: Path):
    with pytest.raises(UsageError, match="unknown data set 'mine'"):
        pictures_of(rows("web"), [f"mine:{tmp_path}"])
    with pytest.raises(NoInputError, match=r"none\.csv: No such file"):
        pictures_of(rows("web"), [f"fer2013:{tmp_path / 'none.csv'}"])


def test_a_data_set_of_landmarks_alone_is_refused(
    rows: Callable[[str], Table],
    faces: NDArray[np.float32],
    depth_table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(depth, "PUBLISHED", depth_table)
    (tmp_path / "keypoint.csv").write_text(f"0,{','.join(map(str, faces[0][:, :2].ravel().tolist()))}\n")
    (tmp_path / "keypoint_classifier_label.csv").write_text("Happy\n")

    with pytest.raises(UsageError, match="keypoint-csv has no pictures; leave it out"):
        pictures_of(rows("web"), [f"keypoint-csv:{tmp_path / 'keypoint.csv'}"])


def test_a_data_set_without_a_picture_of_the_table_is_refused(rows: Callable[[str], Table], folder: Path):
    with pytest.raises(UsageError, match="none of its 3 pictures belongs to the table"):
        pictures_of(rows("elsewhere"), [f"folder:{folder}"])
