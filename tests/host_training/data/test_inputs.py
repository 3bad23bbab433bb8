from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.crop import FaceCrop
from edge.classifier.features import Features
from host_training.data.inputs import see
from host_training.data.landmark_sets import points_of

if TYPE_CHECKING:
    from host_training.data.crops import Faces

ROWS = np.array([70, 3, 190])


def features(store: Faces, *regions: str, crop: FaceCrop | None = None) -> Features:
    return Features.fit(store.table.landmarks[store.table.found], points_of(regions), crop)


def test_landmarks_alone_give_vectors_alone(store: Faces):
    contract = features(store, "lips")

    seen = see(contract, store.table, ROWS, store)

    assert seen.crops is None
    np.testing.assert_array_equal(seen.vectors, contract(store.table.landmarks[ROWS])[0])


@pytest.mark.parametrize("regions", [(), ("lips", "eyes")])
def test_crops_are_those_of_the_rows_in_their_order(store: Faces, regions: tuple[str, ...]):
    crop = FaceCrop(32)

    seen = see(features(store, *regions, crop=crop), store.table, ROWS, store)

    assert seen.vectors.shape == (3, 3 * len(points_of(regions)))
    for each, row in zip(seen.crops, ROWS.tolist(), strict=True):
        np.testing.assert_array_equal(each, crop(store.picture(row), store.landmarks(row)))


def test_no_row_is_seen_as_nothing(store: Faces):
    seen = see(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS[:0], store)

    assert len(seen) == 0
    assert seen.crops.shape == (0, 16, 16)


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True]), slice(1, 3)])
def test_some_of_the_faces_keep_vectors_and_crops_together(store: Faces, rows: np.ndarray | slice):
    seen = see(features(store, "lips", crop=FaceCrop(16)), store.table, ROWS, store)

    some = seen[rows]

    np.testing.assert_array_equal(some.vectors, seen.vectors[rows])
    np.testing.assert_array_equal(some.crops, seen.crops[rows])
    assert len(some) == 2
