"""`emotion-train clean` from the outside: what it finds, writes, keeps and refuses."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from host_training import decisions, keypoints, tables
from host_training.cli import main
from host_training.decisions import DROP, KEEP, RELABEL, SAME_AS, Decision
from host_training.keypoints import TEST, TRAIN, VALIDATION, concatenate, take
from host_training.landmark_sets import mirrored
from host_training.votes import LABELS

RECIPE = """
[network]
hidden = [16]
[optimiser]
epochs = 12
batch = 64
learning_rate = 0.01
"""
WRONG = "tiny/40"
"""A training row whose own label is changed; nobody voted on it."""


@pytest.fixture(scope="module")
def dirty(table):
    """The table with copies of its first test row and of its second, mirrored, among the training rows."""
    test = np.flatnonzero(table.split == TEST)
    copies = take(table, test[:2])
    copies = dataclasses.replace(
        copies,
        source=np.array(["copy", "mirrored"]),
        split=np.full(2, TRAIN),
        group=np.array([90001, 90002]),
        landmarks=np.stack([copies.landmarks[0] * 1.5 + 3, mirrored(copies.landmarks[[1]])[0]]),
    )
    both = concatenate([table, copies])
    label, votes = both.label.copy(), both.votes.copy()
    row = both.ids.tolist().index(WRONG)
    label[row], votes[row] = (label[row] + 1) % len(LABELS), 0
    return dataclasses.replace(both, label=label, votes=votes)


@pytest.fixture(scope="module")
def originals(dirty):
    """Ids of the two test rows that were copied."""
    return dirty.ids[np.flatnonzero(dirty.split == TEST)[:2]].tolist()


@pytest.fixture
def place(dirty, tmp_path):
    """A folder with the table and a small recipe."""
    keypoints.write(dirty, tmp_path / "faces.parquet")
    (tmp_path / "small.toml").write_text(RECIPE, "utf-8")
    return tmp_path


def clean(place, *more):
    return main(
        [
            *("clean", "--table", str(place / "faces.parquet"), "--out", str(place / "out")),
            *("--settings", str(place / "small.toml"), *more),
        ]
    )


def decided(place):
    return decisions.read(place / "faces.decisions.csv")


def test_copies_across_splits_are_found_and_at_once_kept_on_one_side(place, originals, capsys):
    assert clean(place, "--top", "3") == 0
    pairs = {(d.id, d.action, d.detail) for d in decided(place) if d.action == SAME_AS}
    assert pairs == {("tiny/copy", SAME_AS, originals[0]), ("tiny/mirrored", SAME_AS, originals[1])}
    table, _ = tables.load(place / "faces.parquet")
    assert not {"tiny/copy", "tiny/mirrored"} & set(table.ids.tolist())
    assert set(originals) <= set(table.ids.tolist())
    told = capsys.readouterr().out
    assert "2 pairs of one photo to look at, 1 of them mirrored and 2 across splits" in told
    assert "2 rows will be left out" in told


def test_a_wrong_label_is_shown_and_nothing_happens_to_it(place, dirty):
    clean(place, "--top", "3")
    about_rows = [d for d in decided(place) if d.action != SAME_AS]
    assert WRONG in {d.id for d in about_rows}
    assert len(about_rows) <= 3
    assert all(d.action == KEEP and d.open for d in about_rows)
    page = (place / "out" / "contact-sheet.html").read_text("utf-8")
    assert f"· {WRONG}<" in page
    table, _ = tables.load(place / "faces.parquet")
    same = table.ids == WRONG
    assert table.label[same] == dirty.label[dirty.ids == WRONG]


def test_labels_of_the_test_split_are_never_shown(place, dirty):
    clean(place, "--top", "1000")
    split = dict(zip(dirty.ids.tolist(), dirty.split.tolist(), strict=True))
    shown = {split[d.id] for d in decided(place) if d.action == KEEP}
    assert shown <= {TRAIN, VALIDATION}


def test_what_a_person_decided_stays_and_does_not_come_back(place, originals):
    lines = [
        Decision(WRONG, RELABEL, "anger", "mine"),
        Decision("tiny/copy", KEEP, originals[0], "twins"),
        Decision("other/1", DROP, "", "of another table"),
        Decision("tiny/7", KEEP, "", "suggested: of the last time"),
    ]
    decisions.write(lines, place / "faces.decisions.csv")
    clean(place, "--top", "3")
    found = decided(place)
    assert set(lines[:3]) <= set(found)
    assert [d.detail for d in found if d.id == "tiny/mirrored"] == [originals[1]]
    page = (place / "out" / "contact-sheet.html").read_text("utf-8")
    assert f"· {WRONG}<" not in page
    assert "tiny/copy</code>" not in page


def test_running_it_twice_gives_the_same_files(place):
    clean(place, "--top", "3")
    files = [place / "faces.decisions.csv", place / "out" / "contact-sheet.html"]
    first = [path.read_bytes() for path in files]
    clean(place, "--top", "3")
    assert [path.read_bytes() for path in files] == first


def test_decisions_can_lie_elsewhere(place):
    clean(place, "--top", "1", "--decisions", str(place / "elsewhere" / "mine.csv"))
    assert not (place / "faces.decisions.csv").exists()
    assert decisions.read(place / "elsewhere" / "mine.csv")
    assert 'download = "mine.csv"' in (place / "out" / "contact-sheet.html").read_text("utf-8")


def test_the_pictures_of_a_data_set_are_shown(place, dirty):
    """A folder data set whose files are named as the rows."""
    folder = place / "pictures" / "happiness"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.full((40, 40, 3), 90, np.uint8))
    source, data_set = dirty.source.astype(object), dirty.data_set.astype(object)
    copies = np.flatnonzero(np.isin(source, ["copy", "mirrored"]))
    source[copies], data_set[copies] = ["happiness/a.png", "happiness/b.png"], "folder"
    renamed = dataclasses.replace(dirty, source=source.astype(str), data_set=data_set.astype(str))
    keypoints.write(renamed, place / "faces.parquet")
    assert clean(place, "--top", "3", "--pictures", f"folder:{place / 'pictures'}") == 0
    page = (place / "out" / "contact-sheet.html").read_text("utf-8")
    assert page.count('<img src="data:image/png') == 2


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (("--pictures", "fer2013.csv"), 64, "as in fer2013:fer2013.csv"),
        (("--pictures", "mine:fer2013.csv"), 64, "'mine' is no data set that can be imported"),
        (("--pictures", "fer2013:none.csv"), 66, "none.csv: No such file"),
        (("--top", "-1"), 64, "--top: must be 0 or more"),
        (("--labels", "joy"), 64, "'joy'"),
    ],
)
def test_what_makes_no_sense_gets_one_line(place, capsys, more, status, words):
    assert clean(place, *more) == status
    told = capsys.readouterr().err.splitlines()
    assert words in told[-1]
    assert not (place / "faces.decisions.csv").exists()


def test_pictures_of_another_data_set_are_refused(place, capsys):
    folder = place / "pictures" / "happiness"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 40, 3), np.uint8))
    assert clean(place, "--pictures", f"folder:{place / 'pictures'}") == 64
    assert "none of its 1 pictures belongs to a row of the table" in capsys.readouterr().err


def test_a_broken_file_of_decisions_is_named_and_stays_as_it_is(place, capsys):
    path = place / "faces.decisions.csv"
    path.write_text("id,action,detail,reason\ntiny/1,remove,,\n", "utf-8")
    assert clean(place) == 65
    assert f"{path}, line 2: 'remove' is none of" in capsys.readouterr().err
    assert path.read_text("utf-8").endswith("tiny/1,remove,,\n")


def test_the_help_says_that_test_labels_are_left_alone(capsys):
    with pytest.raises(SystemExit):
        main(["clean", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Labels of the test split are not looked at" in told
    assert "example: emotion-train clean" in told
