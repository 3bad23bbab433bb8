from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.classifier.crop import MEAN, STD, FaceCrop
from edge.classifier.network import softmax
from host_training.data.inputs import as_input, inputs_of
from host_training.data.votes import targets_of
from host_training.training import crop_network, fit
from host_training.training.crop_network import Lessons, folded_crop_network
from host_training.training.network import within_reach
from tests.support.training_networks import crops_alone

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.training.recipe import TrainSettings

STILL: dict[str, Any] = {
    "distorted": 0.0,
    "cut_out": 0.0,
    "mix_up": 0.0,
    "turn_degrees": 0.0,
    "scale": 0.0,
    "shift": 0.0,
}
"""Crops as they are, if the mirror is off too."""


@pytest.fixture
def lessons(store: CropStore) -> Lessons:
    targets = targets_of(store.table)
    rows = fit.rows_of(store.table, targets, "train")
    return Lessons(rows, targets.soft[rows], np.linspace(0.5, 1.5, len(rows)).astype(np.float32))


@pytest.fixture
def batches(lessons: Lessons, store: CropStore, both: TrainSettings) -> Callable[..., Any]:
    """The batches of a recipe that differs in some knobs of [crop]."""

    def make(*, mirror: bool = True, seed: int = 1, **knobs: Any) -> Any:
        crop, augmentation = (
            dataclasses.replace(both.crop, **knobs),
            dataclasses.replace(both.augmentation, mirror=mirror),
        )
        changed = dataclasses.replace(both, crop=crop, augmentation=augmentation, seed=seed)
        return crop_network._Batches(lessons, store, changed)

    return make


@pytest.fixture
def plain(lessons: Lessons, store: CropStore, both: TrainSettings) -> NDArray[np.float32]:
    """The crops of the training rows as they are."""
    crop = FaceCrop(both.crop.size)
    return as_input(np.array([crop(store.cutout(row), store.landmarks(row)) for row in lessons.rows]))


