"""Float network -> the files that a device runs: quantised where that holds, calibrated, with golden faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge.classifier import network as classifier
from edge.classifier.crop import even
from host_training.training import bundle, quantise
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.classifier.features import Features
    from host_training.data.inputs import Inputs
    from host_training.training.fit import Fitted
    from host_training.training.recipe import TrainSettings

GOLDEN_PER_LABEL = 2
LEAST_IN_MEAN = 8
"""Faces that a golden crop is the mean of, at least: of its label those that the model is sure of, or else all that
the label has, or else all that there are."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What quantisation made of a network."""

    network: bytes
    """The TFLite file that goes into the bundle."""
    kind: str
    """`int8`, or `float32` where the gate did not let int8 through."""
    parity: quantise.Parity
    whole: bytes
    """The float network as a TFLite file."""


@dataclass(frozen=True, slots=True)
class Known:
    """N faces whose labels are clear."""

    landmarks: NDArray[np.float32]
    """float32[N, 478, 3] px."""
    inputs: Inputs
    label: NDArray[np.intp]
    """int[N]."""


def pack(
    fitted: Fitted, training: Known, validation: Known, *, settings: TrainSettings, folder: Path
) -> tuple[Bundle, Quantised]:
    """Quantise, calibrate what came of it, and write the files that a device runs.

    Args:
        fitted: with the float network.
        training: where ranges and golden faces come from.
        validation: by which int8 is judged, and the temperature set.
        settings: the recipe.
        folder: from `bundle.staging`.
    """
    quantised = choose(fitted, training.inputs, validation.inputs, validation.label, seed=settings.seed, folder=folder)
    by_device = _OnDevice(fitted.features, len(settings.labels), folder)
    temperature = fit_temperature(by_device(quantised.network, validation.inputs), validation.label)
    probabilities = classifier.softmax(by_device(quantised.network, training.inputs), temperature)
    golden = golden_rows(training.label, probabilities)
    crops = golden_crops(training.inputs.crops, training.label, probabilities, golden)
    packed = bundle.write_model(
        folder,
        network=quantised.network,
        whole=quantised.whole,
        features=fitted.features,
        temperature=temperature,
        labels=settings.labels,
        golden=(training.landmarks[golden], crops),
        name=settings.name,
    )
    return packed, quantised


def choose(
    fitted: Fitted, training: Inputs, validation: Inputs, label: NDArray[np.intp], *, seed: int, folder: Path
) -> Quantised:
    """The int8 network if it holds against the float one on the validation rows, else the float one.

    Args:
        fitted: with the float network.
        training: where the int8 ranges come from.
        validation: M faces.
        label: int[M].
        seed: chooses the representatives.
        folder: for files on the way.
    """
    by_float = fitted.network.logits(validation)
    by_device = _OnDevice(fitted.features, by_float.shape[1], folder)
    temperature = fit_temperature(by_float, label)
    tried: list[tuple[quantise.Parity, bytes]] = []
    for trim in tqdm(quantise.TRIMS, "quantising", unit=" attempts"):
        small = quantise.to_tflite(fitted.network, quantise.representatives(fitted.network, training, seed, trim))
        by_int8 = by_device(small, validation)
        parity = quantise.compare(
            classifier.softmax(by_float, temperature), classifier.softmax(by_int8, temperature), label
        )
        tried.append((parity, small))
    parity, small = max(tried, key=lambda each: each[0].agreement)
    whole = quantise.to_tflite(fitted.network, None)
    return Quantised(small, "int8", parity, whole) if parity.holds else Quantised(whole, "float32", parity, whole)


def golden_rows(label: NDArray[np.intp], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of some faces, int[G], to keep as golden ones: a few of every label that the model is sure of.

    Args:
        label: int[M].
        probabilities: float32[M, C], what the model says.
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
    """Crops to go with golden faces, uint8[G, S, S], each the mean of faces of its label; see `LEAST_IN_MEAN`.

    A mean of many shows nobody, and a bundle carries no picture of anybody.

    Args:
        crops: uint8[M, S, S]; None: the network sees none.
        label: int[M].
        probabilities: float32[M, C], what the model says.
        golden: int[G], from `golden_rows`.
    """
    if crops is None:
        return None
    sure = probabilities.argmax(axis=1) == label
    means = []
    for index in label[golden].tolist():
        mine = label == index
        among = (mine & sure, mine, np.ones_like(mine))
        chosen = next((each for each in among if each.sum() >= LEAST_IN_MEAN), among[-1])
        means.append(even(np.rint(crops[chosen].mean(axis=0)).astype(np.uint8)))
    return np.array(means)


class _OnDevice:
    """Runs candidate networks with the edge's own interpreter."""

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
