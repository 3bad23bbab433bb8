from __future__ import annotations

import dataclasses

import numpy as np

from host_training.compare.contender import TrainingData
from host_training.compare.original import build, original, preprocess
from host_training.data.keypoints import concatenate, take
from host_training.data.votes import targets_of


def test_points_are_relative_to_the_first_and_divided_by_the_largest_in_size():
    face = np.zeros((1, 478, 3), np.float32)
    face[0, :4] = [[10, 20, 7], [14, 20, 9], [10, 12, -3], [5, 24, 0]]
    face[0, 4:] = face[0, 0]

    vector = preprocess(face)[0]

    # (0, 0), (4, 0), (0, -8), (-5, 4), and the rest on the first point; the largest in size is 8.
    np.testing.assert_array_equal(vector[:8], np.array([0, 0, 4, 0, 0, -8, -5, 4], np.float32) / 8)
    assert not vector[8:].any()
    assert vector.shape == (956,)


def test_the_network_has_the_layers_of_the_original():
    model = build(7)

    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dropout", "Dense", "Dropout", "Dense", "Dense"]
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.2, 0.4]
    assert model.count_params() == (956 * 20 + 20) + (20 * 10 + 10) + (10 * 7 + 7)
    assert [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")] == [
        "relu",
        "relu",
        "softmax",
    ]


def test_it_learns_from_its_seed_alone_and_beats_the_majority(table):
    # Many small steps an epoch, as with a table of real size.
    large = concatenate([table] * 8)
    large = dataclasses.replace(large, source=np.arange(len(large)).astype(np.str_))
    data = TrainingData.of(large, targets_of(large))
    faces = take(table, table.found & (table.split == "test"))

    first, second, other = (original(epochs=6).fit(data, seed).probabilities(faces) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.01
    assert (first.argmax(axis=1) == targets_of(faces).hard).mean() > 2 / 8
