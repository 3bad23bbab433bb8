"""Float network -> the files that a device runs: network, int8 if parity holds, temperature, golden faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge.classifier import network as classifier
from edge.classifier.crop import even
from host_training.training import bundle, parity, quantise
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.classifier.features import Features
    from host_training.data.inputs import Inputs
    from host_training.training.fit import Fitted
    from host_training.training.parity import Parity
    from host_training.training.recipe import Recipe

GOLDEN_PER_LABEL = 2
LEAST_IN_MEAN = 8
"""Minimum number of faces that a golden crop is the mean of: those of its label that are predicted correctly; if these
are too few, all of its label; if these are too few, all."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """The network that a device runs, and how it was chosen."""

    network: bytes
    """The TFLite file that goes into the bundle."""
    kind: str
    """`int8`, or `float32` if parity does not hold."""
    parity: Parity
    float_network: bytes
    """The TFLite file before quantisation."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """N faces with a clear label."""

    landmarks: NDArray[np.float32]
    """float32[N, 478, 3] px."""
    inputs: Inputs
    label: NDArray[np.intp]
    """int[N]."""


def pack(
    fitted: Fitted, training: Labelled, validation: Labelled, *, recipe: Recipe, folder: Path
) -> tuple[Bundle, Quantised]:
    """Quantise, fit the temperature of the result, and write the files that a device runs.

    Args:
        fitted: with the float network.
        training: source of the representative dataset and of the golden faces.
        validation: decides on int8 and gives the temperature.
        recipe: the knobs.
        folder: from `bundle.staging`.
    """
    quantised = int8_or_float(
        fitted, training.inputs, validation.inputs, validation.label, seed=recipe.seed, folder=folder
    )
    by_device = _OnDevice(fitted.features, len(recipe.labels), folder)
    temperature = fit_temperature(by_device(quantised.network, validation.inputs), validation.label)
    probabilities = classifier.softmax(by_device(quantised.network, training.inputs), temperature)
    golden = golden_rows(training.label, probabilities)
    crops = golden_crops(training.inputs.crops, training.label, probabilities, golden)
    packed = bundle.write_model(
        folder,
        network=quantised.network,
        float_network=quantised.float_network,
        features=fitted.features,
        temperature=temperature,
        labels=recipe.labels,
        golden=(training.landmarks[golden], crops),
        name=recipe.name,
    )
    return packed, quantised


def int8_or_float(
    fitted: Fitted, training: Inputs, validation: Inputs, label: NDArray[np.intp], *, seed: int, folder: Path
) -> Quantised:
    """The int8 network if its parity with the float one holds on the validation rows, else the float one.

    Args:
        fitted: with the float network.
        training: source of the representative dataset.
        validation: the inputs that decide, of M faces.
        label: int[M].
        seed: draws the representative dataset.
        folder: for temporary files.
    """
    by_float = fitted.network.logits(validation)
    by_device = _OnDevice(fitted.features, by_float.shape[1], folder)
    temperature = fit_temperature(by_float, label)
    tried: list[tuple[Parity, bytes]] = []
    for trim in tqdm(quantise.TRIMS, "quantising", unit=" attempts"):
        small = quantise.to_tflite(fitted.network, quantise.representatives(fitted.network, training, seed, trim))
        by_int8 = by_device(small, validation)
        compared = parity.compare(
            classifier.softmax(by_float, temperature), classifier.softmax(by_int8, temperature), label
        )
        tried.append((compared, small))
    best, small = max(tried, key=lambda each: each[0].agreement)
    large = quantise.to_tflite(fitted.network, None)
    return Quantised(small, "int8", best, large) if best.holds else Quantised(large, "float32", best, large)


def golden_rows(label: NDArray[np.intp], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """The faces to use as golden ones, int[G]: a few of each label that the model is sure of.

    Args:
        label: int[M].
        probabilities: float32[M, C], of the model.
    """
    chosen = []
    for index in range(probabilities.shape[1]):
        mine = np.flatnonzero(label == index)
        sure = probabilities[mine, index]
        first = mine[sure >= bundle.GOLDEN_CONFIDENCE][:GOLDEN_PER_LABEL]
        surest = mine[np.argsort(-sure, kind="stable")][:GOLDEN_PER_LABEL]
        chosen.append(first if len(first) == GOLDEN_PER_LABEL else surest)
    return np.concatenate(chosen)


def golden_crops(
    crops: NDArray[np.uint8] | None,
    label: NDArray[np.intp],
    probabilities: NDArray[np.float32],
    golden: NDArray[np.intp],
) -> NDArray[np.uint8] | None:
    """Crops for the golden faces, uint8[G, S, S], each the mean over faces of its label; see `LEAST_IN_MEAN`.

    The mean of many faces shows no single person, so a bundle holds no picture of one.

    Args:
        crops: uint8[M, S, S]; None: the network reads none.
        label: int[M].
        probabilities: float32[M, C], of the model.
        golden: int[G], from `golden_rows`.
    """
    if crops is None:
        return None
    correct = probabilities.argmax(axis=1) == label
    means = []
    for index in label[golden].tolist():
        mine = label == index
        among = (mine & correct, mine, np.ones_like(mine))
        chosen = next((each for each in among if each.sum() >= LEAST_IN_MEAN), among[-1])
        means.append(even(np.rint(crops[chosen].mean(axis=0)).astype(np.uint8)))
    return np.array(means)


class _OnDevice:
    """Runs a TFLite file with the edge's own interpreter."""

    def __init__(self, features: Features, labels: int, folder: Path) -> None:
        self._features, self._labels, self._path = features, labels, folder / "candidate.tflite"

    def __call__(self, tflite: bytes, inputs: Inputs) -> NDArray[np.float32]:
        """Logits, float32[N, C]."""
        self._path.write_bytes(tflite)
        try:
            model = classifier.network(self._path, self._features, self._labels)
            return classifier.logits(model, inputs.vectors, inputs.crops)
        finally:
            self._path.unlink()
