"""Landmarks as small integers: each face on a grid of its own, coded by a point distribution model.

The 478 points of a face are far from independent. A hundred principal components of a table's own faces (Cootes et al.
1995) explain all but a few hundredths of a pixel, so the residual fits into a few bits per coordinate.

    landmarks = box[:3] + box[3] / UNITS * steps
    steps     = mean + round(coefficients @ components) + residual

Every sum and product here is exact in its floating-point type. So a table reads the same on every machine, and reading
and writing it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = 1024
"""Steps along the longer side of a face: 0.04 px each in a face of 40 px, well below the accuracy of the mesh."""
COMPONENTS = 100
"""Maximum number of principal components. More of them make the residual smaller, but add coefficients."""
SAMPLE = 8000
"""Maximum number of faces that the model is fitted to."""
ROWS = 4096
"""Faces coded at a time, to bound the memory."""

_BOX_BITS = 16
"""Binary digits of a box's numbers, counted down from its longer side. A step is 2^-10 of that side, so rounding costs
a hundredth of a step, and a float32 has room for a face that is 128 times its size away from the picture's corner."""
_SMALLEST_SIDE = 1e-6
"""Side of a face whose points coincide, which prevents a division by 0."""


def to_steps(landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Round faces to their grids.

    Args:
        landmarks: float32[N, P, 3], finite.

    Returns:
        float32[N, 4]: x, y, z of the centre of a cube around the face, and its side, in the unit of the landmarks.
        int16[N, 3 P]: steps from that centre, -UNITS / 2 to UNITS / 2, accurate to half a step and a hundredth.
    """
    low = landmarks.min(axis=1).astype(np.float64)
    side = np.maximum((landmarks.max(axis=1) - low).max(axis=1), _SMALLEST_SIDE)
    mantissa, exponent = np.frexp(side)
    side = np.ldexp(np.rint(np.ldexp(mantissa, _BOX_BITS)), exponent - _BOX_BITS)
    # With so few digits the lowest point, the centre and the side determine each other exactly, so the box of a face
    # that was read back is the same. The lowest point needs no more digits than the side.
    digit = np.ldexp(1.0, np.frexp(side)[1] - _BOX_BITS)[:, None]
    middle = np.rint(low / digit) * digit + side[:, None] / 2
    box = np.column_stack([middle, side]).astype(np.float32)
    steps = np.rint((landmarks - box[:, None, :3]) * (np.float32(UNITS) / box[:, 3, None, None]))
    half = UNITS // 2
    return box, np.clip(steps, -half, half).astype(np.int16).reshape(len(box), landmarks.shape[1] * 3)


def from_steps(box: NDArray[np.float32], steps: NDArray[np.int16]) -> NDArray[np.float32]:
    """The landmarks, float32[N, P, 3], from what `to_steps` returned."""
    points = steps.reshape(len(box), steps.shape[1] // 3, 3).astype(np.float32)
    points *= box[:, 3, None, None] / np.float32(UNITS)
    points += box[:, None, :3]
    return points


@dataclass(frozen=True, slots=True)
class ShapeCode:
    """The shape model of one table."""

    mean: NDArray[np.int16]
    """int16[D], in steps."""
    components: NDArray[np.float16]
    """float16[K, D], orthonormal except for rounding."""

    @classmethod
    def fit(cls, steps: NDArray[np.int16]) -> ShapeCode:
        """Fit the model to faces, int16[N, D] steps."""
        size = steps.shape[1]
        if not len(steps):
            return cls(np.zeros(size, np.int16), np.zeros((1, size), np.float16))
        # Spread evenly over the table, whose rows are sorted by data set and split.
        sample = steps[np.linspace(0, len(steps) - 1, min(len(steps), SAMPLE)).astype(np.intp)].astype(np.float64)
        mean = np.rint(sample.mean(axis=0))
        kept = min(COMPONENTS, max(1, len(sample) - 1))  # Parquet has no lists of length 0
        # For few faces the singular vectors are a faster way to the same components.
        components = (
            np.linalg.svd(sample - mean, full_matrices=False)[2]
            if len(sample) < size
            else np.linalg.eigh((sample - mean).T @ (sample - mean))[1].T[::-1]
        )
        # float16 halves their size in the file; the residual absorbs the rounding.
        return cls(mean.astype(np.int16), components[:kept].astype(np.float16))

    def encode(self, steps: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Coefficients, int16[N, K], and residual, int16[N, D], that give exactly these steps, int16[N, D].

        No residual overflows. Steps and mean differ by at most UNITS. The projection changes a coordinate by less than
        20 times that (half the square root of D). A coefficient that was clipped to int16, at most one in a face, adds
        6 times that.
        """
        coefficients = np.empty((len(steps), len(self.components)), np.int16)
        residual = np.empty(steps.shape, np.int16)
        most = np.iinfo(np.int16).max
        components = self.components.astype(np.float64)
        for start in range(0, len(steps), ROWS):
            rows = slice(start, start + ROWS)
            centred = (steps[rows] - self.mean).astype(np.float64)
            coefficients[rows] = np.rint(centred @ components.T).clip(-most, most)
            residual[rows] = steps[rows] - self._predicted(coefficients[rows])
        return coefficients, residual

    def decode(self, coefficients: NDArray[np.int16], residual: NDArray[np.int16]) -> NDArray[np.int16]:
        """The steps, int16[N, D]."""
        steps = np.empty(residual.shape, np.int16)
        for start in range(0, len(steps), ROWS):
            rows = slice(start, start + ROWS)
            # A damaged table may give any number here.
            steps[rows] = (self._predicted(coefficients[rows]) + residual[rows]).clip(-UNITS, UNITS)
        return steps

    def _predicted(self, coefficients: NDArray[np.int16]) -> NDArray[np.float64]:
        # A float16 is a multiple of 2^-24 and a coefficient has 16 bits, so a sum of a hundred products fits into the
        # 53 bits of a float64: it is exact, in whatever order a machine adds.
        return np.rint(coefficients.astype(np.float64) @ self.components.astype(np.float64)) + self.mean
