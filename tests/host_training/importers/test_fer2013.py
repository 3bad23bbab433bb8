from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.errors import NoInputError, UsageError
from host_training import importers
from host_training.data.labels import VOTE_COLUMNS
from host_training.data.source import Options
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .conftest import WritePicture, WriteText

HEADER = "emotion,pixels,Usage"
USAGE = ["Training"] * 5 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
CODES = [0, 1, 2, 3, 4, 5, 6, 0, 3]
LABELS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "anger", "happiness"]
SPLITS = ["train"] * 5 + ["validation"] * 2 + ["test"] * 2


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (9, 48, 48), np.uint8)


@pytest.fixture
def votes():
    return np.random.default_rng(1).multinomial(10, [0.1] * 10, 9).astype(np.uint8)


def write_csv(path: Path, images: NDArray[np.uint8], header: str = HEADER):
    rows = [
        f"{code},{' '.join(map(str, image.ravel()))},{usage}"
        for code, image, usage in zip(CODES, images, USAGE, strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_ferplus(
    path: Path, votes: NDArray[np.uint8], usage: list[str] = USAGE, columns: Sequence[str] = VOTE_COLUMNS
):
    rows = [
        f"{name},fer{n:07d}.png,{','.join(map(str, row))}"
        for n, (name, row) in enumerate(zip(usage, votes, strict=True))
    ]
    path.write_text("\n".join([f"Usage,Image name,{','.join(columns)}", *rows]) + "\n")
    return path


def write_npz(path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8], **more: Any):
    arrays = {
        "images": images,
        "label": np.array(CODES, np.uint8),
        "classes": np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        "usage": np.array(USAGE),
        "ferplus_votes": votes,
        "ferplus_columns": np.array(VOTE_COLUMNS),
        **more,
    }
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.fixture
def both(tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]):
    return write_csv(tmp_path / "fer2013.csv", images), write_ferplus(tmp_path / "fer2013new.csv", votes)


def test_the_csv_alone_gives_pictures_and_labels(both: tuple[Path, Path], images: NDArray[np.uint8]):
    source = importers.load("fer2013", both[0], Options())

    assert [row.label for row in source.rows] == LABELS
    assert [row.split for row in source.rows] == SPLITS
    assert [row.source for row in source.rows] == [str(number) for number in range(9)]
    assert not any(any(row.votes) for row in source.rows)
    np.testing.assert_array_equal(source.rows[3].picture.load(), np.repeat(images[3][:, :, None], 3, axis=2))


def test_ferplus_adds_the_votes_row_by_row(both: tuple[Path, Path], votes: NDArray[np.uint8]):
    source = importers.load("fer2013", both[0], Options(ferplus=both[1]))

    assert [list(row.votes) for row in source.rows] == votes.tolist()
    assert [row.label for row in source.rows] == LABELS


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_for_all_needs_no_usage(tmp_path: Path, images: NDArray[np.uint8], split: str):
    lines = write_csv(tmp_path / "train.csv", images).read_text().splitlines()
    (tmp_path / "train.csv").write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))

    source = importers.load("fer2013", tmp_path / "train.csv", Options(split=split))

    assert [(row.label, row.split) for row in source.rows] == [(label, split) for label in LABELS]
    with pytest.raises(SourceError, match=r"lacks the column Usage; say which split .* --split train"):
        importers.load("fer2013", tmp_path / "train.csv", Options())


