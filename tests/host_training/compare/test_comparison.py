from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge.validation import build
from host_training.compare import boosted as boosted_module
from host_training.compare import comparison, results_text
from host_training.compare.baselines import logistic, majority
from host_training.compare.boosted import boosted
from host_training.compare.contender import Contender, Trained
from host_training.compare.ours import ours
from host_training.compare.results import Comparison
from host_training.data import counts
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
def results(table, recipe):
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


def test_each_beats_the_majority_on_faces_that_are_easy_to_distinguish(results):
    always, *others = results

    assert always.test.accuracy == pytest.approx(1 / 8, abs=0.01)
    for each in others:
        assert each.test.accuracy > 3 * always.test.accuracy, each.name


def test_a_missed_face_is_an_error_for_all(results, table):
    test = table.split == "test"
    share = table.found[test].mean()
    assert share < 1

    for each in results:
        assert each.test.accuracy == pytest.approx(each.test.accuracy_found * share, abs=1e-5)


def test_test_rows_have_no_influence_on_training(results, with_spoilt_test_rows):
    for once, again in zip(results, with_spoilt_test_rows, strict=True):
        assert once.validation == again.validation, once.name
        assert once.name == "majority" or once.test != again.test, once.name


def test_one_seed_gives_a_result_without_a_deviation(results):
    for each in results:
        assert each.why_not is None
        assert each.deviation is None
        assert each.bytes == 4 * each.parameters


def test_parameters_are_the_numbers_that_were_learned(results):
    by_name = {each.name: each.parameters for each in results}

    assert by_name["majority"] == 8
    assert by_name["logistic"] == (72 * 3 + 1) * 8
    assert by_name["ours"] == (162 * 3 * 24 + 24) + (24 * 16 + 16) + (16 * 8 + 8)


class Oracle:
    """Predicts four of five rows correctly, others with each seed, always with the same confidence."""

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


def test_no_contender_gets_a_test_row(table, oracle):
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

    accuracies = [each.test.accuracy for each in alone]
    assert len(set(accuracies)) > 1
    assert together.seeds == 3
    assert together.test.accuracy == pytest.approx(np.mean(accuracies), abs=1e-5)
    assert together.deviation.test.accuracy == pytest.approx(np.std(accuracies, ddof=1), abs=1e-5)


def test_a_contender_that_does_not_depend_on_the_seed_is_trained_once(table, oracle):
    knows = oracle()

    (result,) = run(table, [knows.contender(seeded=False)], [3, 4, 5])

    assert knows.seeds == [3]
    assert result.seeds == 1
    assert result.deviation is None


def test_the_validation_rows_set_each_temperature(table, oracle):
    (overconfident,) = run(table, [oracle(confidence=0.9999).contender()])

    # Four of five are correct at a confidence of 1: without a temperature the error would be 0.2.
    assert overconfident.validation.ece < 0.02


def test_skips_a_contender_with_missing_inputs_and_gives_the_reason(table, oracle):
    knows = oracle()

    absent, present = run(table, [knows.contender(why_not="no crystal ball: --ball FILE"), majority()])

    assert absent.why_not == "no crystal ball: --ball FILE"
    assert absent.test is absent.parameters is None
    assert knows.seeds == []
    assert present.why_not is None


def test_the_truth_may_be_the_label(table, changed):
    labels = changed(votes=np.zeros_like(table.votes), label=np.full(len(table), LABELS.index("fear"), np.int8))

    (result,) = run(labels, [majority()], truth="label")

    assert result.test.accuracy_found == 1


def test_labels_without_training_rows_are_never_predicted(table, changed):
    fear = LABELS.index("fear")
    out = (table.split == "train") & (table.label == fear)
    rare = changed(votes=np.where(out[:, None], 0, table.votes), label=np.where(out, -1, table.label))

    for each in run(rare, [logistic(["lips"]), boosted()]):
        # All the others are still told apart, contempt after fear among them.
        assert 0.85 < each.test.accuracy_found < 0.9, each.name


def test_the_markdown_shows_the_figures_and_where_they_come_from(table, oracle):
    results = run(table, [oracle().contender(), oracle().contender(why_not="no ball")], [1, 2])
    found = comparison_of(table, results)

    text = results_text.markdown(found)

    header, rule, first, second = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in (header, rule, first, second)}) == 1
    assert header.count("|") == rule.count("|") == first.count("|") == second.count("|")
    assert f"{results[0].test.accuracy:.4f} ± {results[0].deviation.test.accuracy:.4f}" in first
    assert "not run: no ball" in second
    assert "`emotion-train compare --table t`" in text
    assert f"* test: {(table.split == 'test').sum():,}" in text
    assert "* 3 rows: dropped" in text
    assert "numpy" in text


def test_a_comparison_can_be_read_from_its_json(table, oracle):
    found = comparison_of(
        table, run(table, [oracle().contender(), oracle().contender(why_not="no ball"), majority()], [1, 2])
    )

    assert build(Comparison, json.loads(json.dumps(found.as_dict(), allow_nan=False))) == found


def comparison_of(table, results):
    return Comparison(
        command="emotion-train compare --table t",
        rows=counts.by_split(table, targets_of(table)),
        notes=("3 rows: dropped",),
        labels=LABELS,
        truth="votes",
        seeds=(1, 2),
        libraries={"numpy": "2.5"},
        contenders=tuple(results),
    )
