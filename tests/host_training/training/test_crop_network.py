from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.crop import MEAN, STD
from edge.classifier.network import softmax
from host_training.data.inputs import as_input, inputs_of
from host_training.training import crop_network
from host_training.training.crop_network import folded_crop_network
from host_training.training.layers import clipped
from tests.support.training_networks import crops_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.training.crop_batches import CropExamples
    from host_training.training.recipe import Recipe


def test_the_network_reads_crops_of_any_size_and_gives_logits(both: Recipe):
    crop = dataclasses.replace(both.crop, size=20, channels=(4, 6, 8))
    model = folded_crop_network(crop_network.build(dataclasses.replace(both, crop=crop), 5))

    assert model.size == 20
    assert crop_network.logits(model, crops_alone(np.zeros((3, 20, 20), np.uint8))).shape == (3, 5)
    assert crop_network.logits(model, crops_alone(np.zeros((0, 20, 20), np.uint8))).shape == (0, 5)


def test_a_face_and_its_mirror_image_have_the_same_logits(both: Recipe, plain: NDArray[np.float32]):
    model = folded_crop_network(crop_network.build(both, 8))
    crops = np.rint(plain[:5, :, :, 0] * STD + MEAN).astype(np.uint8)

    logits = crop_network.logits(model, crops_alone(crops))

    sides = [np.asarray(model(as_input(each))) for each in (crops, crops[:, :, ::-1])]
    np.testing.assert_allclose(logits, crop_network.logits(model, crops_alone(crops[:, :, ::-1])), atol=1e-5)
    np.testing.assert_allclose(logits, (sides[0] + sides[1]) / 2, atol=1e-5)
    assert np.abs(sides[0] - sides[1]).max() > 1e-4


def test_folded_it_gives_the_logits_of_keras(both: Recipe, plain: NDArray[np.float32]):
    model = crop_network.build(both, 8)
    rng = np.random.default_rng(0)
    # As after a training: an untrained normalisation does next to nothing.
    model.set_weights([each + 0.1 * rng.random(each.shape).astype(np.float32) for each in model.get_weights()])

    small = folded_crop_network(model)

    folded, by_keras = np.asarray(small(plain)), model.predict(plain, verbose=0)
    np.testing.assert_allclose(folded, by_keras, atol=1e-4 * np.abs(by_keras).max())
    assert np.ptp(by_keras, axis=0).min() > 1e-3
    assert small.parameters < model.count_params()


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_of_a_few_steps_has_an_end(
    examples: CropExamples, store: CropStore, both: Recipe, plain: NDArray[np.float32], epochs: int
):
    crop = dataclasses.replace(both.crop, epochs=epochs, batch=1000, channels=(4,))
    faces = crops_alone(np.rint(plain[:5, :, :, 0] * STD + MEAN).astype(np.uint8))
    recipe = dataclasses.replace(both, crop=crop)

    model, losses = crop_network.train(examples, store, (faces, examples.targets[:5]), recipe)

    assert {key: len(values) for key, values in losses.items()} == {"loss": epochs, "val_loss": epochs}
    assert np.isfinite(crop_network.logits(model, faces)).all()


def test_the_best_weights_are_kept_and_the_bar_shows_batches_and_losses(
    examples: CropExamples,
    store: CropStore,
    one_stage: Recipe,
    plain: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
):
    crops = np.rint(plain[:, :, :, 0] * STD + MEAN).astype(np.uint8)
    wrong = np.roll(examples.targets, 1, axis=1)  # the more it learns, the higher the loss on these
    validation = (crops_alone(crops), wrong)

    model, losses = crop_network.train(examples, store, validation, one_stage, label="fold 1 of 3, crops")

    logits = np.asarray(model(as_input(crops)))
    loss = (np.log(np.exp(logits).sum(axis=1)) - (logits * wrong).sum(axis=1)).mean()
    assert loss == pytest.approx(min(losses["val_loss"]), rel=0.02)  # Keras takes the mean of batches
    assert loss < 0.9 * losses["val_loss"][-1]
    bar, steps = capsys.readouterr().err.split("\r")[-1], one_stage.crop.epochs * (len(examples.rows) // 8)
    assert bar.startswith("fold 1 of 3, crops: 100%")
    assert f"{steps}/{steps} [" in bar
    assert " batches/s, " in bar
    assert f"loss={losses['loss'][-1]:.4f}, validation={losses['val_loss'][-1]:.4f}]" in bar


def test_folded_it_gives_the_logits_of_keras_for_both_inputs(
    early: tuple[CropExamples, Features], store: CropStore, both: Recipe
):
    examples, features = early
    model = crop_network.build(both, 8, features)
    rng = np.random.default_rng(0)
    model.set_weights([each + 0.1 * rng.random(each.shape).astype(np.float32) for each in model.get_weights()])
    inputs = inputs_of(features, store.table, examples.rows[:40], store)

    small = folded_crop_network(model)

    given = [as_input(inputs.crops), clipped(inputs.vectors)]
    folded, by_keras = np.asarray(small(*given)), model.predict(given, verbose=0)
    np.testing.assert_allclose(folded, by_keras, atol=1e-4 * np.abs(by_keras).max())
    assert np.abs(folded - np.asarray(small(given[0], 0 * given[1]))).max() > 1e-3


def test_half_of_a_student_s_target_is_the_mean_prediction_of_its_teachers(
    examples: CropExamples, both: Recipe, plain: NDArray[np.float32]
):
    teachers = [folded_crop_network(crop_network.build(both, examples.targets.shape[1])) for _ in range(2)]
    inputs = crops_alone(np.rint(plain[:, :, :, 0] * STD + MEAN).astype(np.uint8))

    student = crop_network.with_soft_labels(examples, teachers, inputs)

    predicted = [softmax(crop_network.logits(each, inputs), 1.0) for each in teachers]
    np.testing.assert_allclose(student.targets, examples.targets / 2 + sum(predicted) / 4, atol=1e-5)
    np.testing.assert_allclose(student.targets.sum(axis=1), 1, atol=1e-5)
    assert (student.rows == examples.rows).all()
    assert (student.weights == examples.weights).all()