def test_the_npz_gives_the_same_rows_as_the_csv_files(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    by_csv = importers.load("fer2013", both[0], Options(ferplus=both[1]))
    by_npz = importers.load("fer2013", write_npz(tmp_path / "f.npz", images, votes), Options())

    for one, other in zip(by_csv.rows, by_npz.rows, strict=True):
        assert (one.source, one.label, one.votes, one.split) == (other.source, other.label, other.votes, other.split)
        np.testing.assert_array_equal(one.picture.load(), other.picture.load())


def test_pictures_that_are_not_the_original_are_left_out_and_the_others_keep_their_numbers(
    tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    other = np.zeros(9, np.uint8)
    other[[2, 8]] = 2

    source = importers.load("fer2013", write_npz(tmp_path / "f.npz", images, votes, pixel_source=other), Options())

    assert [row.source for row in source.rows] == ["0", "1", "3", "4", "5", "6", "7"]
    assert source.dropped == {"the picture is not the original one": 2}
    np.testing.assert_array_equal(source.rows[2].picture.load()[:, :, 0], images[3])


def test_an_uncertain_label_is_not_used_but_its_votes_are(
    tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    uncertain = np.arange(9) == 4

    path = write_npz(tmp_path / "f.npz", images, votes, label_ambiguous=uncertain)
    rows = importers.load("fer2013", path, Options()).rows

    assert [row.source for row in rows if row.label is None] == ["4"]
    assert list(rows[4].votes) == votes[4].tolist()


def test_kaggles_folders_tell_validation_from_test_by_the_files_names(tmp_path: Path, picture: WritePicture):
    for name in ("train/angry/Training_1.jpg", "test/happy/PublicTest_2.jpg", "test/neutral/PrivateTest_3.jpg"):
        picture(name)

    source = importers.load("fer2013", tmp_path, Options())

    assert [(row.source, row.label, row.split) for row in source.rows] == [
        ("test/happy/PublicTest_2.jpg", "happiness", "validation"),
        ("test/neutral/PrivateTest_3.jpg", "neutral", "test"),
        ("train/angry/Training_1.jpg", "anger", "train"),
    ]
    assert source.rows[0].picture.load().shape == (8, 8, 3)


def test_plain_names_follow_the_folders(tmp_path: Path, picture: WritePicture):
    for name in ("images/train/sad/1.jpg", "images/validation/fear/2.jpg", "images/test/surprise/3.jpg"):
        picture(name)

    rows = importers.load("fer2013", tmp_path, Options()).rows

    assert {row.label: row.split for row in rows} == {"sadness": "train", "fear": "validation", "surprise": "test"}


def test_pictures_in_other_folders_are_counted(tmp_path: Path, picture: WritePicture, text: WriteText):
    for name in ("train/disgust/1.jpg", "train/sleepy/2.jpg", "disgust/3.jpg"):
        picture(name)
    text("train/disgust/readme.txt", "no picture")

    source = importers.load("fer2013", tmp_path, Options())

    assert len(source.rows) == 1
    assert sorted(source.dropped.values()) == [1, 1, 1]
    assert any("'sleepy'" in reason for reason in source.dropped)
    assert any("names its split" in reason for reason in source.dropped)


def test_the_folders_of_ferplus_have_votes_and_no_label(tmp_path: Path, picture: WritePicture, text: WriteText):
    there = 'fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0'
    missing = 'fer0000001.png,"(0, 0, 48, 48)",6,0,1,1,0,0,0,0,2,0'
    for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        picture(f"{folder}/fer0000000.png")
        text(f"{folder}/label.csv", f"{there}\n{missing}\n")

    source = importers.load("fer2013", tmp_path, Options())

    assert [(row.source, row.split) for row in source.rows] == [
        ("FER2013Train/fer0000000.png", "train"),
        ("FER2013Valid/fer0000000.png", "validation"),
        ("FER2013Test/fer0000000.png", "test"),
    ]
    assert source.rows[0].votes == (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)
    assert source.rows[0].label is None
    assert source.dropped == {"the picture is missing": 3}


def test_a_folder_of_ferplus_that_is_not_there_is_mentioned(tmp_path: Path, picture: WritePicture, text: WriteText):
    picture("FER2013Train/fer0000000.png")
    text("FER2013Train/label.csv", 'fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0\n')

    source = importers.load("fer2013", tmp_path, Options())

    assert [note.split(",")[0] for note in source.notes] == ["FER2013Valid is missing", "FER2013Test is missing"]


def test_votes_are_not_taken_where_there_is_no_place_for_them(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    for path in (write_npz(tmp_path / "f.npz", images, votes), tmp_path):
        with pytest.raises(UsageError, match="leave it out"):
            importers.load("fer2013", path, Options(ferplus=both[1]))


def test_a_missing_file_is_named(tmp_path: Path, both: tuple[Path, Path]):
    for path, ferplus in ((tmp_path / "no.csv", None), (both[0], tmp_path / "no.csv"), (tmp_path / "no.npz", None)):
        with pytest.raises(NoInputError, match=r"no\.(csv|npz): No such file"):
            importers.load("fer2013", path, Options(ferplus=ferplus))


def test_wrong_columns_are_named(
    tmp_path: Path, both: tuple[Path, Path], images: NDArray[np.uint8], votes: NDArray[np.uint8]
):
    with pytest.raises(SourceError, match="lacks the columns pixels"):
        importers.load("fer2013", write_csv(tmp_path / "a.csv", images, header="emotion,image,Usage"), Options())
    columns = [*VOTE_COLUMNS[:7], "scorn", *VOTE_COLUMNS[8:]]
    with pytest.raises(SourceError, match="lacks the columns contempt"):
        importers.load("fer2013", both[0], Options(ferplus=write_ferplus(tmp_path / "b.csv", votes, columns=columns)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n3,", "\n3,x ", "line 5: pixels are not numbers"),
        ("\n3,", "\n3,7 ", "line 5: 2305 pixels instead of 48x48"),
        ("\n3,", "\n3,999 ", "line 5: pixels are not numbers from 0 to 255"),
        ("\n3,", "\n3,-1 ", "line 5: pixels are not numbers from 0 to 255"),
        ("\n3,", "\n7,", "line 5: emotion '7' is not a code from 0 to 6"),
        ("\n3,", "\nangry,", "line 5: emotion 'angry'"),
        (",PublicTest", "", "line 7: 2 cells instead of 3"),
        (",PublicTest", ",,PublicTest", "line 7: 4 cells instead of 3"),
        ("PublicTest", "Public", "line 7: unknown Usage 'Public'"),
    ],
)
def test_a_damaged_row_is_refused_by_its_line(both: tuple[Path, Path], old: str, new: str, message: str):
    both[0].write_text(both[0].read_text().replace(old, new, 1))

    with pytest.raises(SourceError, match=rf"fer2013\.csv, {message}"):
        importers.load("fer2013", both[0], Options())


def test_ignores_byte_order_marks_and_blanks(tmp_path: Path, images: NDArray[np.uint8]):
    path = write_csv(tmp_path / "icml_face_data.csv", images, header="\ufeffemotion, pixels, Usage")

    assert len(importers.load("fer2013", path, Options()).rows) == 9


def test_a_csv_that_was_cut_is_refused(both: tuple[Path, Path]):
    both[0].write_bytes(both[0].read_bytes()[:-100])

    with pytest.raises(SourceError, match="line 10: 2 cells instead of 3"):
        importers.load("fer2013", both[0], Options())


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage\xff", b"", b"emotion,pixels,Usage\n"])
def test_refuses_files_that_are_no_table(tmp_path: Path, content: bytes):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=r"not a csv file|has no rows"):
        importers.load("fer2013", path, Options())


def test_votes_of_other_pictures_are_refused(tmp_path: Path, both: tuple[Path, Path], votes: NDArray[np.uint8]):
    fewer = write_ferplus(tmp_path / "few.csv", votes[:8], USAGE[:8])
    shuffled = write_ferplus(tmp_path / "shuffled.csv", votes, USAGE[::-1])

    for ferplus in (fewer, shuffled):
        with pytest.raises(SourceError, match="do not match the 9 pictures"):
            importers.load("fer2013", both[0], Options(ferplus=ferplus))


@pytest.mark.parametrize("vote", ["many", "-1", "300"])
def test_refuses_votes_that_are_no_counts(both: tuple[Path, Path], votes: NDArray[np.uint8], vote: str):
    both[1].write_text(both[1].read_text().replace(f".png,{votes[0, 0]}", f".png,{vote}", 1))

    with pytest.raises(SourceError, match=r"fer2013new\.csv, line 2: votes are not numbers"):
        importers.load("fer2013", both[0], Options(ferplus=both[1]))


def test_a_truncated_npz_is_refused(tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8]):
    path = write_npz(tmp_path / "f.npz", images, votes)
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(SourceError, match="not a complete npz"):
        importers.load("fer2013", path, Options())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"usage": None}, "lacks the arrays usage"),
        ({"images": np.zeros((9, 28, 28), np.uint8)}, "images is uint8"),
        ({"usage": np.array(USAGE[:8])}, "different numbers of rows"),
        ({"usage": np.array(["Training"] * 8 + ["Secret"])}, "row 8: unknown Usage 'Secret'"),
        ({"ferplus_columns": np.array(VOTE_COLUMNS[::-1])}, "ferplus_columns is NF"),
        ({"classes": np.array(["angry", "glee"])}, "do not name"),
        ({"label": np.full(9, 7, np.uint8)}, "do not name"),
        ({"label": np.full(9, -1, np.int8)}, "do not name"),
        ({"label": np.full(9, 0.5)}, "must be integers"),
    ],
)
def test_an_npz_of_another_layout_is_refused(
    tmp_path: Path, images: NDArray[np.uint8], votes: NDArray[np.uint8], more: Any, message: str
):
    with pytest.raises(SourceError, match=message):
        importers.load(
            "fer2013", write_npz(tmp_path / "f.npz", **{"images": images, "votes": votes, **more}), Options()
        )


def test_a_folder_of_another_kind_is_refused_with_the_layouts_that_are_known(tmp_path: Path, picture: WritePicture):
    picture("holidays/beach.jpg")

    with pytest.raises(SourceError, match=r"'holidays'.*fer2013\.csv.*npz.*Training_1\.jpg.*label\.csv"):
        importers.load("fer2013", tmp_path, Options())
