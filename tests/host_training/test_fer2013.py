from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.errors import NoInputError, UsageError
from host_training import fer2013
from host_training.errors import SourceError
from host_training.votes import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

HEADER = "emotion,pixels,Usage"
USAGE = ["Training"] * 4 + ["PublicTest"] * 3 + ["PrivateTest"] * 3


@pytest.fixture
def images():
    """Ten pictures; 0 also stands in PublicTest, 1 in PrivateTest, 5 in PrivateTest, 2 and 3 are one picture."""
    made = np.random.default_rng(0).integers(0, 256, (10, 48, 48), np.uint8)
    for copy, original in ((4, 0), (7, 1), (8, 5), (3, 2)):
        made[copy] = made[original]
    return made


@pytest.fixture
def votes():
    return np.random.default_rng(1).multinomial(10, [0.1] * 10, 10).astype(np.uint8)


def write_csv(path: Path, images: NDArray[np.uint8], usage: list[str] = USAGE, header: str = HEADER):
    rows = [f"3,{' '.join(map(str, image.ravel()))},{name}" for image, name in zip(images, usage, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_ferplus(path: Path, votes: NDArray[np.uint8], usage: list[str] = USAGE, columns: Sequence[str] = COLUMNS):
    rows = [
        f"{name},fer{n:07d}.png,{','.join(map(str, row))}"
        for n, (name, row) in enumerate(zip(usage, votes, strict=True))
    ]
    path.write_text("\n".join([f"Usage,Image name,{','.join(columns)}", *rows]) + "\n")
    return path


def write_npz(path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8], **more: Any):
    arrays = {
        "images": images,
        "usage": np.array(USAGE),
        "ferplus_votes": votes,
        "ferplus_columns": np.array(COLUMNS),
        **more,
    }
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.fixture
def both(tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]):
    return write_csv(tmp_path / "fer2013.csv", images), write_ferplus(tmp_path / "fer2013new.csv", votes)


def test_the_csv_files_are_read_as_published(
    both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    source = fer2013.load(*both)

    np.testing.assert_array_equal(source.pictures, images[source.row])
    np.testing.assert_array_equal(source.votes, votes[source.row])
    assert set(source.split.tolist()) == {"train", "validation", "test"}


def test_the_npz_gives_the_same_rows_as_the_csv_files(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    by_csv, by_npz = fer2013.load(*both), fer2013.load(write_npz(tmp_path / "f.npz", images, votes), None)

    for name in ("pictures", "votes", "split", "group", "row"):
        np.testing.assert_array_equal(getattr(by_csv, name), getattr(by_npz, name))


def test_no_picture_stands_on_two_sides(both: tuple[Path, Path]):
    source = fer2013.load(*both)
    sides = {}
    for picture, split in zip(source.pictures, source.split, strict=True):
        sides.setdefault(picture.tobytes(), set()).add(split)

    assert max(len(side) for side in sides.values()) == 1


def test_training_and_validation_give_way_and_the_test_keeps_its_rows(both: tuple[Path, Path]):
    source = fer2013.load(*both)

    assert source.row.tolist() == [2, 3, 4, 6, 7, 8, 9]
    assert sum(source.dropped.values()) == 3


def test_copies_within_a_split_share_a_group(both: tuple[Path, Path]):
    source = fer2013.load(*both)
    group = dict(zip(source.row.tolist(), source.group.tolist(), strict=True))

    assert group[2] == group[3] >= 0
    assert group[9] == -1


def test_pictures_that_are_not_the_original_are_left_out(
    tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    original = np.zeros(10, np.uint8)
    original[[2, 9]] = 2

    source = fer2013.load(write_npz(tmp_path / "f.npz", images, votes, pixel_source=original), None)

    assert not {2, 9} & set(source.row.tolist())
    assert source.dropped["the picture is not the original one"] == 2


def test_csv_without_votes_says_where_to_get_them(both: tuple[Path, Path]):
    with pytest.raises(UsageError, match=r"--ferplus fer2013new\.csv"):
        fer2013.load(both[0], None)


def test_votes_are_not_taken_twice(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    with pytest.raises(UsageError, match="leave --ferplus out"):
        fer2013.load(write_npz(tmp_path / "f.npz", images, votes), both[1])


def test_a_missing_file_is_named(tmp_path: Path, both: tuple[Path, Path]):
    for path, ferplus in ((tmp_path / "no.csv", both[1]), (both[0], tmp_path / "no.csv"), (tmp_path / "no.npz", None)):
        with pytest.raises(NoInputError, match=r"no.*No such file"):
            fer2013.load(path, ferplus)


def test_wrong_columns_are_named(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    with pytest.raises(SourceError, match="lacks the columns pixels"):
        fer2013.load(write_csv(tmp_path / "a.csv", images, header="emotion,image,Usage"), both[1])
    with pytest.raises(SourceError, match="lacks the columns contempt"):
        fer2013.load(both[0], write_ferplus(tmp_path / "b.csv", votes, columns=[*COLUMNS[:7], "scorn", *COLUMNS[8:]]))


@pytest.mark.parametrize(
    ("old", "new"), [("3,", "3,x "), ("3,", "3,999 "), ("3,", "3,7 "), (",PublicTest", ""), ("PublicTest", "Public")]
)
def test_a_damaged_row_is_refused(both: tuple[Path, Path], old: str, new: str):
    both[0].write_text(both[0].read_text().replace(old, new))

    with pytest.raises(SourceError, match=r"fer2013\.csv"):
        fer2013.load(*both)


def test_votes_of_other_pictures_are_refused(tmp_path: Path, both: tuple[Path, Path], votes: NDArray[np.uint8]):
    fewer = write_ferplus(tmp_path / "few.csv", votes[:9], USAGE[:9])
    shuffled = write_ferplus(tmp_path / "shuffled.csv", votes, USAGE[::-1])

    for ferplus in (fewer, shuffled):
        with pytest.raises(SourceError, match="are not those of the 10 pictures"):
            fer2013.load(both[0], ferplus)


def test_a_truncated_npz_is_refused(tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]):
    path = write_npz(tmp_path / "f.npz", images, votes)
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(SourceError, match="not a whole npz"):
        fer2013.load(path, None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"usage": None}, "lacks the arrays usage"),
        ({"images": np.zeros((10, 28, 28), np.uint8)}, "images is uint8"),
        ({"usage": np.array(USAGE[:9])}, "different numbers of rows"),
        ({"ferplus_columns": np.array(COLUMNS[::-1])}, "ferplus_columns is NF"),
    ],
)
def test_an_npz_of_another_layout_is_refused(
    tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8], more: Any, message: str
):
    with pytest.raises(SourceError, match=message):
        fer2013.load(write_npz(tmp_path / "f.npz", **{"images": images, "votes": votes, **more}), None)
