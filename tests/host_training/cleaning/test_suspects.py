"""Which labels are in doubt: what people said, held against networks that have not seen the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host_training.cleaning import suspects
from host_training.data.keypoints import MESH, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.votes import LABEL, VOTES, targets_of

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
ROWS = 160


def of(label):
    return LABELS.index(label)


@pytest.fixture
def table():
    """160 rows, each label in turn; nobody voted."""
    with np.load(GOLDEN) as golden:
        landmarks = golden["landmarks"]
    return Table(
        data_set=np.full(ROWS, "web"),
        source=np.arange(ROWS).astype(str),
        split=np.full(ROWS, "train"),
        subject=np.full(ROWS, ""),
        group=np.arange(ROWS),
        label=np.tile(np.arange(8, dtype=np.int8), ROWS // 8),
        votes=np.zeros((ROWS, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(ROWS, MESH),
        presence=np.ones(ROWS, np.float32),
        brightness=np.full(ROWS, np.nan, np.float32),
        sharpness=np.full(ROWS, np.nan, np.float32),
        landmarks=np.tile(landmarks, (ROWS // 16, 1, 1)),
    )


@pytest.fixture
def said(table):
    """What a good network says: the label of each row, 86 % sure."""
    probabilities = np.full((ROWS, 8), 0.02, np.float32)
    probabilities[np.arange(ROWS), table.label] = 0.86
    return probabilities


def reads(probabilities, row, label, sure=0.86):
    probabilities[row] = (1 - sure) / 7
    probabilities[row, of(label)] = sure


def vote(table, row, **votes):
    table.votes[row] = 0
    for name, count in votes.items():
        table.votes[row, VOTE_COLUMNS.index(name)] = count


def vote_all(table):
    """Nine of ten vote for the label, one for another."""
    table.votes[np.arange(ROWS), table.label] = 9
    table.votes[np.arange(ROWS), (table.label + 1) % 8] = 1


def rank(table, said, truth=VOTES, labels=LABELS):
    return suspects.rank(table, targets_of(table, labels, truth), said, truth)


def test_suspects_nobody_where_all_agree(table, said):
    assert rank(table, said) == []


def test_a_label_that_the_network_contradicts_is_suspected(table, said):
    reads(said, 9, "anger")
    (suspect,) = rank(table, said)
    assert (suspect.row, suspect.given, suspect.predicted) == (9, "happiness", "anger")
    assert suspect.confidence == pytest.approx(0.86)


def test_the_surer_the_network_the_more_doubtful_the_label(table, said):
    for row, sure in ((8, 0.7), (16, 0.95), (24, 0.5)):
        reads(said, row, "fear", sure)
    found = rank(table, said)
    assert [suspect.row for suspect in found] == [16, 8, 24]
    assert [suspect.score for suspect in found] == sorted(suspect.score for suspect in found)


def test_a_label_that_is_nearly_as_probable_as_another_is_less_doubtful(table, said):
    said[[8, 16]] = 0.02
    said[8, [of("neutral"), of("sadness"), of("fear")]] = 0.3, 0.32, 0.28
    said[16, [of("neutral"), of("sadness")]] = 0.3, 0.58
    assert [suspect.row for suspect in rank(table, said)] == [16, 8]


def test_nine_people_are_not_overruled_by_a_network(table, said):
    vote_all(table)
    reads(said, 9, "anger", 0.99)
    assert rank(table, said) == []


def test_where_people_disagree_the_network_tips_the_balance(table, said):
    vote_all(table)
    vote(table, 9, happiness=5, anger=4)
    vote(table, 17, happiness=5, anger=4)
    reads(said, 9, "anger")
    (suspect,) = rank(table, said)
    assert (suspect.row, suspect.given, suspect.predicted) == (9, "happiness", "anger")


def test_the_fewer_people_voted_the_more_the_network_counts(table, said):
    vote_all(table)
    vote(table, 9, happiness=2)
    vote(table, 17, happiness=10)
    for row in (9, 17):
        reads(said, row, "neutral", 0.98)
    assert [(suspect.row, suspect.given) for suspect in rank(table, said)] == [(9, "happiness")]


def test_judges_by_the_label_alone(table, said):
    vote_all(table)
    reads(said, 9, "anger")
    assert [suspect.row for suspect in rank(table, said, LABEL)] == [9]


def test_rows_with_votes_and_rows_with_a_label_are_ranked_together(table, said):
    vote_all(table)
    vote(table, 9, happiness=5, anger=4)
    vote(table, 17)
    for row in (9, 17):
        reads(said, row, "anger")
    assert [suspect.row for suspect in rank(table, said)] == [17, 9]


@pytest.mark.parametrize("voted", [False, True])
def test_skips_rows_without_a_prediction(table, said, voted):
    if voted:
        vote_all(table)
        for row in (9, 17, 25):
            vote(table, row, happiness=5, anger=4)
        vote(table, 17, happiness=5, anger=5)
    for row in (9, 17, 25):
        reads(said, row, "anger")
    said[9] = np.nan
    table.label[17] = -1
    assert [suspect.row for suspect in rank(table, said)] == [25]


def test_judges_only_the_selected_labels(table, said):
    labels = ("happiness", "anger", "fear")
    vote_all(table)
    vote(table, 9, happiness=5, anger=4)
    reads(said, 9, "anger")
    few = said[:, [of(name) for name in labels]]
    (suspect,) = rank(table, few / few.sum(axis=1, keepdims=True), labels=labels)
    assert (suspect.row, suspect.given, suspect.predicted) == (9, "happiness", "anger")


def test_a_table_without_labels_has_no_suspects(table, said):
    table.label[:] = -1
    assert rank(table, said) == []


def test_the_same_rows_give_the_same_suspects(table, said):
    vote_all(table)
    for row in range(0, ROWS, 7):
        vote(table, row, sadness=4, fear=4 + row % 2, anger=1)
    assert rank(table, said) == rank(table, said)
    assert rank(table, said)
