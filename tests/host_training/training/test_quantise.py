from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier import network as classifier
from host_training.training import landmark_network, quantise
from host_training.training.layers import CLIP_SIGMA
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


def test_the_float_file_gives_the_logits_of_the_layers(
    tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32]
):
    layers = layers_for(rng)
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(on_vectors(layers), None))

    logits = classifier.logits(classifier.network(tmp_path / "m.tflite", features(), LABELS), rows)

    np.testing.assert_allclose(logits, landmark_network.logits(layers, rows), atol=1e-4)


def test_ranges_leave_outliers_out(rng: np.random.Generator, rows: NDArray[np.float32]):
    rows[7, 3] = 1000
    layers = layers_for(rng)

    sample = quantise.representatives(on_vectors(layers), vectors_alone(rows), seed=0)

    assert np.ptp(landmark_network.logits(layers, sample.vectors)) < np.ptp(landmark_network.logits(layers, rows))
    assert len(sample) >= 0.95 * len(rows)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_a_device_clips_outliers_too(tmp_path: Path, rng: np.random.Generator, rows: NDArray[np.float32], kind: str):
    whole = on_vectors(layers_for(rng))
    rows[:, 3] = 1000
    sample = quantise.representatives(whole, vectors_alone(rows), seed=0) if kind == "int8" else None
    (tmp_path / "m.tflite").write_bytes(quantise.to_tflite(whole, sample))
    model = classifier.network(tmp_path / "m.tflite", features(), LABELS)

    clipped = rows.copy()
    clipped[:, 3] = CLIP_SIGMA

    # The limit need not fall on a step of the input, so the output may differ by a step.
    step = 2 * model.output_quantisation[0] + 1e-5
    np.testing.assert_allclose(classifier.logits(model, rows), classifier.logits(model, clipped), atol=step)
