from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.errors import UsageError
from host_training.cli import main
from host_training.data import parquet
from host_training.data.inputs import inputs_of
from host_training.data.votes import targets_of
from host_training.training import folds as folds_module
from host_training.training.fit import features_of, fit
from host_training.training.folds import cross_validated, out_of_fold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe


@pytest.fixture(scope="module")
def quick(recipe: Recipe) -> Recipe:
    """Two epochs: who is asked about whom does not depend on how well."""
    return dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, epochs=2))


@pytest.fixture(scope="module")
def persons(table: Table) -> Table:
    """The table as if twenty people were in its training and validation rows, and others in its test rows."""
    number = np.arange(len(table)) % 20
    subject = np.char.add(np.where(table.split == "test", "t", "p"), number.astype(np.str_))
    split = np.where(table.split == "test", "test", "train")
    return dataclasses.replace(table, subject=subject, split=split)


@pytest.fixture(scope="module")
def three_folds(persons: Table, quick: Recipe) -> list[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    return list(cross_validated(persons, targets_of(persons), quick, 3))


def test_every_row_outside_the_test_is_held_out_once_with_its_person(
    persons: Table, three_folds: list[tuple[NDArray[np.intp], NDArray[np.float32]]]
):
    folds = [rows for rows, _ in three_folds]

    together = np.concatenate(folds)
    np.testing.assert_array_equal(np.sort(together), np.flatnonzero(persons.split != "test"))
    people = [set(persons.subject[rows].tolist()) for rows in folds]
    assert sum(map(len, people)) == len(set.union(*people))


def test_a_network_is_not_trained_on_the_people_of_its_fold(
    persons: Table,
    changed: Callable[..., Table],
    quick: Recipe,
    three_folds: list[tuple[NDArray[np.intp], NDArray[np.float32]]],
):
    targets = targets_of(persons)
    rows, probabilities = three_folds[0]
    votes = persons.votes.copy()
    votes[rows] = np.roll(votes[rows], 1, axis=1)  # other labels for the rows held out

    relabelled = targets_of(changed(subject=persons.subject, split=persons.split, votes=votes))
    targets.soft[rows] = relabelled.soft[rows]
    # The folds depend on the labels, so the rows are given as before.
    training = np.setdiff1d(np.flatnonzero(persons.split != "test"), rows)
    training, judged = training[persons.found[training]], rows[persons.found[rows]]

    def predictions(targets: Targets) -> NDArray[np.float32]:
        features = features_of(persons, targets, training, quick)
        inputs = inputs_of(features, persons, training)
        fitted = fit(persons, targets, quick, features, {"train": inputs, "validation": inputs})
        return fitted.probabilities(inputs_of(features, persons, judged))

    assert len(probabilities) == len(judged)
    np.testing.assert_array_equal(predictions(targets_of(persons)), predictions(targets))


def test_out_of_fold_probabilities_are_given_for_faces_found_outside_the_test(
    persons: Table,
    quick: Recipe,
    three_folds: list[tuple[NDArray[np.intp], NDArray[np.float32]]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(folds_module, "cross_validated", lambda *_: three_folds)

    probabilities = out_of_fold(persons, targets_of(persons), quick)

    given = np.isfinite(probabilities[:, 0])
    np.testing.assert_array_equal(given, persons.found & (persons.split != "test"))
    np.testing.assert_allclose(probabilities[given].sum(axis=1), 1, atol=1e-5)
    for rows, of_fold in three_folds:
        np.testing.assert_array_equal(probabilities[rows[persons.found[rows]]], of_fold)


@pytest.mark.parametrize("count", [2, 21])
def test_too_few_and_too_many_folds_are_refused(persons: Table, recipe: Recipe, count: int):
    with pytest.raises(UsageError, match=f"{count} folds: give 3 to 20, the number of people"):
        next(iter(cross_validated(persons, targets_of(persons), recipe, count)))


def test_the_command_prints_mean_and_deviation(persons: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    parquet.write(persons, tmp_path / "tiny.parquet")
    (tmp_path / "quick.toml").write_text("[network]\nhidden = [16]\n[optimiser]\nepochs = 2\nbatch = 32")

    arguments = ["--table", f"{tmp_path}/tiny.parquet", "--recipe", f"{tmp_path}/quick.toml", "--folds", "3"]
    assert main(["cross-validate", *arguments, "--out", f"{tmp_path}/cv.json"]) == 0

    told = json.loads((tmp_path / "cv.json").read_text())
    accuracy = [fold["accuracy"] for fold in told["folds"]]
    assert sum(fold["rows"] for fold in told["folds"]) == int((persons.split != "test").sum())
    assert told["mean"]["accuracy"] == pytest.approx(np.mean(accuracy), abs=1e-6)
    assert told["deviation"]["accuracy"] == pytest.approx(np.std(accuracy, ddof=1), abs=1e-6)
    assert told["mean"]["accuracy"] < told["mean"]["accuracy_found"]  # some faces were missed
    assert f"accuracy: {told['mean']['accuracy']:.4f} ± " in capsys.readouterr().out
