"""The neutral baseline: a person's own neutral face, subtracted from the classifier's vectors.

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
"""Share of the baseline that is subtracted. Of 0, 0.25, 0.5, 0.75 and 1, this one reads most neutral and smiling faces
of 36 people right from landmarks alone (`make model/evaluation/landmarks.baseline.json`)."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The neutral face of one person."""

    face: NDArray[np.float32]
    """float32[478, 3], in any scale and pose; only the shape matters."""
    measured: str = ""
    """Time of the measurement, RFC 3339 in UTC; empty: unknown."""

    @classmethod
    def of(cls, landmarks: NDArray[np.float32], features: Features, measured: str = "") -> Baseline:
        """The mean of faces, float32[N, 478, 3] px, each in the canonical pose."""
        aligned, _ = canonical(landmarks, features.rigid, features.reference)
        return cls(aligned.mean(axis=0, dtype=np.float64).astype(np.float32), measured)

    def vector(self, features: Features, share: float = SHARE) -> NDArray[np.float32] | None:
        """The offset to subtract from a vector, float32[P * 3]; None: the contract lacks the average neutral face."""
        if features.neutral is None:
            return None
        ((own,), _) = features(self.face[None])
        return np.asarray(np.float32(share) * (own - features.neutral), np.float32)

    def dump(self) -> bytes:
        """The bytes of a file."""
        file = io.BytesIO()
        np.savez_compressed(file, face=self.face, measured=np.array(self.measured))
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> Baseline:
        """Read the bytes that `dump` returned.

        Raises:
            ConfigError: the bytes are damaged.
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
