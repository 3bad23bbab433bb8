"""Training batches of the crop network: crops cut from the pictures and augmented anew in each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.classifier.crop import FaceCrop
from host_training.data.distortions import augmented
from host_training.data.inputs import as_input
from host_training.quiet import quiet
from host_training.training.layers import clipped

with quiet():
    import keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.crops import CropStore
    from host_training.training.recipe import Recipe

CUT_OUT = (0.12, 0.45)
"""Range of the sides of a cut-out rectangle, as shares of the crop's side."""


@dataclass(frozen=True, slots=True)
class CropExamples:
    """Training examples; the crops themselves are cut in each epoch."""

    rows: NDArray[np.intp]
    """int[N], of the table."""
    targets: NDArray[np.float32]
    """float32[N, C], soft labels."""
    weights: NDArray[np.float32]
    """float32[N], weight of each in the loss; 1 on average."""
    vectors: NDArray[np.float32] | None = None
    """float32[2, N, F], of the rows and of their mirror images; None if the network reads crops alone."""


class CropBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The examples in a new order in each epoch, no crop twice the same."""

    def __init__(self, examples: CropExamples, store: CropStore, recipe: Recipe) -> None:
        """`store` is the crop store of the table."""
        super().__init__(workers=1, max_queue_size=8)
        self._examples, self._store, self._knobs = examples, store, recipe.crop
        self._mirror = recipe.augmentation.mirror
        self._crop = FaceCrop(recipe.crop.size)
        self._seed, self._epoch = recipe.seed, 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        """Number of whole batches; the rest of the rows come in another epoch."""
        return max(1, len(self._order) // self._knobs.batch)

    def __getitem__(self, index: int) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
        """Crops, or crops and vectors; targets; weights."""
        chosen = self._order[index * self._knobs.batch : (index + 1) * self._knobs.batch]
        # A generator of its own: batches may be asked for in any order.
        rng = np.random.default_rng((self._seed, self._epoch, index))
        cut = [self._one(row, rng) for row in self._examples.rows[chosen].tolist()]
        inputs = [as_input(np.array([crop for crop, _ in cut], np.uint8))]
        if self._examples.vectors is not None:
            inputs.append(clipped(self._examples.vectors[[int(mirrored) for _, mirrored in cut], chosen]))
        inputs, targets, weights = self._mixed(
            inputs, self._examples.targets[chosen], self._examples.weights[chosen], rng
        )
        return inputs[0] if len(inputs) == 1 else tuple(inputs), targets, weights

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.intp]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._examples.rows))

    def _one(self, row: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], bool]:
        """uint8[S, S]: an augmented crop of the row; and whether it is mirrored."""
        knobs, picture, landmarks = self._knobs, self._store.cutout(row), self._store.landmarks(row)
        if rng.random() < knobs.distorted:
            picture = augmented(picture, landmarks, rng)
        crop = self._crop(picture, self._moved(landmarks, rng))
        if rng.random() < knobs.cut_out:
            height, width = (rng.uniform(*CUT_OUT, 2) * len(crop)).astype(int)
            top, left = rng.integers(0, len(crop) - height), rng.integers(0, len(crop) - width)
            crop[top : top + height, left : left + width] = rng.integers(0, 256)
        mirrored = self._mirror and bool(rng.random() < 0.5)  # noqa: PLR2004 - one half
        return crop[:, ::-1] if mirrored else crop, mirrored

    def _moved(self, landmarks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Landmarks with a random rotation, scale and shift, which the crop follows."""
        knobs = self._knobs
        turn, scale = np.radians(rng.normal(0, knobs.turn_degrees)), np.exp(rng.normal(0, knobs.scale))
        cos, sin = scale * np.cos(turn), scale * np.sin(turn)
        matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, scale]], np.float32)
        centre = landmarks.mean(axis=0)
        moved = np.asarray((landmarks - centre) @ matrix + centre, np.float32)
        moved[:, :2] += rng.normal(0, knobs.shift, 2).astype(np.float32) * np.ptp(landmarks[:, 1])
        return moved

    def _mixed(
        self,
        inputs: list[NDArray[np.float32]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32], NDArray[np.float32]]:
        """Mix-up (Zhang et al. 2018): each example mixed with another of the batch, targets too."""
        if not self._knobs.mix_up:
            return inputs, targets, weights
        share = rng.beta(self._knobs.mix_up, self._knobs.mix_up, len(targets)).astype(np.float32)
        share, other = np.maximum(share, np.float32(1) - share), rng.permutation(len(targets))

        def mixed(values: NDArray[np.float32]) -> NDArray[np.float32]:
            first = share.reshape(-1, *[1] * (values.ndim - 1))
            return np.asarray(values * first + values[other] * (np.float32(1) - first), np.float32)

        return [mixed(each) for each in inputs], mixed(targets), mixed(weights)
