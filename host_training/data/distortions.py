"""What becomes of a face in front of a small camera: too little light, blur, noise, low resolution, a hand.

Strengths are relative to the face's height, that of the box of its landmarks, so that they mean the same in a picture
of 48 px and in one of 1,000. Grain and blocks, which have a size in px, are those of a picture in which the face is
`REFERENCE` px high, or less. Pure: the same generator gives the same picture.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.classifier.network import LEFT_IRIS, RIGHT_IRIS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    """uint8[H, W], grey, or uint8[H, W, 3], RGB."""
    Landmarks = NDArray[np.float32]
    """float32[478, 3] px of the picture."""
    Operation = Callable[[Picture, Landmarks, Generator, float], Picture]
    """Picture, landmarks, generator and severity -> the distorted picture, of the same size. At severity 0 nothing
    happens; at 1 it is as `DISTORTIONS` has it."""

REFERENCE = 48.0
"""px, about the height of a face in FER2013."""
GAMMA = 2.2
"""Of the curve by which cameras encode light; a stop is a factor of two in light, and of 2^(1 / GAMMA) in values."""
DARK_STOPS, DARK_NOISE = 5.0, 3.0
"""Missing light, and the standard deviation, in grey levels, of the noise that the camera's gain leaves."""
BRIGHT_STOPS = 1.5
VEIL, VEILED = 160, 0.8
"""Grey level of the light that lies over everything, and the share of the contrast that it takes."""
BLUR = 0.03
"""Standard deviation, of the face's height."""
MOTION = 0.14
"""Length of the path, of the face's height: at 1/30 s a head that moves by four of its heights in a second."""
NOISE = 12.0
"""Standard deviation in grey levels."""
JPEG_QUALITY, BEST_QUALITY = 10, 100
"""On libjpeg's scale; the best one leaves a picture as good as it was."""
RESOLUTIONS = (60, 40, 30, 20)
"""px of the face's height. The picture shrinks with the face, which fills it as before: this isn't distance."""
COARSEST = 16
"""px of the face's height in the coarsest picture that is trained on."""
GAMMA_SPREAD = 1.0
"""Of the logarithm of the exponent by which tones are bent in training, at full severity."""
MILD = 1.5
"""Exponent of a uniform number that makes the severities of training: most are small."""

