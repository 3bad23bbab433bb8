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
    from host_training.training.recipe import TrainSettings


@pytest.fixture
def targets(table: Table) -> Targets:
    return targets_of(table)


def with_balance(settings: TrainSettings, **values: float):
    return dataclasses.replace(settings, balance=dataclasses.replace(settings.balance, **values))


def test_mirror_images_are_learnt_with_the_targets_of_the_faces(
    table: Table, targets: Targets, settings: TrainSettings
):
    rows = fit.rows_of(table, targets, "train")

    features = fit.features_of(table, targets, rows, settings)
    learnt = fit.learnt_of(table, targets, rows, features, settings)

    assert len(learnt.vectors) == 2 * len(rows)
    np.testing.assert_array_equal(learnt.targets, np.tile(targets.soft[rows], (2, 1)))
    np.testing.assert_allclose(learnt.vectors[len(rows) :], features(mirrored(table.landmarks[rows]))[0], atol=1e-5)


def test_without_the_mirror_every_face_is_learnt_once(table: Table, targets: Targets, settings: TrainSettings):
    plain = dataclasses.replace(settings, augmentation=dataclasses.replace(settings.augmentation, mirror=False))
    rows = fit.rows_of(table, targets, "train")

    features = fit.features_of(table, targets, rows, plain)
    learnt = fit.learnt_of(table, targets, rows, features, plain)

    np.testing.assert_allclose(learnt.vectors, features(table.landmarks[rows])[0], atol=1e-5)


def test_sampling_leaves_faces_targets_and_weights_together(table: Table, settings: TrainSettings):
    targets = targets_of(table, truth="label")
    rows = fit.rows_of(table, targets, "train")
    rows = rows[(targets.hard[rows] < 2) | (np.arange(len(rows)) % 3 == 0)]  # six labels are rarer than two

    features = fit.features_of(table, targets, rows, with_balance(settings, up_sampling=1.0))
    learnt = fit.learnt_of(table, targets, rows, features, with_balance(settings, up_sampling=1.0))

    every = features(np.concatenate([table.landmarks[rows], mirrored(table.landmarks[rows])]))[0]
    hard = np.tile(targets.hard[rows], 2)
    for vector, target in list(zip(learnt.vectors, learnt.targets, strict=True))[::7]:
        same = np.abs(every - vector).max(axis=1) < 1e-4
        assert (hard[same] == target.argmax()).all()
        assert same.any()
    assert len(set(np.bincount(learnt.targets.argmax(axis=1)).tolist())) == 1


def test_rare_faces_are_shown_more_often_to_the_network_on_the_crop(store: CropStore, both: TrainSettings):
    targets = targets_of(store.table)
    rows = fit.rows_of(store.table, targets, "train")
    rows = rows[(targets.hard[rows] < 2) | (np.arange(len(rows)) % 3 == 0)]  # six labels are rarer than two
    crop = dataclasses.replace(both.crop, up_sampling=1.0)

    lessons = fit.lessons_of(store.table, targets, rows, None, dataclasses.replace(both, crop=crop))

    assert set(lessons.rows) == set(rows)
    assert len(set(np.bincount(targets.hard[lessons.rows]).tolist())) == 1
    np.testing.assert_array_equal(lessons.targets, targets.soft[lessons.rows])


def test_fitted_probabilities_read_faces_of_the_validation_split(
    table: Table, targets: Targets, settings: TrainSettings
):
    features, inputs = fit.prepare(table, targets, settings)

    fitted = fit.fit(table, targets, settings, features, inputs)

    validation = inputs["validation"]
    said = fitted.probabilities(validation)
    assert (said.argmax(axis=1) == targets.hard[validation.rows]).mean() > 0.9
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_the_test_rows_are_not_looked_at(
    table: Table, targets: Targets, changed: Callable[..., Table], settings: TrainSettings
):
    landmarks = table.landmarks.copy()
    landmarks[table.split == "test"] = 1e6

    one, other = (
        fit.fit(each, targets, settings, *fit.prepare(each, targets, settings))
        for each in (table, changed(landmarks=landmarks))
    )

    for first, second in zip(one.network.layers, other.network.layers, strict=True):
        np.testing.assert_array_equal(first.kernel, second.kernel)
    assert one.temperature == other.temperature


def test_nothing_to_learn_from_is_said(targets: Targets, changed: Callable[..., Table], settings: TrainSettings):
    only_test = changed(split=np.full(len(targets.hard), "test"))

    with pytest.raises(TableError, match="no usable row in its train split"):
        fit.prepare(only_test, targets, settings)


def test_nothing_to_watch_the_training_on_is_said(table: Table, targets: Targets, settings: TrainSettings):
    features, inputs = fit.prepare(table, targets, settings)

    with pytest.raises(TableError, match="no usable row in its validation split"):
        fit.fit(table, targets, settings, features, inputs | {"validation": inputs["validation"][:0]})


def test_the_contract_knows_the_average_neutral_face(table: Table, targets: Targets, settings: TrainSettings):
    rows = fit.rows_of(table, targets, "train")
    neutral = table.landmarks[rows][targets.hard[rows] == 0]

    features = fit.features_of(table, targets, rows, settings)

    assert features.neutral is not None
    vectors, _ = features(np.concatenate([neutral, mirrored(neutral)]))
    np.testing.assert_allclose(features.neutral, vectors.mean(axis=0), atol=1e-5)


def test_without_neutral_faces_it_does_not(table: Table, settings: TrainSettings):
    labels = settings.labels[1:]
    others = targets_of(table, labels)

    features = fit.features_of(
        table, others, fit.rows_of(table, others, "train"), dataclasses.replace(settings, labels=labels)
    )

    assert features.neutral is None
