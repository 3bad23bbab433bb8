from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.classifier.crop import MEAN, STD
from host_training.data.inputs import as_input, inputs_of
from host_training.training.crop_batches import CropBatches, CropExamples
from host_training.training.layers import clipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.training.recipe import Recipe

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
def batches(examples: CropExamples, store: CropStore, both: Recipe) -> Callable[..., Any]:
    """The batches of a recipe that differs in some knobs of [crop]."""

    def make(*, mirror: bool = True, seed: int = 1, **knobs: Any) -> Any:
        crop, augmentation = (
            dataclasses.replace(both.crop, **knobs),
            dataclasses.replace(both.augmentation, mirror=mirror),
        )
        changed = dataclasses.replace(both, crop=crop, augmentation=augmentation, seed=seed)
        return CropBatches(examples, store, changed)

    return make


def nearest(crops: NDArray[np.float32], to: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[N]: how far each of N crops is from the nearest of others, mean absolute difference."""
    return np.abs(crops[:, None] - to[None]).mean(axis=(2, 3, 4)).min(axis=1)


def test_a_batch_holds_crops_targets_and_weights(batches: Callable, examples: CropExamples):
    every = batches()

    crops, targets, weights = every[0]

    assert len(every) == len(examples.rows) // 8
    assert (crops.shape, targets.shape, weights.shape) == ((8, 24, 24, 1), (8, 8), (8,))
    assert crops.dtype == targets.dtype == weights.dtype == np.float32
    assert np.abs(crops).max() <= MEAN / STD
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0.5).all()
    assert (weights <= 1.5).all()


def test_as_it_is_a_crop_is_that_of_its_row_with_its_target_and_weight(
    batches: Callable, plain: NDArray[np.float32], examples: CropExamples
):
    every = batches(mirror=False, **STILL)
    order = np.random.default_rng((1, 0)).permutation(len(examples.rows))[:8]

    crops, targets, weights = every[0]

    np.testing.assert_array_equal(crops, plain[order])
    np.testing.assert_array_equal(targets, examples.targets[order])
    np.testing.assert_array_equal(weights, examples.weights[order])


def test_every_row_has_its_turn_in_an_epoch(batches: Callable, examples: CropExamples):
    every = batches(mirror=False, batch=19, **STILL)

    weights = np.concatenate([every[index][2] for index in range(len(every))])

    assert len(every) * 19 > len(examples.rows) - 19
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


def test_a_batch_larger_than_the_table_is_the_table(batches: Callable, examples: CropExamples):
    every = batches(batch=1000)

    assert len(every) == 1
    assert len(every[0][0]) == len(examples.rows)


def test_a_mirrored_crop_goes_with_the_vector_of_the_mirrored_face(
    early: tuple[CropExamples, Features], store: CropStore, both: Recipe
):
    examples, features = early
    still = dataclasses.replace(both, crop=dataclasses.replace(both.crop, **STILL, batch=len(examples.rows)))
    (crops, vectors), targets, _ = CropBatches(examples, store, still)[0]

    cut = inputs_of(features, store.table, examples.rows, store).crops
    sides = [as_input(cut), as_input(cut[:, :, ::-1])]
    counted = [0, 0]
    for crop, vector, target in zip(crops, vectors, targets, strict=True):
        at = [np.abs(side - crop).max(axis=(1, 2, 3)) < 1e-6 for side in sides]
        side = 0 if at[0].any() else 1
        row = np.flatnonzero(at[side])
        expected = clipped(examples.vectors[side, row])
        assert (np.abs(expected - vector).max(axis=1) < 1e-6).any()
        assert (examples.targets[row] == target).all(axis=1).any()
        counted[side] += 1
    assert min(counted) > 0.2 * len(crops)
