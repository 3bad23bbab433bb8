from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from host_training.compare import boosted as boosted_module
from host_training.compare import comparison
from host_training.compare.baselines import logistic, majority
from host_training.compare.boosted import boosted
from host_training.compare.contender import Contender, Trained
from host_training.compare.ours import ours
from host_training.data.labels import LABELS
from host_training.data.votes import targets_of
from host_training.errors import TableError


@pytest.fixture(scope="module", autouse=True)
def _few_trees():
    """Thirty rounds of boosting: the rows are easy to tell apart, so all of them would improve it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosted_module, "ROUNDS", 30)
        yield


def contenders(recipe):
    return [majority(), logistic(["lips", "eyes"]), boosted(), ours(recipe)]


def run(table, contenders, seeds=(1,), truth="votes"):
    return list(comparison.compare(table, targets_of(table, truth=truth), truth, contenders, seeds))


@pytest.fixture(scope="module")
def entries(table, recipe):
    return run(table, contenders(recipe))


@pytest.fixture(scope="module")
def with_spoilt_test_rows(table, recipe):
    """The same, of a table whose test rows show other faces under other labels."""
    test = table.split == "test"
    landmarks, votes, label = table.landmarks.copy(), table.votes.copy(), table.label.copy()
    landmarks[test & table.found] += np.random.default_rng(0).normal(0, 20, landmarks[test & table.found].shape)
    votes[test], label[test] = np.roll(votes[test], 50, axis=0), np.roll(label[test], 50)
    spoilt = dataclasses.replace(table, landmarks=landmarks, votes=votes, label=label)
    return run(spoilt, contenders(recipe))


def test_each_beats_the_majority_on_faces_that_are_easy_to_tell_apart(entries):
    always, *others = entries

    assert always["test"]["accuracy"] == pytest.approx(1 / 8, abs=0.01)
    for each in others:
        assert each["test"]["accuracy"] > 3 * always["test"]["accuracy"], each["name"]


def test_a_missed_face_is_an_error_for_all(entries, table):
    test = table.split == "test"
    share = table.found[test].mean()
    assert share < 1

    for each in entries:
        assert each["test"]["accuracy"] == pytest.approx(each["test"]["accuracy_found"] * share, abs=1e-5)


def test_what_the_test_rows_show_has_no_influence_on_any_contender(entries, with_spoilt_test_rows):
    for once, again in zip(entries, with_spoilt_test_rows, strict=True):
        assert once["validation"] == again["validation"], once["name"]
        assert once["name"] == "majority" or once["test"] != again["test"], once["name"]


def test_an_entry_has_the_fields_that_the_package_promises(entries):
    for each in entries:
        assert list(each) == [
            *("name", "about", "learned_from", "ran", "why_not", "parameters", "bytes", "seconds", "seeds"),
            *("validation", "test", "deviation"),
        ]
        assert each["ran"]
        assert each["why_not"] is None
        assert each["deviation"] is None
        assert each["bytes"] == 4 * each["parameters"]
        assert set(each["test"]) == set(each["validation"])
        assert set(each["test"]) == {"accuracy", "accuracy_interval", "accuracy_found", "macro_f1", "ece"}
    json.dumps(entries)


def test_parameters_are_the_numbers_that_were_learned(entries):
    by_name = {each["name"]: each["parameters"] for each in entries}

    assert by_name["majority"] == 8
    assert by_name["logistic"] == (72 * 3 + 1) * 8
    assert by_name["ours"] == (162 * 3 * 24 + 24) + (24 * 16 + 16) + (16 * 8 + 8)


class Oracle:
    """Says four of five rows rightly, others with each seed, and is always as sure."""

    def __init__(self, labels, confidence):
        self._labels, self._confidence = labels, confidence
        self.seeds, self.seen = [], set()

    def contender(self, *, seeded=True, why_not=""):
        return Contender("oracle", "knows", "everything", self.fit, seeded=seeded, why_not=why_not)

    def fit(self, data, seed):
        self.seeds.append(seed)
        self.seen |= set(data.table.split.tolist())
        wrong = np.random.default_rng(seed).random(len(self._labels)) < 0.2
        says = {each: (label + int(off)) % 8 for (each, label), off in zip(self._labels.items(), wrong, strict=True)}

        def probabilities(table):
            said = np.full((len(table), 8), (1 - self._confidence) / 7, np.float32)
            said[np.arange(len(table)), [says[each] for each in table.ids.tolist()]] = self._confidence
            return said

        return Trained(probabilities, 5)


@pytest.fixture
def oracle(table):
    known = dict(zip(table.ids.tolist(), targets_of(table).hard.tolist(), strict=True))
    return lambda confidence=0.9: Oracle(known, confidence)


def test_no_contender_is_shown_a_test_row(table, oracle):
    knows = oracle()

    run(table, [knows.contender()])

    assert knows.seen == {"train", "validation"}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_cannot_be_judged_ends_it_before_anything_is_trained(table, changed, oracle, split):
    knows = oracle()

    with pytest.raises(TableError, match=split):
        run(changed(split=np.where(table.split == split, "train", table.split)), [knows.contender()])

    assert knows.seeds == []


def test_several_seeds_give_mean_and_deviation(table, oracle):
    knows = oracle()
    alone = [run(table, [knows.contender()], [seed])[0] for seed in (3, 4, 5)]

    (together,) = run(table, [knows.contender()], [3, 4, 5])

    accuracies = [each["test"]["accuracy"] for each in alone]
    assert len(set(accuracies)) > 1
    assert together["seeds"] == 3
    assert together["test"]["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-5)
    assert together["deviation"]["test"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-5)


def test_what_chance_has_no_part_in_is_trained_once(table, oracle):
    knows = oracle()

    (entry,) = run(table, [knows.contender(seeded=False)], [3, 4, 5])

    assert knows.seeds == [3]
    assert entry["seeds"] == 1
    assert entry["deviation"] is None


def test_everyone_is_calibrated_on_the_validation_rows(table, oracle):
    (boastful,) = run(table, [oracle(confidence=0.9999).contender()])

    # Four of five are right, and it said 1: uncalibrated it would be 0.2 off.
    assert boastful["validation"]["ece"] < 0.02


def test_who_lacks_something_is_not_run_and_says_why(table, oracle):
    knows = oracle()

    absent, present = run(table, [knows.contender(why_not="no crystal ball: --ball FILE"), majority()])

    assert not absent["ran"]
    assert absent["why_not"] == "no crystal ball: --ball FILE"
    assert absent["test"] is absent["parameters"] is None
    assert knows.seeds == []
    assert present["ran"]


def test_the_truth_may_be_the_label(table, changed):
    labels = changed(votes=np.zeros_like(table.votes), label=np.full(len(table), LABELS.index("fear"), np.int8))

    (entry,) = run(labels, [majority()], truth="label")

    assert entry["test"]["accuracy_found"] == 1


def test_labels_that_no_training_row_has_are_never_said(table, changed):
    fear = LABELS.index("fear")
    out = (table.split == "train") & (table.label == fear)
    rare = changed(votes=np.where(out[:, None], 0, table.votes), label=np.where(out, -1, table.label))

    for each in run(rare, [logistic(["lips"]), boosted()]):
        # All the others are still told apart, contempt after fear among them.
        assert 0.85 < each["test"]["accuracy_found"] < 0.9, each["name"]


def test_the_markdown_shows_the_figures_and_where_they_come_from(table, oracle):
    targets = targets_of(table)
    entries = run(table, [oracle().contender(), oracle().contender(why_not="no ball")], [1, 2])
    found = comparison.document(
        "emotion-train compare --table t",
        table,
        targets,
        truth="votes",
        seeds=[1, 2],
        notes=["3 rows: dropped"],
        entries=entries,
    )

    text = comparison.markdown(found)

    header, rule, first, second = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in (header, rule, first, second)}) == 1
    assert header.count("|") == rule.count("|") == first.count("|") == second.count("|")
    assert f"{entries[0]['test']['accuracy']:.4f} ± {entries[0]['deviation']['test']['accuracy']:.4f}" in first
    assert "not run: no ball" in second
    assert "`emotion-train compare --table t`" in text
    assert f"* test: {(table.split == 'test').sum():,}" in text
    assert "* 3 rows: dropped" in text
    assert "numpy" in text
