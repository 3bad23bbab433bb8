from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.crop import FaceCrop
from edge.classifier.features import Features
from edge.errors import UsageError
from host_training import build
from host_training.data.crops import CropStore
from host_training.data.inputs import inputs_of, inputs_of_split
from host_training.data.landmark_sets import points_of
from host_training.data.votes import targets_of
from host_training.training import search
from host_training.training.folds import cross_validated

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.build import Origin
    from host_training.training.recipe import Recipe

ROWS = np.array([70, 3, 190])


def features(store: CropStore, *regions: str, crop: FaceCrop | None = None) -> Features:
    return Features.fit(store.table.landmarks[store.table.found], points_of(regions), crop)


def test_landmarks_alone_give_vectors_alone(store: CropStore):
    contract = features(store, "lips")

    inputs = inputs_of(contract, store.table, ROWS, store)

    assert inputs.crops is None
    np.testing.assert_array_equal(inputs.vectors, contract(store.table.landmarks[ROWS])[0])


@pytest.mark.parametrize("regions", [(), ("lips", "eyes")])
def test_crops_are_those_of_the_rows_in_their_order(store: CropStore, regions: tuple[str, ...]):
    crop = FaceCrop(32)

    inputs = inputs_of(features(store, *regions, crop=crop), store.table, ROWS, store)

    assert inputs.vectors.shape == (3, 3 * len(points_of(regions)))
    for each, row in zip(inputs.crops, ROWS.tolist(), strict=True):
        np.testing.assert_array_equal(each, crop(store.cutout(row), store.landmarks(row)))


def test_no_rows_give_empty_inputs(store: CropStore):
    inputs = inputs_of(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS[:0], store)

    assert len(inputs) == 0
    assert inputs.crops.shape == (0, 16, 16)


def test_crops_need_a_store(store: CropStore):
    with pytest.raises(UsageError, match="make a crop store with `emotion-train crop`"):
        inputs_of(features(store, crop=FaceCrop(16)), store.table, ROWS)


def test_a_split_has_the_rows_in_which_a_face_was_found(store: CropStore):
    table = store.table

    inputs = inputs_of_split(features(store, "lips"), table, "test")

    np.testing.assert_array_equal(inputs.rows, np.flatnonzero(table.found & (table.split == "test")))
    with pytest.raises(UsageError, match="unknown split 'dev'; choose train, validation, test or all"):
        inputs_of_split(features(store, "lips"), table, "dev")


@pytest.mark.parametrize("places", [np.array([2, 0]), np.array([True, False, True]), slice(1, 3)])
def test_some_of_the_inputs_keep_rows_vectors_and_crops_together(store: CropStore, places: np.ndarray | slice):
    inputs = inputs_of(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS, store)

    some = inputs[places]

    np.testing.assert_array_equal(some.rows, ROWS[places])
    np.testing.assert_array_equal(some.vectors, inputs.vectors[places])
    np.testing.assert_array_equal(some.crops, inputs.crops[places])
    assert len(some) == 2


def test_inputs_are_picked_by_row_in_any_order_and_several_times(store: CropStore):
    inputs = inputs_of(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS, store)

    picked = inputs.of(np.array([190, 70, 190]))

    assert picked.rows.tolist() == [190, 70, 190]
    np.testing.assert_array_equal(picked.vectors, inputs.vectors[[2, 0, 2]])
    np.testing.assert_array_equal(picked.crops, inputs.crops[[2, 0, 2]])


@pytest.mark.parametrize("row", [0, 71, 250])
def test_a_row_without_inputs_is_named(store: CropStore, row: int):
    inputs = inputs_of(features(store, "lips"), store.table, ROWS)

    with pytest.raises(ValueError, match=f"no inputs of row {row}"):
        inputs.of(np.array([70, row]))


def test_under_another_contract_the_crops_stay(store: CropStore):
    inputs = inputs_of(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS, store)
    other = features(store, "eyes", crop=FaceCrop(16))

    again = inputs.under(other, store.table)

    assert again.crops is inputs.crops
    np.testing.assert_array_equal(again.vectors, other(store.table.landmarks[ROWS])[0])


# Built once


@dataclass(frozen=True, slots=True)
class Counting(CropStore):
    """A crop store that counts how often each row is read."""

    reads: Counter[int] = field(default_factory=Counter)

    def cutout(self, row: int) -> NDArray[np.uint8]:
        self.reads[row] += 1
        return CropStore.cutout(self, row)


@pytest.fixture
def counting(store: CropStore) -> Counting:
    return Counting(**{each.name: getattr(store, each.name) for each in dataclasses.fields(CropStore)})


@pytest.fixture
def quick(both: Recipe) -> Recipe:
    """A recipe that learns next to nothing in next to no time, teacher and all."""
    crop = dataclasses.replace(both.crop, channels=(8,), epochs=1, batch=64, teachers=1)
    return dataclasses.replace(both, optimiser=dataclasses.replace(both.optimiser, epochs=1), crop=crop)


def reads_of(counting: Counting, rows: NDArray[np.intp]) -> set[int]:
    return {counting.reads[row] for row in rows.tolist()}


def test_a_training_with_all_that_follows_reads_each_crop_that_is_judged_once(
    counting: Counting, quick: Recipe, origin: Origin, tmp_path: Path
):
    build.run(counting.table, quick, tmp_path / "fused", origin, counting)

    found, split = counting.table.found, counting.table.split
    assert reads_of(counting, np.flatnonzero(found & (split == "validation"))) == {1}
    assert reads_of(counting, np.flatnonzero(found & (split == "test"))) == {1}
    assert reads_of(counting, np.flatnonzero(~found)) == {0}


def test_cross_validation_reads_a_crop_once_for_the_folds_that_it_stops_and_judges(counting: Counting, quick: Recipe):
    table = counting.table
    alone = dataclasses.replace(quick, inputs=("crop",), crop=dataclasses.replace(quick.crop, teachers=0))

    first, second = islice(cross_validated(table, targets_of(table), alone, 3, counting), 2)

    # The second fold has stopped the first training and been judged by the second; none has learnt from it yet.
    second_fold = second[0]
    assert reads_of(counting, second_fold[table.found[second_fold]]) == {1}
    assert max(reads_of(counting, first[0][table.found[first[0]]])) > 1


def test_a_trial_of_a_search_reads_each_crop_of_the_validation_split_once(counting: Counting):
    knobs = {"inputs": ["crop"], "crop.size": 24, "crop.channels": [8], "crop.epochs": 1, "crop.batch": 64}

    (trial,) = search.run(counting.table, None, knobs, [{}], store=counting)

    assert 0 < trial.validation["accuracy"] < 1
    found, split = counting.table.found, counting.table.split
    assert reads_of(counting, np.flatnonzero(found & (split == "validation"))) == {1}
    assert reads_of(counting, np.flatnonzero(found & (split == "test"))) == {0}
