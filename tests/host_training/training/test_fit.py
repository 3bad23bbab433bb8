from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from host_training.data.landmark_sets import mirrored
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.training import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe


@pytest.fixture
def targets(table: Table) -> Targets:
    return targets_of(table)


def with_balance(recipe: Recipe, **values: float):
    return dataclasses.replace(recipe, balance=dataclasses.replace(recipe.balance, **values))


def test_mirror_images_have_the_targets_of_the_faces(table: Table, targets: Targets, recipe: Recipe):
    rows = fit.rows_of(table, targets, "train")

    features = fit.features_of(table, targets, rows, recipe)
    examples = fit.landmark_examples(table, targets, rows, features, recipe)

    assert len(examples.vectors) == 2 * len(rows)
    np.testing.assert_array_equal(examples.targets, np.tile(targets.soft[rows], (2, 1)))
    np.testing.assert_allclose(examples.vectors[len(rows) :], features(mirrored(table.landmarks[rows]))[0], atol=1e-5)


def test_without_the_mirror_every_face_occurs_once(table: Table, targets: Targets, recipe: Recipe):
    plain = dataclasses.replace(recipe, augmentation=dataclasses.replace(recipe.augmentation, mirror=False))
    rows = fit.rows_of(table, targets, "train")

    features = fit.features_of(table, targets, rows, plain)
    examples = fit.landmark_examples(table, targets, rows, features, plain)

    np.testing.assert_allclose(examples.vectors, features(table.landmarks[rows])[0], atol=1e-5)


def test_sampling_leaves_faces_targets_and_weights_together(table: Table, recipe: Recipe):
    targets = targets_of(table, truth="label")
    rows = fit.rows_of(table, targets, "train")
    rows = rows[(targets.hard[rows] < 2) | (np.arange(len(rows)) % 3 == 0)]  # six labels are rarer than two

    features = fit.features_of(table, targets, rows, with_balance(recipe, up_sampling=1.0))
    examples = fit.landmark_examples(table, targets, rows, features, with_balance(recipe, up_sampling=1.0))

    every = features(np.concatenate([table.landmarks[rows], mirrored(table.landmarks[rows])]))[0]
    hard = np.tile(targets.hard[rows], 2)
    for vector, target in list(zip(examples.vectors, examples.targets, strict=True))[::7]:
        same = np.abs(every - vector).max(axis=1) < 1e-4
        assert (hard[same] == target.argmax()).all()
        assert same.any()
    assert len(set(np.bincount(examples.targets.argmax(axis=1)).tolist())) == 1


def test_rare_faces_occur_more_often_in_the_crop_network_s_examples(store: CropStore, both: Recipe):
    targets = targets_of(store.table)
    rows = fit.rows_of(store.table, targets, "train")
    rows = rows[(targets.hard[rows] < 2) | (np.arange(len(rows)) % 3 == 0)]  # six labels are rarer than two
    crop = dataclasses.replace(both.crop, up_sampling=1.0)

    examples = fit.crop_examples(store.table, targets, rows, None, dataclasses.replace(both, crop=crop))

    assert set(examples.rows) == set(rows)
    assert len(set(np.bincount(targets.hard[examples.rows]).tolist())) == 1
    np.testing.assert_array_equal(examples.targets, targets.soft[examples.rows])


def test_fitted_probabilities_read_faces_of_the_validation_split(table: Table, targets: Targets, recipe: Recipe):
    features, inputs = fit.prepare(table, targets, recipe)

    fitted = fit.fit(table, targets, recipe, features, inputs)

    validation = inputs["validation"]
    probabilities = fitted.probabilities(validation)
    assert (probabilities.argmax(axis=1) == targets.hard[validation.rows]).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_test_rows_do_not_change_the_fit(table: Table, targets: Targets, changed: Callable[..., Table], recipe: Recipe):
    landmarks = table.landmarks.copy()
    landmarks[table.split == "test"] = 1e6
    quick = dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, epochs=2))

    one, other = (
        fit.fit(each, targets, quick, *fit.prepare(each, targets, quick))
        for each in (table, changed(landmarks=landmarks))
    )

    for first, second in zip(one.network.layers, other.network.layers, strict=True):
        np.testing.assert_array_equal(first.kernel, second.kernel)
    assert one.temperature == other.temperature


def test_a_table_without_training_rows_is_refused(targets: Targets, changed: Callable[..., Table], recipe: Recipe):
    only_test = changed(split=np.full(len(targets.hard), "test"))

    with pytest.raises(TableError, match="no usable row in its train split"):
        fit.prepare(only_test, targets, recipe)


def test_a_table_without_validation_rows_is_refused(table: Table, targets: Targets, recipe: Recipe):
    features, inputs = fit.prepare(table, targets, recipe)

    with pytest.raises(TableError, match="no usable row in its validation split"):
        fit.fit(table, targets, recipe, features, inputs | {"validation": inputs["validation"][:0]})


def test_the_contract_has_the_mean_neutral_face(table: Table, targets: Targets, recipe: Recipe):
    rows = fit.rows_of(table, targets, "train")
    neutral = table.landmarks[rows][targets.hard[rows] == 0]

    features = fit.features_of(table, targets, rows, recipe)

    assert features.neutral is not None
    vectors, _ = features(np.concatenate([neutral, mirrored(neutral)]))
    np.testing.assert_allclose(features.neutral, vectors.mean(axis=0), atol=1e-5)


def test_without_neutral_faces_it_does_not(table: Table, recipe: Recipe):
    labels = recipe.labels[1:]
    others = targets_of(table, labels)

    features = fit.features_of(
        table, others, fit.rows_of(table, others, "train"), dataclasses.replace(recipe, labels=labels)
    )

    assert features.neutral is None
