"""Picture and landmarks -> the small grey crop that a classifier may read beside the landmarks.

The face is turned upright, scaled to one size and evened out in brightness and contrast, so that what is left is
what geometry does not tell: furrows, wrinkles, teeth. The same code cuts the crops that networks are trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTRACT_VERSION = 1
"""Version of the computation."""

POINTS = np.array([33, 133, 362, 263, 1, 61, 291, 152])
"""Landmarks that align the crop: eye corners, tip of the nose, corners of the mouth, chin; the viewer's left first."""

TEMPLATE = np.array(
    [
        *([-0.286, -0.238], [-0.114, -0.223], [0.114, -0.223], [0.286, -0.238]),
        *([0.0, 0.023], [-0.169, 0.206], [0.169, 0.206], [0.0, 0.486]),
    ]
)
"""Mean positions of `POINTS` about their centre, float64[8, 2], as shares of the crop's side: the Procrustes mean
(Gower 1975) of FER2013's faces, made symmetrical. The crop holds brows and chin, and hardly any background."""

RADIUS = 0.3235
"""Root mean square distance, in three dimensions, of `POINTS` from their centre, as a share of the crop's side. Depth
counts, so a face that turns aside, and looks narrower, is not enlarged. FER2013's faces of 48 px keep their size."""

CENTRE = (0.5, 0.484)
"""Position of the centre of `POINTS` in the crop."""

FINEST = 4
"""Maximum oversampling along each side: px that are averaged into one px of the crop. Larger faces are subsampled."""

MEAN, STD = 128, 48
"""Mean and standard deviation of a crop's values, clipped at 2.6 deviations."""

MIN_STD = 4.0
"""Minimum standard deviation, in grey levels, that is scaled to `STD`: below it, scaling would amplify noise."""

SIZES = range(16, 257)
"""Sides that a crop may have, px."""

FINE = 1 / 48
"""Scale at which sharpness is measured, as a share of the crop's side: one px of FER2013. At a finer scale, noise of 5
grey levels would make a picture look sharp that a blur of 3 px has smeared."""

FULL_SHARPNESS = 0.016
"""Variance of the Laplacian that counts as sharp. 97.4 % of FER2013's faces have more, the median 0.042. Blurred with
a standard deviation of 1, 2, 3, 4 and 6 px of 48, their `sharpness` is 0.88, 0.45, 0.22, 0.14 and 0.07 on average;
with a motion of 7 and 15 px 0.80 and 0.58; scaled down to a half and a quarter 0.89 and 0.52."""


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """One crop contract."""

    size: int
    """px of each side."""

    @property
    def contract(self) -> str:
        """Text of everything that a crop depends on."""
        numbers = (CONTRACT_VERSION, self.size, POINTS.tolist(), TEMPLATE.tolist(), RADIUS, CENTRE, FINEST)
        return f"crop {numbers} {(MEAN, STD, MIN_STD)}"

    def cut(self, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The aligned face before normalisation, uint8[size, size], grey.

        Args:
            picture: uint8[H, W, 3] RGB or uint8[H, W] grey; its border px are repeated beyond its edges.
            landmarks: float32[478, 3] px of the picture.
        """
        warp = self._warp(landmarks)
        if picture.ndim > 2:  # noqa: PLR2004 - rows, columns and colours
            picture = self._grey_part(picture, warp)
        # If the crop is coarser than the picture, px are averaged: bilinear sampling alone would skip some.
        finer = min(FINEST, max(1, math.ceil(1 / math.hypot(warp[0, 0], warp[1, 0]) - 1e-6)))
        warp *= finer
        warp[:, 2] += (finer - 1) / 2  # from the centre of a px to the centre of its parts
        side = (self.size * finer, self.size * finer)
        cut = cv2.warpAffine(picture, warp, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if finer > 1:
            cut = cv2.resize(cut, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(cut, np.uint8)

    def __call__(self, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The crop as a network reads it: `cut` with brightness and contrast normalised."""
        return even(self.cut(picture, landmarks))

    def _grey_part(self, picture: NDArray[np.uint8], warp: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The part of an RGB picture that the crop shows, in grey; `warp` is shifted to match.

        Warping one channel takes a third of the time, and most of the picture lies outside of the crop.
        """
        back = cv2.invertAffineTransform(warp)
        corners = back[:, :2] @ np.array([[0, self.size, 0, self.size], [0, 0, self.size, self.size]]) + back[:, 2:]
        size = np.array(picture.shape[1::-1])
        # At least one px, even for a face outside of the picture.
        left, top = np.clip(np.floor(corners.min(axis=1)) - 1, 0, size - 1).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(axis=1)) + 2, (left + 1, top + 1), size).astype(int).tolist()
        warp[:, 2] += warp[:, :2] @ (left, top)
        return np.asarray(cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY), np.uint8)

    def _warp(self, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[2, 3]: px of the picture -> px of the crop, a similarity.

        Its angle is the least-squares one from `POINTS` to `TEMPLATE`, its scale that of `RADIUS`.
        """
        points = landmarks[POINTS].astype(np.float64)
        centre = points.mean(axis=0)
        points -= centre
        along = float((points[:, :2] * TEMPLATE).sum())
        across = float((points[:, 0] * TEMPLATE[:, 1] - points[:, 1] * TEMPLATE[:, 0]).sum())
        radius = math.sqrt(float((points * points).sum()) / len(POINTS))
        scale = RADIUS * self.size / max(radius, 1e-6)
        # A face without extent, or one whose points cancel out, has no angle: any will do.
        angle = math.atan2(across, along)
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        x, y = (share * self.size for share in CENTRE)
        return np.array(
            [
                [cos, -sin, x - cos * centre[0] + sin * centre[1]],
                [sin, cos, y - sin * centre[0] - cos * centre[1]],
            ]
        )


def even(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Values with mean `MEAN` and standard deviation `STD`, uint8 of the same shape."""
    mean, deviation = cv2.meanStdDev(cut)
    gain = STD / max(float(deviation[0, 0]), MIN_STD)
    table = np.clip(np.rint((np.arange(256) - float(mean[0, 0])) * gain + MEAN), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cut, table), np.uint8)


def sharpness(cut: NDArray[np.uint8]) -> float:
    """Sharpness of a face, 0..1: a smear tends to 0, and 1 is as sharp as the training faces.

    The variance of the Laplacian (Pech-Pacheco et al. 2000), normalised for scale (Lindeberg 1998), as a share of the
    picture's own, so that contrast and brightness do not count. Noise does count as detail where there is much of it.

    Args:
        cut: uint8[S, S], from `FaceCrop.cut`.
    """
    sigma = len(cut) * FINE
    values = cut.astype(np.float32)
    detail = cv2.Laplacian(cv2.GaussianBlur(values, (0, 0), sigma), cv2.CV_32F) * np.float32(sigma * sigma)
    share = float(detail.var()) / max(float(values.var()), MIN_STD * MIN_STD)
    return min(1.0, share / FULL_SHARPNESS)