LEFT_CORNER, RIGHT_CORNER = 33, 263
"""Outer corners of the eyes, as the viewer sees them; their line is the face's horizontal."""
MOUTH = (61, 291)
"""Its corners, in the same order."""
HAND = {"mouth": (0.42, 0.25), "eye": (0.22, 0.18), "side": (0.25, 0.55)}
"""Half axes of the ellipse that covers a part, across and along the face, in heights of the face. A hand is about as
long as the box of the landmarks, from forehead to chin, is high, and half as wide."""
HAND_OUTWARDS = 0.1
"""How far outwards of the line from eye to mouth it lies on a side of the face, in heights of the face."""
HAND_LEVELS = (30, 220)
"""Its grey level."""
SKIN = np.array([1.0, 0.8, 0.7])
"""What it has of red, green and blue."""
PATTERN, PATTERN_SPOTS = 30.0, 8.0
"""Standard deviation of its pattern in grey levels, and how many spots of that are as high as the face."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """One kind, of the strength at which classifiers are judged."""

    summary: str
    """What it is, with its number."""
    change: Callable[[Picture, Landmarks, Generator], tuple[Picture, float]]
    """Picture, landmarks and generator -> the distorted picture, and its px for each px of the one before."""


def distorted(kind: str, picture: Picture, landmarks: Landmarks, row: str) -> tuple[Picture, float]:
    """A picture as classifiers are judged on it: the same for all of them, and in every run.

    Args:
        kind: one of `DISTORTIONS`.
        picture: uint8[H, W] or uint8[H, W, 3].
        landmarks: float32[478, 3] px.
        row: id of the table's row, from which comes what is left to chance.

    Returns:
        The picture, of the same kind, and its px for each px of the one before: 1 but where it was scaled down.
    """
    rng = np.random.default_rng(zlib.crc32(f"{row} {kind}".encode()))
    return DISTORTIONS[kind].change(picture, landmarks, rng)


def augmented(picture: Picture, landmarks: Landmarks, rng: Generator, strength: float = 1.0) -> Picture:
    """A picture for training: some distortions at random, most of them mild, none in about a third of all cases.

    Args:
        picture: uint8[H, W] or uint8[H, W, 3].
        landmarks: float32[478, 3] px; they fit the result too.
        rng: draws kinds and strengths.
        strength: 0..1; at 1 the worst is about what classifiers are judged on, at 0 nothing happens.

    Returns:
        Of the same shape; it may be the picture itself.
    """
    chosen = np.flatnonzero(rng.random(len(TRAINING)) < [rate for _, rate in TRAINING])
    for index in chosen.tolist():
        picture = TRAINING[index][0](picture, landmarks, rng, strength * rng.random() ** MILD)
    return picture


def dark(picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """Too little light: a small range of values, in which the noise of the gain shows."""
    light = picture * np.float32(2 ** (-DARK_STOPS * severity / GAMMA))
    return _with_grain(light, DARK_NOISE * severity, landmarks, rng)


def bright(picture: Picture, _: Landmarks, __: Generator, severity: float) -> Picture:
    """Too much light: what is above the range is cut off."""
    return _mapped(picture, _TONES * 2 ** (BRIGHT_STOPS * severity / GAMMA))


def low_contrast(picture: Picture, _: Landmarks, __: Generator, severity: float) -> Picture:
    """Light that lies over everything, as from a window behind the face or on a dirty lens."""
    return _mapped(picture, VEIL + (_TONES - VEIL) * (1 - VEILED * severity))


def bent(picture: Picture, _: Landmarks, rng: Generator, severity: float) -> Picture:
    """Another curve of tones: the middle ones become darker or brighter."""
    return _mapped(picture, 255 * (_TONES / 255) ** math.exp(rng.normal(0, GAMMA_SPREAD * severity)))


def blurred(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """Out of focus."""
    deviation = BLUR * severity * height_of(landmarks)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation), np.uint8) if deviation > 0 else picture


def moved(picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """The head moved, straight and in any direction, while the shutter was open."""
    length, angle = MOTION * severity * height_of(landmarks), rng.uniform(0, math.pi)
    reach = math.ceil(length / 2)
    along = np.linspace(-length / 2, length / 2, 8 * (2 * reach + 1))
    x, y = (np.rint(along * part).astype(int) + reach for part in (math.cos(angle), math.sin(angle)))
    side = 2 * reach + 1
    path = np.bincount(y * side + x, minlength=side * side).reshape(side, side) / len(along)
    return np.asarray(cv2.filter2D(picture, -1, path, borderType=cv2.BORDER_REPLICATE), np.uint8)


def noisy(picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """Noise of the sensor."""
    return _with_grain(picture, NOISE * severity, landmarks, rng)


def coded(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """What JPEG leaves of it, at a quality from `BEST_QUALITY` down to `JPEG_QUALITY`."""
    quality = round(BEST_QUALITY * (JPEG_QUALITY / BEST_QUALITY) ** severity)
    if quality == BEST_QUALITY:
        return picture
    small, scale = _reduced(picture, landmarks, REFERENCE)
    how = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if _coloured(small):
        data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), how)[1]
        back = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    else:
        back = np.asarray(cv2.imdecode(cv2.imencode(".jpg", small, how)[1], cv2.IMREAD_GRAYSCALE))
    if scale == 1:
        return np.asarray(back, np.uint8)
    # What was done to the small picture is done to the large one, which keeps its detail otherwise.
    error = cv2.resize(back.astype(np.float32) - small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _whole(picture + error)


def coarse(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """Lower resolution, as if the camera had fewer px; enlarged again."""
    height = height_of(landmarks)
    small, scale = _reduced(picture, landmarks, height * min(1.0, COARSEST / height) ** severity)
    if scale == 1:
        return picture
    return np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def covered(part: str, picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """A hand, plain or patterned, in front of a part of the face, one of `HAND`; severity is its size."""
    points, height = landmarks[:, :2].astype(np.float64), height_of(landmarks)
    across = points[RIGHT_CORNER] - points[LEFT_CORNER]
    across /= max(float(np.hypot(*across)), 1e-6)
    side = int(rng.integers(2))
    corner, outwards = points[(LEFT_CORNER, RIGHT_CORNER)[side]], (-across, across)[side]
    centre = {
        "mouth": points[list(MOUTH)].mean(axis=0),
        "eye": points[(LEFT_IRIS, RIGHT_IRIS)[side]],
        "side": (corner + points[MOUTH[side]]) / 2 + HAND_OUTWARDS * height * outwards,
    }[part]
    wide, long = (half * severity * height for half in HAND[part])
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    dx, dy = x - centre[0], y - centre[1]
    inside = ((dx * across[0] + dy * across[1]) * long) ** 2 + ((dy * across[0] - dx * across[1]) * wide) ** 2 < (
        wide * long
    ) ** 2
    hand = np.full(picture.shape[:2], rng.uniform(*HAND_LEVELS))
    if rng.random() < 0.5:  # noqa: PLR2004 - one half
        hand += PATTERN * _grain(picture.shape[:2], landmarks, rng, PATTERN_SPOTS)
    result = picture.copy()
    result[inside] = _whole(hand[inside][:, None] * SKIN if _coloured(picture) else hand[inside])
    return result


def height_of(landmarks: Landmarks) -> float:
    """px, at least 1: the height of the box round landmarks."""
    y = landmarks[:, 1]
    return max(float(y.max(0)) - float(y.min(0)), 1.0)


def _scaled_to(size: int, picture: Picture, landmarks: Landmarks, _: Generator) -> tuple[Picture, float]:
    return _reduced(picture, landmarks, size)


def _reduced(picture: Picture, landmarks: Landmarks, height: float) -> tuple[Picture, float]:
    """The picture, averaged down until the face is so many px high, and by what; as it is where the face is smaller."""
    scale = min(1.0, height / height_of(landmarks))
    if scale == 1:
        return picture, scale
    # At least one px of a picture that is all but a line.
    scale = max(scale, 1 / min(picture.shape[:2]))
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8), scale


def _with_grain(picture: NDArray[Any], deviation: float, landmarks: Landmarks, rng: Generator) -> Picture:
    """Noise in the brightness alone: a camera's processor takes it out of the colours."""
    grain = np.float32(deviation) * _grain(picture.shape[:2], landmarks, rng, REFERENCE)
    return _whole(picture + (grain[:, :, None] if _coloured(picture) else grain))


