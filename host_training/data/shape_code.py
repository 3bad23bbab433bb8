"""Landmarks as small integers: a grid of the face's own, and a point distribution model (Cootes et al. 1995) on it.

478 points of one face are far from independent. A hundred principal components of a table's own faces tell all
but a few hundredths of a pixel, so the rest fits into a few bits a coordinate.

    landmarks = box[:3] + box[3] / UNITS * steps
    steps     = mean + round(coefficients @ components) + residual

All of it is exact in the floating point that does it, so a table says the same on every machine, and reading one and
writing it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = 1024
"""Integer steps in the longer side of a face: 0.04 px in a face of 40 px, well below what the mesh can measure."""
COMPONENTS = 100
"""Principal components, at most. More make the residual smaller and the coefficients more."""
SAMPLE = 8000
"""Faces that the model is made from, at most."""
ROWS = 4096
"""Faces that are coded at a time, to bound the memory."""

_BOX_BITS = 16
"""Binary digits of a box's numbers, counted from its longer side down: a step is 2^-10 of that side, so this costs a
hundredth of a step, and leaves a float32 room for a face at 128 times its size from the picture's corner."""
_SMALLEST_SIDE = 1e-6
"""Of a face whose points are all one, so that nothing is divided by 0."""


def to_steps(landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Put faces on their grids.

    Args:
        landmarks: float32[N, P, 3], finite.

    Returns:
        float32[N, 4]: x, y, z of the middle of a cube round the face, and its side, in the units of the landmarks.
        int16[N, 3 P]: steps from there, -UNITS / 2 to UNITS / 2; off by half a step, and a hundredth for the box.
    """
    low = landmarks.min(axis=1).astype(np.float64)
    side = np.maximum((landmarks.max(axis=1) - low).max(axis=1), _SMALLEST_SIDE)
    mantissa, exponent = np.frexp(side)
    side = np.ldexp(np.rint(np.ldexp(mantissa, _BOX_BITS)), exponent - _BOX_BITS)
    # With so few digits, lowest point, middle and side give each other exactly: the box of a face that was read back is
    # the same. The lowest point has no need of more digits than the side.
    digit = np.ldexp(1.0, np.frexp(side)[1] - _BOX_BITS)[:, None]
    middle = np.rint(low / digit) * digit + side[:, None] / 2
    box = np.column_stack([middle, side]).astype(np.float32)
    steps = np.rint((landmarks - box[:, None, :3]) * (np.float32(UNITS) / box[:, 3, None, None]))
    half = UNITS // 2
    return box, np.clip(steps, -half, half).astype(np.int16).reshape(len(box), landmarks.shape[1] * 3)


def from_steps(box: NDArray[np.float32], steps: NDArray[np.int16]) -> NDArray[np.float32]:
    """The landmarks, float32[N, P, 3], that `to_steps` put on the grid."""
    points = steps.reshape(len(box), steps.shape[1] // 3, 3).astype(np.float32)
    points *= box[:, 3, None, None] / np.float32(UNITS)
    points += box[:, None, :3]
    return points


@dataclass(frozen=True, slots=True)
class ShapeCode:
    """One model; every table has its own."""

    mean: NDArray[np.int16]
    """int16[D], in steps."""
    components: NDArray[np.float16]
    """float16[K, D], orthonormal but for the rounding."""

    @classmethod
    def fit(cls, steps: NDArray[np.int16]) -> ShapeCode:
        """The model of some faces, int16[N, D] steps."""
        size = steps.shape[1]
        if not len(steps):
            return cls(np.zeros(size, np.int16), np.zeros((1, size), np.float16))
        # Evenly over the table, whose rows are sorted by data set and split.
        sample = steps[np.linspace(0, len(steps) - 1, min(len(steps), SAMPLE)).astype(np.intp)].astype(np.float64)
        mean = np.rint(sample.mean(axis=0))
        kept = min(COMPONENTS, max(1, len(sample) - 1))  # Parquet has no lists of nothing
        # Of few faces the singular vectors are the quicker way to the same components.
        components = (
            np.linalg.svd(sample - mean, full_matrices=False)[2]
            if len(sample) < size
            else np.linalg.eigh((sample - mean).T @ (sample - mean))[1].T[::-1]
        )
        # In float16 they are half as large in the file, and what that costs the residual takes up.
        return cls(mean.astype(np.int16), components[:kept].astype(np.float16))

    def encode(self, steps: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Coefficients, int16[N, K], and residual, int16[N, D], that give exactly these steps, int16[N, D].

        No residual overflows: steps and mean differ by UNITS at most, what projection takes from that is below
        20 times as much in any coordinate (half the square root of D), and a coefficient that had to be cut to
        int16, of which a face has one at most, adds 6 times.
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
            # Of a damaged table anything may come; it is still a number.
            steps[rows] = (self._predicted(coefficients[rows]) + residual[rows]).clip(-UNITS, UNITS)
        return steps

    def _predicted(self, coefficients: NDArray[np.int16]) -> NDArray[np.float64]:
        # A float16 is a multiple of 2^-24 and a coefficient has 16 bits: a sum of a hundred products fits into the 53
        # bits of a float64. So it is exact, in whatever order a machine adds it up.
        return np.rint(coefficients.astype(np.float64) @ self.components.astype(np.float64)) + self.mean
