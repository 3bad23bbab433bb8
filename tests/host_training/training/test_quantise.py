from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier import network as classifier
from host_training.training import network, quantise
from tests.support.training_networks import LABELS, SIZE, features, layers_for, on_vectors, vectors_alone

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def rows(rng: np.random.Generator):
    return rng.normal(size=(400, SIZE)).astype(np.float32)


def test_the_int8_file_takes_and_gives_int8(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(on_vectors(layers_for(rng)), vectors_alone(rows)))

    model = classifier.network(tmp_path / "m.tflite", features(), LABELS)

    assert model.dtype == np.int8
    model.invoke()
    assert model.output(0).dtype == np.int8


def test_the_float_file_says_what_the_layers_say(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]):
    layers = layers_for(rng)
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(on_vectors(layers), None))

    said = classifier.logits(classifier.network(tmp_path / "m.tflite", features(), LABELS), rows)

    np.testing.assert_allclose(said, network.logits(layers, rows), atol=1e-4)


def test_ranges_leave_outliers_out(rng: np.random.Generator, rows: NDArray[np.float32]):
    rows[7, 3] = 1000
    layers = layers_for(rng)

    sample = quantise.representatives(on_vectors(layers), vectors_alone(rows), seed=0)

    assert np.ptp(network.logits(layers, sample.vectors)) < np.ptp(network.logits(layers, rows))
    assert len(sample) >= 0.95 * len(rows)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_on_the_device_too_an_outlier_counts_as_no_further_than_the_reach(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32], kind: str
):
    whole = on_vectors(layers_for(rng))
    rows[:, 3] = 1000
    sample = quantise.representatives(whole, vectors_alone(rows), seed=0) if kind == "int8" else None
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(whole, sample))
    model = classifier.network(tmp_path / "m.tflite", features(), LABELS)

    at_reach = rows.copy()
    at_reach[:, 3] = network.CLIP_SIGMA

    # The reach need not fall on a step of the input, so that the last step of the output may differ.
    step = 2 * model.output_quantisation[0] + 1e-5
    np.testing.assert_allclose(classifier.logits(model, rows), classifier.logits(model, at_reach), atol=step)


def flipped(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
