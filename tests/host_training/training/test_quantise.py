from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import classifier
from host_training.training import network, quantise, train

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def layers_for(rng: np.random.Generator, size: int):
    return [
        network.Layer(rng.normal(size=(size, 16)).astype(np.float32), rng.normal(size=16).astype(np.float32)),
        network.Layer(rng.normal(size=(16, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)),
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def rows(rng: np.random.Generator):
    return rng.normal(size=(400, 12)).astype(np.float32)


def test_the_int8_file_takes_and_gives_int8(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(layers_for(rng, 12), rows))

    model = classifier.network(tmp_path / "m.tflite", 12, 8)

    assert model.input_dtype == np.int8
    assert model.run(np.zeros((1, 12), np.int8))[0].dtype == np.int8


def test_the_float_file_says_what_the_layers_say(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    layers = layers_for(rng, 12)
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(layers, None))

    said = classifier.logits(classifier.network(tmp_path / "m.tflite", 12, 8), rows)

    np.testing.assert_allclose(said, network.logits(layers, rows), atol=1e-4)


def test_ranges_leave_outliers_out(rng: np.random.Generator, rows: NDArray[np.float32]):
    rows[7, 3] = 1000
    layers = layers_for(rng, 12)

    sample = quantise.representatives(layers, rows, seed=0)

    assert sample.max() <= network.REACH
    assert np.ptp(network.logits(layers, sample)) < np.ptp(network.logits(layers, rows))
    assert len(sample) >= 0.95 * len(rows)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_on_the_device_too_an_outlier_counts_as_no_further_than_the_reach(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32], kind: str
):
    layers = layers_for(rng, 12)
    rows[:, 3] = 1000
    sample = quantise.representatives(layers, rows, seed=0) if kind == "int8" else None
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(layers, sample))
    model = classifier.network(tmp_path / "m.tflite", 12, 8)

    at_reach = rows.copy()
    at_reach[:, 3] = network.REACH

    # The reach need not fall on a step of the input, so that the last step of the output may differ.
    step = 2 * model.output_quantisation[0] + 1e-5
    np.testing.assert_allclose(classifier.logits(model, rows), classifier.logits(model, at_reach), atol=step)


def test_a_network_that_survives_is_packed_as_int8(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    layers = layers_for(rng, 12)
    said = network.logits(layers, rows)
    sure = np.sort(said, axis=1)[:, -1] - np.sort(said, axis=1)[:, -2] > 1

    chosen = train.choose(layers, rows, rows[sure], said[sure].argmax(axis=1), seed=0, folder=tmp_path)

    assert chosen.kind == "int8"
    assert chosen.parity.holds
    assert not list(tmp_path.iterdir())


def test_the_range_that_agrees_best_with_float_is_kept(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]
):
    layers = layers_for(rng, 12)
    by_float = network.logits(layers, rows)
    label = by_float.argmax(axis=1)

    chosen = train.choose(layers, rows, rows, label, seed=0, folder=tmp_path)

    agreements = []
    for trim in quantise.TRIMS:
        (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(layers, quantise.representatives(layers, rows, 0, trim)))
        said = classifier.logits(classifier.network(tmp_path / "m.tflite", 12, 8), rows)
        agreements.append(float((said.argmax(axis=1) == label).mean()))
    assert chosen.parity.agreement == max(agreements) > min(agreements)


def test_a_network_that_256_steps_cannot_carry_stays_float(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]
):
    # One coordinate a thousand times larger than the rest, and of no account: its range swallows the others.
    rows[:, 1:] /= 1000
    layers = layers_for(rng, 12)
    layers[0].kernel[0] = 0
    layers[0].kernel[1:] *= 1000
    label = network.logits(layers, rows).argmax(axis=1)

    chosen = train.choose(layers, rows, rows, label, seed=0, folder=tmp_path)

    assert chosen.kind == "float32"
    assert chosen.parity.int8_accuracy < 0.9 < chosen.parity.float_accuracy
    (tmp_path / "m.tflite").write_bytes(chosen.network)
    assert classifier.network(tmp_path / "m.tflite", 12, 8).input_dtype == np.float32


def flipped(count: int):
    """Probabilities of 1000 rows, and the same with the label of `count` of them changed."""
    one = np.tile(np.array([[0.9, 0.1]], np.float32), (1000, 1))
    other = one.copy()
    other[:count] = other[:count, ::-1]
    return one, other


@pytest.mark.parametrize(("count", "holds"), [(0, True), (5, True), (6, False), (20, False)])
def test_the_gate_lets_through_half_a_point_of_accuracy_and_no_more(count: int, holds: bool):
    parity = quantise.compare(*flipped(count), np.zeros(1000, np.intp))

    assert parity.holds is holds


@pytest.mark.parametrize(("count", "holds"), [(10, True), (11, False)])
def test_the_gate_wants_the_same_labels_even_where_accuracy_gains(count: int, holds: bool):
    parity = quantise.compare(*flipped(count), np.ones(1000, np.intp))

    assert parity.int8_accuracy >= parity.float_accuracy
    assert parity.holds is holds


def test_differences_of_the_probabilities_are_told():
    parity = quantise.compare(*flipped(500), np.zeros(1000, np.intp))

    assert parity.max_difference == pytest.approx(0.8)
    assert parity.mean_difference == pytest.approx(0.4)
