from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.classifier.network import softmax
from host_training.data.inputs import Inputs
from host_training.training import crop_network
from host_training.training.float_network import SHARES, FloatNetwork, fuse
from host_training.training.layers import seed_everything
from host_training.training.temperature import fit_temperature, negative_log_likelihood
from tests.support.training_networks import LABELS, SIZE, layers_for, mosaics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.training.crop_network import CropNetwork
    from host_training.training.layers import Layer
    from host_training.training.recipe import Recipe

FACES = 1500


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def small(both: Recipe) -> Recipe:
    """The recipe of a network on crops of 12 px."""
    return replace(both, crop=replace(both.crop, size=12, channels=(4, 6)))


@pytest.fixture
def inputs(rng: np.random.Generator, small: Recipe) -> Inputs:
    return Inputs(
        np.arange(FACES), rng.normal(size=(FACES, SIZE)).astype(np.float32), mosaics(rng, FACES, small.crop.size)
    )


@pytest.fixture
def layers(rng: np.random.Generator) -> list[Layer]:
    return layers_for(rng)


@pytest.fixture
def crop(small: Recipe, inputs: Inputs) -> CropNetwork:
    """With logits as large as those of the layers: an untrained network's are small."""
    seed_everything(1)
    model = crop_network.folded_crop_network(crop_network.build(small, LABELS))
    said = crop_network.logits(model, inputs)
    return replace(model, last=model.last.shifted(-said.mean(axis=0)).scaled(float(5 / said.std(axis=0).mean())))


def drawn(rng: np.random.Generator, logits: NDArray[Any]) -> NDArray[np.intp]:
    """Labels drawn with the probabilities of these logits."""
    return (rng.random((len(logits), 1)) > softmax(logits, 1).cumsum(axis=1)).sum(axis=1).clip(0, LABELS - 1)


def loss(whole: FloatNetwork, inputs: Inputs, label: NDArray[np.intp]) -> float:
    """Negative log-likelihood at the best temperature."""
    said = whole.logits(inputs)
    return negative_log_likelihood(said, label, fit_temperature(said, label))


@pytest.mark.parametrize("weight", [0.3, 1.0, 3.0])
def test_the_share_is_the_one_that_the_labels_were_drawn_with(
    rng: np.random.Generator, layers: list[Layer], crop: CropNetwork, inputs: Inputs, weight: float
):
    by_layers, by_crop = FloatNetwork(layers, None).logits(inputs), FloatNetwork(None, crop).logits(inputs)
    label = drawn(rng, by_layers / 4 + np.float32(weight) * by_crop / 4)
    temperatures = [fit_temperature(each, label) for each in (by_layers, by_crop)]

    _, share = fuse(layers, crop, inputs, label)

    # The sum is (1 - share) * by_layers / temperatures[0] + share * by_crop / temperatures[1].
    assert share / temperatures[1] / ((1 - share) / temperatures[0]) == pytest.approx(weight, rel=0.35)


def test_the_sum_has_a_lower_loss_than_either_alone_and_than_with_another_share(
    rng: np.random.Generator, layers: list[Layer], crop: CropNetwork, inputs: Inputs
):
    by_layers, by_crop = FloatNetwork(layers, None).logits(inputs), FloatNetwork(None, crop).logits(inputs)
    label = drawn(rng, (by_layers + by_crop) / 4)
    alone = [loss(FloatNetwork(layers, None), inputs, label), loss(FloatNetwork(None, crop), inputs, label)]
    said = [each / np.float32(fit_temperature(each, label)) for each in (by_layers, by_crop)]
    by_share = []
    for share in SHARES.tolist():
        mixed = np.asarray((1 - share) * said[0] + share * said[1], np.float32)
        by_share.append(negative_log_likelihood(mixed, label, fit_temperature(mixed, label)))

    whole, share = fuse(layers, crop, inputs, label)

    assert loss(whole, inputs, label) < min(alone) - 0.05
    assert loss(whole, inputs, label) == pytest.approx(min(by_share), abs=1e-4)
    assert share == SHARES[np.argmin(by_share)]


@pytest.mark.parametrize("knowing", [0, 1])
def test_a_network_that_knows_nothing_hardly_counts(
    rng: np.random.Generator, layers: list[Layer], crop: CropNetwork, inputs: Inputs, knowing: int
):
    alone = FloatNetwork(layers, None).logits(inputs), FloatNetwork(None, crop).logits(inputs)
    label = drawn(rng, alone[knowing] / 4)

    whole, share = fuse(layers, crop, inputs, label)

    scale = (1 - share) / fit_temperature(alone[0], label), share / fit_temperature(alone[1], label)
    parts = [weight * said.std() for weight, said in zip(scale, alone, strict=True)]
    assert parts[1 - knowing] < 0.1 * parts[knowing]
    assert loss(whole, inputs, label) == pytest.approx(
        negative_log_likelihood(alone[knowing], label, fit_temperature(alone[knowing], label)), abs=0.01
    )


def test_the_shares_are_folded_into_the_last_layers(
    rng: np.random.Generator, layers: list[Layer], crop: CropNetwork, inputs: Inputs
):
    by_layers, by_crop = FloatNetwork(layers, None).logits(inputs), FloatNetwork(None, crop).logits(inputs)
    label = drawn(rng, (by_layers + by_crop) / 4)
    temperatures = [fit_temperature(each, label) for each in (by_layers, by_crop)]

    whole, share = fuse(layers, crop, inputs, label)

    expected = (1 - share) * by_layers / temperatures[0] + share * by_crop / temperatures[1]
    np.testing.assert_allclose(whole.logits(inputs), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["layers", "crop", "both"])
def test_log_frequencies_are_subtracted_from_the_logits(
    layers: list[Layer], crop: CropNetwork, inputs: Inputs, kind: str
):
    network = FloatNetwork(None if kind == "crop" else layers, None if kind == "layers" else crop)
    frequency = np.geomspace(0.6, 0.001, LABELS).astype(np.float32)
    frequency /= frequency.sum()
    before = softmax(network.logits(inputs), 2.0)

    after = softmax(network.adjusted(frequency, 0.5, 2.0).logits(inputs), 2.0)

    expected = before / np.sqrt(frequency)
    np.testing.assert_allclose(after, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)


def test_a_label_without_rows_does_not_become_likely(layers: list[Layer], inputs: Inputs):
    frequency = np.zeros(LABELS, np.float32)
    frequency[1:] = 1 / (LABELS - 1)
    network = FloatNetwork(layers, None)

    before, after = (softmax(each.logits(inputs), 1.0) for each in (network, network.adjusted(frequency, 1.0, 1.0)))

    assert np.isfinite(after).all()
    assert (after[:, 0] <= before[:, 0]).all()


def test_both_count_as_parameters(layers: list[Layer], crop: CropNetwork):
    dense = (SIZE * 16 + 16) + (16 * LABELS + LABELS)

    assert FloatNetwork(layers, None).parameters == dense
    assert FloatNetwork(layers, crop).parameters == dense + crop.parameters