def _grain(shape: tuple[int, ...], landmarks: Landmarks, rng: Generator, spots: float) -> NDArray[np.float32]:
    """float32[H, W], normal with a deviation of 1; `spots` of it, or as many as px, are as high as the face."""
    size = max(1.0, height_of(landmarks) / spots)
    height, width = (math.ceil(length / size) for length in shape)
    grain = rng.standard_normal((height, width), np.float32)
    if size > 1:
        grain = np.asarray(cv2.resize(grain, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    return grain


def _mapped(picture: Picture, tones: NDArray[np.float64]) -> Picture:
    """Every value replaced by what float64[256] has for it."""
    return np.asarray(cv2.LUT(picture, _whole(tones)), np.uint8)


def _whole(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _coloured(picture: Picture) -> bool:
    return picture.ndim > 2  # noqa: PLR2004 - rows and columns


def _fixed(
    operation: Operation,
) -> Callable[[Picture, Landmarks, Generator], tuple[Picture, float]]:
    """The operation at severity 1, which leaves the size as it is."""
    return lambda picture, landmarks, rng: (operation(picture, landmarks, rng, 1.0), 1.0)


_TONES = np.arange(256.0)

DISTORTIONS: dict[str, Distortion] = {
    "dark": Distortion(f"{DARK_STOPS:g} stops too little light, and noise of {DARK_NOISE:g} grey levels", _fixed(dark)),
    "bright": Distortion(f"{BRIGHT_STOPS:g} stops too much light, cut off at white", _fixed(bright)),
    "low-contrast": Distortion(f"stray light takes {VEILED:.0%} of the contrast", _fixed(low_contrast)),
    "blur": Distortion(f"out of focus: a Gaussian of {BLUR:.1%} of the face's height", _fixed(blurred)),
    "motion": Distortion(f"moved by {MOTION:.0%} of the face's height while the shutter was open", _fixed(moved)),
    "noise": Distortion(f"noise of {NOISE:g} grey levels in a face of {REFERENCE:g} px", _fixed(noisy)),
    "jpeg": Distortion(f"JPEG of quality {JPEG_QUALITY} in a face of {REFERENCE:g} px", _fixed(coded)),
    **{
        f"resolution-{size}": Distortion(
            f"low resolution: scaled down until the face is at most {size} px high", partial(_scaled_to, size)
        )
        for size in RESOLUTIONS
    },
    **{
        f"covered-{part}": Distortion(f"a hand in front of {what}", _fixed(partial(covered, part)))
        for part, what in {"mouth": "the mouth", "eye": "one eye", "side": "one side of the face"}.items()
    },
}
"""By name, as reports call them."""

TRAINING: tuple[tuple[Operation, float], ...] = (
    (partial(covered, "mouth"), 0.02),
    (partial(covered, "eye"), 0.02),
    (partial(covered, "side"), 0.02),
    (blurred, 0.12),
    (moved, 0.08),
    (bent, 0.2),
    (bright, 0.06),
    (low_contrast, 0.06),
    (dark, 0.06),
    (noisy, 0.12),
    (coarse, 0.15),
    (coded, 0.12),
)
"""In the order in which they happen to light on its way into a file, and how often each does in training."""
