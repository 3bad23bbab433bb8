"""A person's own neutral face, from which the classifier's vectors are counted.

Some faces look cheerful or stern at rest. What this person's neutral face has beyond the average one of the training
rows is taken off each vector: a part of it, for one neutral face is never measured without error, and those that
people call neutral differ.

It is kept as landmarks, not as a vector, so that it outlives the bundle it was measured with.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from edge.classifier.features import canonical
from edge.errors import ConfigError
from edge.values import LANDMARKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features

SHARE = 0.5
"""Of what distinguishes the neutral face, so much is taken off: of 0, 0.25, 0.5, 0.75 and 1 what reads most neutral and
smiling faces of 36 persons right with landmarks alone (`make model/evaluation/landmarks.baseline.json`)."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The neutral face of one person."""

    face: NDArray[np.float32]
    """float32[478, 3] in any scale and pose; only the shape counts."""
    measured: str = ""
    """When; RFC 3339, UTC. Empty: not known."""

    @classmethod
    def of(cls, landmarks: NDArray[np.float32], features: Features, measured: str = "") -> Baseline:
        """The mean of some faces, float32[N, 478, 3] px, each put into the canonical pose first."""
        aligned, _ = canonical(landmarks, features.rigid, features.reference)
        return cls(aligned.mean(axis=0, dtype=np.float64).astype(np.float32), measured)

    def vector(self, features: Features, share: float = SHARE) -> NDArray[np.float32] | None:
        """What is to be taken off a vector, float32[P * 3]; None: the contract does not know the average face."""
        if features.neutral is None:
            return None
        ((own,), _) = features(self.face[None])
        return np.asarray(np.float32(share) * (own - features.neutral), np.float32)

    def dump(self) -> bytes:
        """As the bytes of a file."""
        file = io.BytesIO()
        np.savez_compressed(file, face=self.face, measured=np.array(self.measured))
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> Baseline:
        """From the bytes that `dump` gave.

        Raises:
            ConfigError: they are damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                face, measured = arrays["face"].astype(np.float32), str(arrays["measured"])
            if measured:
                datetime.fromisoformat(measured)
        except Exception as error:
            raise ConfigError(f"the neutral face is damaged ({error}); calibrate again") from error
        if face.shape != (LANDMARKS, 3) or not np.isfinite(face).all() or not np.ptp(face, axis=0).all():
            raise ConfigError("the neutral face is damaged; calibrate again")
        return cls(face, measured)
