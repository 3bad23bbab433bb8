"""The file of decisions: what it may say, what becomes of a table, and that nothing a person wrote is lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError, NoInputError
from host_training.data import decisions
from host_training.data.decisions import DROP, KEEP, RELABEL, SAME_AS, Decision
from host_training.data.keypoints import MESH, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.splits import disjoint

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
HEADER = "id,action,detail,reason\n"


@pytest.fixture
def table():
    """Six real faces, two a split, each a picture of its own, with votes for happiness."""
    with np.load(GOLDEN) as golden:
        landmarks = golden["landmarks"][:6]
    votes = np.zeros((6, len(VOTE_COLUMNS)), np.uint8)
    votes[:, LABELS.index("happiness")] = 9
    return Table(
        data_set=np.full(6, "fer2013"),
        source=np.arange(6).astype(str),
        split=np.repeat(["train", "validation", "test"], 2),
        subject=np.full(6, ""),
        group=np.arange(6) + 100,
        label=np.full(6, -1, np.int8),
        votes=votes,
        mesh=np.full(6, MESH),
        presence=np.ones(6, np.float32),
        brightness=np.full(6, np.nan, np.float32),
        sharpness=np.full(6, np.nan, np.float32),
        landmarks=landmarks,
    )


@pytest.fixture
def written(tmp_path):
    """A file of decisions with some lines below its header."""

    def write(lines, header=HEADER):
        path = tmp_path / "faces.decisions.csv"
        path.write_text(header + lines, "utf-8")
        return path

    return write


def test_a_dropped_row_is_left_out(table):
    changed, done = decisions.apply(table, [Decision("fer2013/3", DROP)])
    assert changed.ids.tolist() == ["fer2013/0", "fer2013/1", "fer2013/2", "fer2013/4", "fer2013/5"]
    assert done == {"left out": 1}


def test_a_relabelled_row_has_the_new_label_and_no_votes(table):
    changed, done = decisions.apply(table, [Decision("fer2013/3", RELABEL, "anger")])
    assert LABELS[changed.label[3]] == "anger"
    assert not changed.votes[3].any()
    assert changed.votes[[0, 1, 2, 4, 5]].any(axis=1).all()
    assert done == {"given another label": 1}


def test_keeping_a_row_changes_nothing(table):
    changed, done = decisions.apply(table, [Decision("fer2013/3", KEEP), Decision("fer2013/1", KEEP, "fer2013/2")])
    assert np.array_equal(changed.group, table.group)
    assert len(changed) == len(table)
    assert not done


def test_rows_of_one_photo_share_a_group_and_then_stand_on_one_side(table):
    changed, done = decisions.apply(table, [Decision("fer2013/0", SAME_AS, "fer2013/5")])
    assert changed.group.tolist() == [100, 101, 102, 103, 104, 100]
    assert done == {"now with the rows of the same photo": 1}
    assert disjoint(changed)[0].ids.tolist() == ["fer2013/1", "fer2013/2", "fer2013/3", "fer2013/4", "fer2013/5"]


def test_a_photo_is_followed_through_its_copies(table):
    pairs = [("fer2013/5", "fer2013/3"), ("fer2013/1", "fer2013/3"), ("fer2013/2", "fer2013/4")]
    changed, _ = decisions.apply(table, [Decision(one, SAME_AS, other) for one, other in pairs])
    assert changed.group.tolist() == [100, 101, 102, 101, 102, 101]


def test_a_copy_that_is_not_in_the_table_connects_those_that_are(table):
    elsewhere = [Decision("fer2013/2", SAME_AS, "other/9"), Decision("other/9", SAME_AS, "fer2013/4")]
    changed, _ = decisions.apply(table, elsewhere)
    assert changed.group.tolist() == [100, 101, 102, 103, 102, 105]


def test_a_dropped_copy_connects_its_copies_too(table):
    lines = [
        Decision("fer2013/0", SAME_AS, "fer2013/1"),
        Decision("fer2013/1", SAME_AS, "fer2013/2"),
        Decision("fer2013/1", DROP),
    ]
    changed, _ = decisions.apply(table, lines)
    assert changed.group.tolist() == [100, 100, 103, 104, 105]


def test_byte_equal_pictures_stay_together(table):
    table.group[1] = table.group[0]
    changed, _ = decisions.apply(table, [Decision("fer2013/1", SAME_AS, "fer2013/5")])
    assert changed.group[0] == changed.group[1] == changed.group[5]


def test_counts_and_ignores_rows_of_other_tables(table):
    changed, done = decisions.apply(table, [Decision("rafdb/7", DROP), Decision("rafdb/8", RELABEL, "fear")])
    assert len(changed) == len(table)
    assert done == {"not in this table": 2}


def test_the_table_that_was_given_stays_as_it_was(table):
    decisions.apply(table, [Decision("fer2013/3", RELABEL, "anger"), Decision("fer2013/0", SAME_AS, "fer2013/5")])
    assert table.votes[3].any()
    assert table.group.tolist() == list(range(100, 106))


def test_reads_back_decisions_in_the_order_of_the_ids(tmp_path):
    path = tmp_path / "faces.decisions.csv"
    lines = [
        Decision("fer2013/10", RELABEL, "anger", 'decided: "brows", down\nand more'),
        Decision("fer2013/9", SAME_AS, "fer2013/10", "suggested: the same photo (0.97)"),
        Decision("fer2013/9", DROP, "", "ein Gemälde"),
    ]
    decisions.write(lines, path)
    assert decisions.read(path) == [lines[2], lines[1], lines[0]]
    assert path.read_bytes().startswith(HEADER.encode())


def test_a_spreadsheet_may_have_saved_it(tmp_path):
    path = tmp_path / "faces.decisions.csv"
    path.write_bytes("\ufeffid,action,detail,reason\r\n fer2013/1 , drop ,,\r\n,,,\r\n".encode())
    assert decisions.read(path) == [Decision("fer2013/1", DROP)]


def test_the_same_line_twice_is_no_contradiction(written):
    path = written("a/1,drop,,one\na/1,drop,,two\na/1,same-as,a/2,\na/2,same-as,a/1,\n")
    assert decisions.read(path) == [Decision("a/1", DROP, "", "one"), Decision("a/1", SAME_AS, "a/2")]


def test_a_row_may_have_a_verdict_and_several_copies(written):
    assert len(decisions.read(written("a/1,drop,,\na/1,same-as,a/2,\na/1,same-as,a/3,\na/1,keep,a/4,\n"))) == 4


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("a/1,drop,,\na/1,keep,,\n", 3, "line 2 says drop"),
        ("a/1,relabel,fear,\na/1,relabel,anger,\n", 3, "line 2 says relabel fear"),
        ("a/1,same-as,a/2,\na/2,keep,a/1,\n", 3, "line 2 says same-as a/2"),
        ("a/1,remove,,\n", 2, "unknown action 'remove'; choose keep, drop, relabel or same-as"),
        ("a/1,relabel,happy,\n", 2, "unknown label 'happy'; choose neutral, happiness"),
        ("a/1,relabel,,\n", 2, "unknown label ''"),
        ("a/1,same-as,,\n", 2, "needs the id of another row"),
        ("a/1,same-as,a/1,\n", 2, "paired with itself"),
        ("a/1,drop,fear,\n", 2, "drop takes no detail"),
        (",drop,,\n", 2, "lacks the id"),
        ("a/1,drop\n", 2, "2 cells instead of 4"),
        ('a/1,drop,,\na/2,drop,,"half\n', 3, "not a line of CSV"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(written, lines, line, words):
    path = written(lines)
    with pytest.raises(DataError) as error:
        decisions.read(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("header", ["", "id;action;detail;reason\n", "id,action,detail\n"])
def test_a_file_with_other_columns_is_refused(written, header):
    with pytest.raises(DataError, match=r"its first line is .*, not .id,action,detail,reason."):
        decisions.read(written("", header))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "faces.decisions.csv"
    path.write_bytes(b"\xff\xfe\x00i")
    with pytest.raises(DataError, match="UTF-8"):
        decisions.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NoInputError, match=r"none\.csv: No such file"):
        decisions.read(tmp_path / "none.csv")


def test_suggestions_never_replace_decisions():
    decided = [
        Decision("a/1", KEEP, "", "decided: fine"),
        Decision("a/2", DROP),
        Decision("a/3", KEEP, "a/4", "decided: another photo"),
    ]
    suggested = [
        Decision("a/1", KEEP, "", "suggested: predicted fear"),
        Decision("a/2", KEEP, "", "suggested: predicted fear"),
        Decision("a/4", SAME_AS, "a/3", "suggested: the same photo"),
        Decision("a/5", KEEP, "", "suggested: predicted fear"),
    ]
    assert decisions.ordered(decisions.merged(decided, suggested)) == [*decided, suggested[3]]


def test_new_suggestions_replace_open_ones_but_not_pairs():
    old = [
        Decision("a/1", KEEP, "", "suggested: predicted fear"),
        Decision("a/2", SAME_AS, "a/3", "suggested: the same photo"),
    ]
    new = [Decision("a/9", KEEP, "", "suggested: predicted anger")]
    assert decisions.ordered(decisions.merged(old, new)) == [old[1], new[0]]


@pytest.mark.parametrize(
    "changed",
    [Decision("a/1", DROP), Decision("a/1", RELABEL, "fear"), Decision("a/1", KEEP, "a/2"), Decision("a/1", KEEP)],
)
def test_an_edited_suggestion_is_a_decision(changed):
    reason = "fine" if changed == Decision("a/1", KEEP) else "suggested: as it was"
    changed = dataclasses.replace(changed, reason=reason)
    assert not changed.open
    again = [Decision("a/1", KEEP, "", "suggested: x"), Decision("a/2", SAME_AS, "a/1", "suggested: x")]
    assert changed in decisions.merged([changed], again)
