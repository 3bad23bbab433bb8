from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier import network as classifier
from edge.classifier.crop import even
from host_training.training import crop_network, landmark_network, packing, quantise
from host_training.training.fit import Fitted
from host_training.training.float_network import FloatNetwork
from tests.support.training_networks import (
    LABELS,
    SIZE,
    crop_features,
    crops_alone,
    features,
    layers_for,
    mosaics,
    on_vectors,
    vectors_alone,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.training.layers import Layer
    from host_training.training.recipe import Recipe


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def rows(rng: np.random.Generator):
    return rng.normal(size=(400, SIZE)).astype(np.float32)


def fitted(layers: list[Layer]) -> Fitted:
    return Fitted(features(), on_vectors(layers), 1.0, {})


# int8 or float


def test_a_network_that_survives_is_packed_as_int8(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    layers = layers_for(rng)
    said = landmark_network.logits(layers, rows)
    sure = np.sort(said, axis=1)[:, -1] - np.sort(said, axis=1)[:, -2] > 1
    training, validation = vectors_alone(rows), vectors_alone(rows[sure])

    chosen = packing.int8_or_float(
        fitted(layers), training, validation, said[sure].argmax(axis=1), seed=0, folder=tmp_path
    )

    assert chosen.kind == "int8"
    assert chosen.parity.holds
    assert not list(tmp_path.iterdir())


def test_the_range_that_agrees_best_with_float_is_kept(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]
):
    layers, seen = layers_for(rng), vectors_alone(rows)
    label = landmark_network.logits(layers, rows).argmax(axis=1)

    chosen = packing.int8_or_float(fitted(layers), seen, seen, label, seed=0, folder=tmp_path)

    agreements, whole = [], on_vectors(layers)
    for trim in quantise.TRIMS:
        sample = quantise.representatives(whole, seen, 0, trim)
        (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(whole, sample))
        said = classifier.logits(classifier.network(tmp_path / "m.tflite", features(), LABELS), rows)
        agreements.append(float((said.argmax(axis=1) == label).mean()))
    assert chosen.parity.agreement == max(agreements) > min(agreements)


def test_a_network_that_256_steps_cannot_carry_stays_float(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]
):
    # One coordinate a thousand times larger than the rest, and of no account: its range swallows the others.
    rows[:, 1:] /= 1000
    layers, seen = layers_for(rng), vectors_alone(rows)
    layers[0].kernel[0] = 0
    layers[0].kernel[1:] *= 1000
    label = landmark_network.logits(layers, rows).argmax(axis=1)

    chosen = packing.int8_or_float(fitted(layers), seen, seen, label, seed=0, folder=tmp_path)

    assert chosen.kind == "float32"
    assert chosen.parity.int8_accuracy < 0.9 < chosen.parity.float_accuracy
    assert chosen.network == chosen.float_network
    (tmp_path / "m.tflite").write_bytes(chosen.network)
    assert classifier.network(tmp_path / "m.tflite", features(), LABELS).dtype == np.float32


def test_a_network_on_crops_that_256_steps_cannot_carry_stays_float_too(
    tmp_path: Path, rng: np.random.Generator, both: Recipe
):
    crop = crop_network.folded_crop_network(crop_network.build(both, LABELS))
    # What all labels share swallows what tells them apart.
    whole = FloatNetwork(None, replace(crop, last=replace(crop.last, kernel=crop.last.kernel + np.float32(1000))))
    seen = crops_alone(mosaics(rng, 60, both.crop.size))
    model = Fitted(crop_features(both.crop.size), whole, 1.0, {})
    label = whole.logits(seen).argmax(axis=1)

    chosen = packing.int8_or_float(model, seen, seen, label, seed=0, folder=tmp_path)

    assert chosen.kind == "float32"
    assert chosen.parity.int8_accuracy < 0.9 < chosen.parity.float_accuracy


# Golden faces


def test_golden_faces_are_the_first_that_the_model_is_sure_of_and_else_the_surest():
    label = np.repeat([0, 1], 8)
    probabilities = np.full((16, 2), 0.05, np.float32)
    probabilities[[3, 5, 6], 0] = 0.92, 0.91, 0.99
    probabilities[[10, 12, 15], 1] = 0.7, 0.95, 0.8

    assert packing.golden_rows(label, probabilities).tolist() == [3, 5, 12, 15]


def golden_crops_of(counts: list[int], sure: list[int], rng: np.random.Generator):
    """Crops of so many faces of each label, of which the model is sure of so many; and a golden one of each."""
    label = np.repeat(np.arange(len(counts)), counts)
    said = np.concatenate(
        [
            np.where(np.arange(count) < known, index, (index + 1) % len(counts))
            for index, (count, known) in enumerate(zip(counts, sure, strict=True))
        ]
    )
    crops = mosaics(rng, len(label), 16)
    probabilities = np.eye(len(counts), dtype=np.float32)[said]
    golden = np.searchsorted(label, np.arange(len(counts)))
    return crops, label, packing.golden_crops(crops, label, probabilities, golden)


def mean_of(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return even(np.rint(crops.mean(axis=0)).astype(np.uint8))


def test_a_golden_crop_is_the_mean_of_the_faces_of_its_label_that_the_model_is_sure_of(rng: np.random.Generator):
    crops, label, (first, second) = golden_crops_of([20, 20], [10, 20], rng)

    np.testing.assert_array_equal(first, mean_of(crops[:10]))
    np.testing.assert_array_equal(second, mean_of(crops[label == 1]))


@pytest.mark.parametrize(
    ("counts", "sure", "shown"), [([20, 9], [20, 7], slice(20, 29)), ([20, 1], [20, 1], slice(29))]
)
def test_a_golden_crop_is_never_the_mean_of_a_few(
    rng: np.random.Generator, counts: list[int], sure: list[int], shown: slice
):
    crops, _, golden = golden_crops_of(counts, sure, rng)

    np.testing.assert_array_equal(golden[1], mean_of(crops[shown]))


def test_without_crops_there_are_no_golden_ones():
    assert packing.golden_crops(None, np.zeros(1, np.intp), np.ones((1, 2), np.float32), np.zeros(1, np.intp)) is None
