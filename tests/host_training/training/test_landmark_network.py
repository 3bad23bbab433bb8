from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from edge.classifier.features import Features
from edge.classifier.network import softmax
from host_training.data.landmark_sets import points_of
from host_training.training import landmark_network
from host_training.training.layers import CLIP_SIGMA, Layer, folded
from host_training.training.recipe import Recipe, load

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def features(faces: NDArray[np.float32]) -> Features:
    return Features.fit(faces, points_of(["lips"]))


def recipe_with(**overrides: object) -> Recipe:
    return load(None, {key.replace("__", "."): value for key, value in overrides.items()})


def test_folded_layers_give_the_logits_of_the_keras_model(features: Features):
    rng = np.random.default_rng(0)
    recipe = recipe_with(network__hidden=[10, 8], augmentation__pose_degrees=2)
    model = landmark_network.build(features, 4, recipe)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    vectors = rng.uniform(-CLIP_SIGMA, CLIP_SIGMA, (20, features.size)).astype(np.float32)

    layers = [Layer(kernel, bias) for kernel, bias, _ in folded(model)]
    np.testing.assert_allclose(landmark_network.logits(layers, vectors), model.predict(vectors, verbose=0), atol=1e-4)


def test_centred_logits_add_up_to_nothing_and_give_the_same_probabilities():
    rng = np.random.default_rng(0)
    shapes = ((5, 7), (7, 4))
    layers = [Layer(*(rng.normal(size=shape).astype("f") for shape in (s, s[1:]))) for s in shapes]
    vectors = rng.normal(size=(20, 5)).astype(np.float32)

    centred = landmark_network.logits(landmark_network._centred(layers), vectors)

    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(softmax(centred, 1), softmax(landmark_network.logits(layers, vectors), 1), atol=1e-5)


def test_training_stops_when_the_validation_rows_get_no_better(features: Features):
    rng = np.random.default_rng(0)
    targets = np.eye(2, dtype=np.float32)
    noise = [rng.normal(size=(64, features.size)).astype(np.float32) for _ in range(2)]
    training, validation = (
        landmark_network.Examples(x, targets[rng.integers(0, 2, 64)], np.ones(64, np.float32)) for x in noise
    )

    recipe = recipe_with(
        network__hidden=[32],
        optimiser__epochs=200,
        optimiser__patience=3,
        optimiser__batch=16,
        optimiser__learning_rate=0.02,
    )
    _, losses = landmark_network.train(training, validation, features, recipe)

    assert len(losses["val_loss"]) < 60
    assert len(losses["val_loss"]) == int(np.argmin(losses["val_loss"])) + 1 + 3


def test_a_jittered_face_is_rotated_and_stretched_in_training_only(features: Features, faces: NDArray[np.float32]):
    vectors, _ = features(faces)
    knobs = recipe_with(augmentation__pose_degrees=3, augmentation__stretch=0.03).augmentation
    layer = landmark_network.PoseJitter(features, knobs, 1)

    moved = np.asarray(layer(vectors, training=True))

    np.testing.assert_array_equal(np.asarray(layer(vectors, training=False)), vectors)
    shape, other = ((v * features.scale + features.mean).reshape(len(faces), -1, 3) for v in (vectors, moved))
    inside = np.abs(moved).max(axis=1) < CLIP_SIGMA
    assert inside.sum() > len(faces) / 2
    for before, after in zip(shape[inside], other[inside], strict=True):
        # Some 3x3 matrix near the identity explains all of it.
        change, residual, *_ = np.linalg.lstsq(before, after, rcond=None)
        assert residual.max() < 1e-3
        assert 1e-3 < np.abs(change - np.eye(3)).max() < 0.25


def test_jitter_has_the_strength_of_the_recipe(features: Features):
    many = np.zeros((4000, features.size), np.float32)
    knobs = recipe_with(augmentation__pose_degrees=2, augmentation__stretch=0.01).augmentation

    moved = np.asarray(landmark_network.PoseJitter(features, knobs, 1)(many, training=True)) * features.scale

    mean = features.mean.reshape(-1, 3).astype(np.float64)
    solved = np.linalg.lstsq(mean, moved.reshape(4000, -1, 3).transpose(1, 0, 2).reshape(len(mean), -1), rcond=None)
    change = solved[0].reshape(3, 4000, 3).transpose(1, 0, 2)
    turn = (change[:, 1, 0] - change[:, 0, 1]) / 2
    assert np.degrees(turn.std()) == pytest.approx(2, rel=0.1)
    assert change[:, 0, 0].std() == pytest.approx(0.01, rel=0.1)