def nearest(crops: NDArray[np.float32], to: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[N]: how far each of N crops is from the nearest of others, mean absolute difference."""
    return np.abs(crops[:, None] - to[None]).mean(axis=(2, 3, 4)).min(axis=1)


# Batches


def test_a_batch_holds_crops_targets_and_weights(batches: Callable, lessons: Lessons):
    every = batches()

    crops, targets, weights = every[0]

    assert len(every) == len(lessons.rows) // 8
    assert (crops.shape, targets.shape, weights.shape) == ((8, 24, 24, 1), (8, 8), (8,))
    assert crops.dtype == targets.dtype == weights.dtype == np.float32
    assert np.abs(crops).max() <= MEAN / STD
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0.5).all()
    assert (weights <= 1.5).all()


def test_as_it_is_a_crop_is_that_of_its_row_with_its_target_and_weight(
    batches: Callable, plain: NDArray[np.float32], lessons: Lessons
):
    every = batches(mirror=False, **STILL)
    order = np.random.default_rng((1, 0)).permutation(len(lessons.rows))[:8]

    crops, targets, weights = every[0]

    np.testing.assert_array_equal(crops, plain[order])
    np.testing.assert_array_equal(targets, lessons.targets[order])
    np.testing.assert_array_equal(weights, lessons.weights[order])


def test_every_row_has_its_turn_in_an_epoch(batches: Callable, lessons: Lessons):
    every = batches(mirror=False, batch=19, **STILL)

    weights = np.concatenate([every[index][2] for index in range(len(every))])

    assert len(every) * 19 > len(lessons.rows) - 19
    assert len(set(weights.tolist())) == len(weights)


def test_the_next_epoch_has_another_order_and_other_crops(batches: Callable):
    every = batches()
    first, again = every[0], every[0]
    every.on_epoch_end()
    second = every[0]

    np.testing.assert_array_equal(first[0], again[0])
    assert np.abs(first[0] - second[0]).mean() > 0.1
    assert not np.array_equal(first[1], second[1])


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(batches: Callable):
    one, same, other = (batches(seed=seed)[3] for seed in (1, 1, 2))

    for first, second in zip(one, same, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(one[0], other[0])


def test_the_mirror_shows_about_half_of_the_crops(batches: Callable, plain: NDArray[np.float32]):
    crops = batches(batch=180, **STILL)[0][0]

    apart, mirrored = nearest(crops, plain) > 1e-6, nearest(crops, plain[:, :, ::-1]) <= 1e-6
    assert 0.3 < apart.mean() < 0.7
    assert mirrored[apart].all()


@pytest.mark.parametrize(
    "knob",
    [{"distorted": 1.0}, {"cut_out": 1.0}, {"mix_up": 1.0}, {"turn_degrees": 8.0}, {"scale": 0.2}, {"shift": 0.1}],
)
def test_each_knob_changes_the_crops(batches: Callable, plain: NDArray[np.float32], knob: dict[str, float]):
    crops, targets, _ = batches(mirror=False, batch=180, **(STILL | knob))[0]

    assert (nearest(crops, plain) > 1e-3).mean() > 0.4
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert ((targets > 0).sum(axis=1) > 1).any() == ("mix_up" in knob)


def test_a_batch_larger_than_the_table_is_the_table(batches: Callable, lessons: Lessons):
    every = batches(batch=1000)

    assert len(every) == 1
    assert len(every[0][0]) == len(lessons.rows)


# The network


def test_the_network_reads_crops_of_any_size_and_gives_logits(both: TrainSettings):
    crop = dataclasses.replace(both.crop, size=20, channels=(4, 6, 8))
    model = folded_crop_network(crop_network.build(dataclasses.replace(both, crop=crop), 5))

    assert model.size == 20
    assert crop_network.logits(model, crops_alone(np.zeros((3, 20, 20), np.uint8))).shape == (3, 5)
    assert crop_network.logits(model, crops_alone(np.zeros((0, 20, 20), np.uint8))).shape == (0, 5)


def test_a_face_and_its_mirror_image_are_told_the_same(both: TrainSettings, plain: NDArray[np.float32]):
    model = folded_crop_network(crop_network.build(both, 8))
    crops = np.rint(plain[:5, :, :, 0] * STD + MEAN).astype(np.uint8)

    said = crop_network.logits(model, crops_alone(crops))

    sides = [np.asarray(model(as_input(each))) for each in (crops, crops[:, :, ::-1])]
    np.testing.assert_allclose(said, crop_network.logits(model, crops_alone(crops[:, :, ::-1])), atol=1e-5)
    np.testing.assert_allclose(said, (sides[0] + sides[1]) / 2, atol=1e-5)
    assert np.abs(sides[0] - sides[1]).max() > 1e-4


def test_folded_it_says_what_keras_says(both: TrainSettings, plain: NDArray[np.float32]):
    model = crop_network.build(both, 8)
    rng = np.random.default_rng(0)
    # As after a training: an untrained normalisation does next to nothing.
    model.set_weights([each + 0.1 * rng.random(each.shape).astype(np.float32) for each in model.get_weights()])

    small = folded_crop_network(model)

    said, by_keras = np.asarray(small(plain)), model.predict(plain, verbose=0)
    np.testing.assert_allclose(said, by_keras, atol=1e-4 * np.abs(by_keras).max())
    assert np.ptp(by_keras, axis=0).min() > 1e-3
    assert small.parameters < model.count_params()


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_of_a_few_steps_has_an_end(
    lessons: Lessons, store: CropStore, both: TrainSettings, plain: NDArray[np.float32], epochs: int
):
    crop = dataclasses.replace(both.crop, epochs=epochs, batch=1000, channels=(4,))
    faces = crops_alone(np.rint(plain[:5, :, :, 0] * STD + MEAN).astype(np.uint8))
    settings = dataclasses.replace(both, crop=crop)

    model, losses = crop_network.train(lessons, store, (faces, lessons.targets[:5]), settings)

    assert {key: len(values) for key, values in losses.items()} == {"loss": epochs, "val_loss": epochs}
    assert np.isfinite(crop_network.logits(model, faces)).all()


def test_the_best_weights_are_kept_and_the_bar_tells_batches_and_losses(
    lessons: Lessons,
    store: CropStore,
    both: TrainSettings,
    plain: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
):
    crops = np.rint(plain[:, :, :, 0] * STD + MEAN).astype(np.uint8)
    wrong = np.roll(lessons.targets, 1, axis=1)  # the more it learns, the more these surprise
    watched = (crops_alone(crops), wrong)

    model, losses = crop_network.train(lessons, store, watched, both, label="fold 1 of 3, crops")

    said = np.asarray(model(as_input(crops)))
    surprise = (np.log(np.exp(said).sum(axis=1)) - (said * wrong).sum(axis=1)).mean()
    assert surprise == pytest.approx(min(losses["val_loss"]), rel=0.02)  # Keras takes the mean of batches
    assert surprise < 0.9 * losses["val_loss"][-1]
    bar, steps = capsys.readouterr().err.split("\r")[-1], 6 * (len(lessons.rows) // 8)
    assert bar.startswith("fold 1 of 3, crops: 100%")
    assert f"{steps}/{steps} [" in bar
    assert " batches/s, " in bar
    assert f"loss={losses['loss'][-1]:.4f}, validation={losses['val_loss'][-1]:.4f}]" in bar


# Both at once: early fusion


@pytest.fixture
def early(store: CropStore, both: TrainSettings) -> tuple[Lessons, Features]:
    """What a network learns that sees the landmarks too."""
    table = store.table
    targets = targets_of(table)
    rows = fit.rows_of(table, targets, "train")
    features = fit.features_of(table, targets, rows, both)
    return fit.lessons_of(table, targets, rows, features, both), features


def test_a_mirrored_crop_goes_with_the_vector_of_the_mirrored_face(
    early: tuple[Lessons, Features], store: CropStore, both: TrainSettings
):
    lessons, features = early
    still = dataclasses.replace(both, crop=dataclasses.replace(both.crop, **STILL, batch=len(lessons.rows)))
    (crops, vectors), targets, _ = crop_network._Batches(lessons, store, still)[0]

    cut = inputs_of(features, store.table, lessons.rows, store).crops
    sides = [as_input(cut), as_input(cut[:, :, ::-1])]
    counted = [0, 0]
    for crop, vector, target in zip(crops, vectors, targets, strict=True):
        at = [np.abs(side - crop).max(axis=(1, 2, 3)) < 1e-6 for side in sides]
        side = 0 if at[0].any() else 1
        row = np.flatnonzero(at[side])
        expected = within_reach(lessons.vectors[side, row])
        assert (np.abs(expected - vector).max(axis=1) < 1e-6).any()
        assert (lessons.targets[row] == target).all(axis=1).any()
        counted[side] += 1
    assert min(counted) > 0.2 * len(crops)


def test_folded_it_says_what_keras_says_of_both(early: tuple[Lessons, Features], store: CropStore, both: TrainSettings):
    lessons, features = early
    model = crop_network.build(both, 8, features)
    rng = np.random.default_rng(0)
    model.set_weights([each + 0.1 * rng.random(each.shape).astype(np.float32) for each in model.get_weights()])
    inputs = inputs_of(features, store.table, lessons.rows[:40], store)

    small = folded_crop_network(model)

    given = [as_input(inputs.crops), within_reach(inputs.vectors)]
    said, by_keras = np.asarray(small(*given)), model.predict(given, verbose=0)
    np.testing.assert_allclose(said, by_keras, atol=1e-4 * np.abs(by_keras).max())
    assert np.abs(said - np.asarray(small(given[0], 0 * given[1]))).max() > 1e-3


# Teachers


def test_half_of_what_is_taught_is_what_the_teachers_say_on_average(
    lessons: Lessons, both: TrainSettings, plain: NDArray[np.float32]
):
    teachers = [folded_crop_network(crop_network.build(both, lessons.targets.shape[1])) for _ in range(2)]
    seen = crops_alone(np.rint(plain[:, :, :, 0] * STD + MEAN).astype(np.uint8))

    taught = crop_network.taught(lessons, teachers, seen)

    said = [softmax(crop_network.logits(each, seen), 1.0) for each in teachers]
    np.testing.assert_allclose(taught.targets, lessons.targets / 2 + sum(said) / 4, atol=1e-5)
    np.testing.assert_allclose(taught.targets.sum(axis=1), 1, atol=1e-5)
    assert (taught.rows == lessons.rows).all()
    assert (taught.weights == lessons.weights).all()
