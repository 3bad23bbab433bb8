from __future__ import annotations

import keras
import numpy as np
import pytest

from edge.classifier import softmax
from host_training import network
from host_training.settings import TrainSettings


def test_rare_labels_weigh_more_and_the_average_row_weighs_one():
    targets = np.eye(3, dtype=np.float32)[[0] * 90 + [1] * 10]

    weights = network.class_weights(targets, 0.5)

    assert weights.mean() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(3)


def test_power_0_leaves_all_rows_alike():
    targets = np.eye(3, dtype=np.float32)[[0] * 90 + [1] * 10]

    np.testing.assert_allclose(network.class_weights(targets, 0), 1, rtol=1e-6)


def test_folded_layers_say_what_the_keras_model_says():
    rng = np.random.default_rng(0)
    model = network._build(12, 4, TrainSettings(hidden=(10, 8)))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    vectors = rng.uniform(-network.REACH, network.REACH, (20, 12)).astype(np.float32)

    np.testing.assert_allclose(
        network.logits(network._folded(model), vectors), model.predict(vectors, verbose=0), atol=1e-4
    )


def test_centred_logits_add_up_to_nothing_and_give_the_same_probabilities():
    rng = np.random.default_rng(0)
    shapes = ((5, 7), (7, 4))
    layers = [network.Layer(*(rng.normal(size=shape).astype("f") for shape in (s, s[1:]))) for s in shapes]
    vectors = rng.normal(size=(20, 5)).astype(np.float32)

    centred = network.logits(network._centred(layers), vectors)

    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(softmax(centred, 1), softmax(network.logits(layers, vectors), 1), atol=1e-5)


def test_training_stops_when_the_validation_rows_get_no_better():
    rng = np.random.default_rng(0)
    targets = np.eye(2, dtype=np.float32)
    noise = [rng.normal(size=(64, 5)).astype(np.float32) for _ in range(2)]
    learnt, unseen = (network.Rows(x, targets[rng.integers(0, 2, 64)], np.ones(64, np.float32)) for x in noise)

    settings = TrainSettings(hidden=(32,), epochs=200, patience=3, batch=16, learning_rate=0.02)
    _, losses = network.train(learnt, unseen, settings)

    assert len(losses["val_loss"]) < 60
    assert len(losses["val_loss"]) == int(np.argmin(losses["val_loss"])) + 1 + 3
