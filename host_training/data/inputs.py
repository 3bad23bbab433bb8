"""What a classifier sees of faces: the vector of their landmarks, the crop of their picture, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.crop import MEAN, STD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import Faces
    from host_training.data.keypoints import Table


NO_FACES = (
    "the network sees a crop of the picture, and a keypoint table has no pictures: make a store of them with "
    "`emotion-train crop` and give it with --crops FILE"
)
"""What to say where they are missing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of N faces."""

    vectors: NDArray[np.float32]
    """float32[N, F], from `edge.classifier.features`; F is 0 where the landmarks are not seen."""
    crops: NDArray[np.uint8] | None
    """uint8[N, S, S], from `edge.classifier.crop`; None where the picture is not seen."""

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Seen:
        """Some of the faces."""
        return Seen(self.vectors[rows], None if self.crops is None else self.crops[rows])

    def __len__(self) -> int:
        """N."""
        return len(self.vectors)


def see(features: Features, table: Table, rows: NDArray[np.intp], faces: Faces | None = None) -> Seen:
    """What a classifier with these features sees of some rows, int[N], in which a face was found.

    Args:
        features: what it sees.
        table: the rows and others.
        rows: int[N].
        faces: the pictures of the table's rows; of no account for features without a crop.
    """
    vectors, _ = features(table.landmarks[rows])
    crops = None
    if features.crop and faces is not None:
        cut = [features.crop(faces.picture(row), faces.landmarks(row)) for row in rows.tolist()]
        crops = np.array(cut, np.uint8).reshape(len(rows), features.crop.size, features.crop.size)
    return Seen(vectors, crops)


def as_input(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The crops, uint8[N, S, S], as a float network takes them in, float32[N, S, S, 1]."""
    values = (crops.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return values[..., None]
