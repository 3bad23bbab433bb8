"""Distortions that a small camera produces: too little light, blur, noise, low resolution, a hand in front of the face.

Strengths are relative to the height of the face, which is that of the box of its landmarks, so they mean the same in a
picture of 48 px and in one of 1,000. Grain and JPEG blocks have a size in px; theirs is that of a picture in which the
face is `REFERENCE` px high, or less. The functions are pure: the same generator gives the same picture.
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
    """Picture, landmarks, generator and severity -> the distorted picture, of the same size. Severity 0 changes
    nothing; severity 1 is what `DISTORTIONS` has."""

REFERENCE = 48.0
"""Height of the reference face in px: about that of a face in FER2013."""
GAMMA = 2.2
"""Exponent of the curve with which cameras encode light: a stop, 2 in light, is a factor of 2^(1 / GAMMA) in values."""
DARK_STOPS, DARK_NOISE = 5.0, 3.0
"""Missing light in stops, and the standard deviation in grey levels of the noise that the camera's gain adds."""
BRIGHT_STOPS = 1.5
"""Excess light in stops."""
STRAY_LEVEL, STRAY_SHARE = 160, 0.8
"""Grey level of stray light, and the share of the contrast that it takes."""
BLUR = 0.03
"""Standard deviation of the Gaussian blur, in heights of the face."""
MOTION = 0.14
"""Length of the motion in heights of the face: at an exposure of 1/30 s, a head that moves four heights per second."""
NOISE = 12.0
"""Standard deviation of the sensor's noise in grey levels."""
JPEG_QUALITY, BEST_QUALITY = 10, 100
"""Qualities on libjpeg's scale; the best one leaves a picture nearly unchanged."""
RESOLUTIONS = (60, 40, 30, 20)
"""Heights of the face in px. The picture shrinks with the face, which fills it as before: this isn't distance."""
MIN_RESOLUTION = 16
"""Lowest height of the face, in px, that is trained on."""
GAMMA_SPREAD = 1.0
"""Standard deviation of the logarithm of the tone curve's exponent, at severity 1. Training only."""
SEVERITY_EXPONENT = 1.5
"""Exponent of the uniform number that gives a severity in training: most severities are small."""

LEFT_CORNER, RIGHT_CORNER = 33, 263
"""Outer corners of the eyes, the viewer's left one first; the line between them is the face's horizontal."""
MOUTH = (61, 291)
"""Corners of the mouth, in the same order."""
HAND = {"mouth": (0.42, 0.25), "eye": (0.22, 0.18), "side": (0.25, 0.55)}
"""Half axes of the ellipse that covers a part, across and along the face, in heights of the face. A hand is about as
long as the face is high, from forehead to chin, and half as wide."""
HAND_OUTWARDS = 0.1
"""Distance of a hand at the side of the face, outwards from the line between eye and mouth, in heights of the face."""
HAND_LEVELS = (30, 220)
"""Range of the grey level of a hand."""
SKIN = np.array([1.0, 0.8, 0.7])
"""Red, green and blue of a hand, relative to its grey level."""
PATTERN, PATTERN_SPOTS = 30.0, 8.0
"""Standard deviation of a hand's pattern in grey levels, and spots of the pattern in the height of the face."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """One kind of distortion, at the strength at which classifiers are judged."""

    summary: str
    """Description with its figures."""
    change: Callable[[Picture, Landmarks, Generator], tuple[Picture, float]]
    """Picture, landmarks and generator -> the distorted picture, and its px for each px of the original."""


def distorted(kind: str, picture: Picture, landmarks: Landmarks, row: str) -> tuple[Picture, float]:
    """Distort a picture as classifiers are judged on it: in the same way for all of them, and in every run.

    Args:
        kind: one of `DISTORTIONS`.
        picture: uint8[H, W] or uint8[H, W, 3].
        landmarks: float32[478, 3] px.
        row: id of the table's row, which seeds the random numbers.

    Returns:
        The picture, of the same kind, and its px for each px of the original: 1 unless it was scaled down.
    """
    rng = np.random.default_rng(zlib.crc32(f"{row} {kind}".encode()))
    return DISTORTIONS[kind].change(picture, landmarks, rng)


def augmented(picture: Picture, landmarks: Landmarks, rng: Generator, strength: float = 1.0) -> Picture:
    """Distort a picture for training: at random, mostly mildly, and not at all in about a third of all cases.

    Args:
        picture: uint8[H, W] or uint8[H, W, 3].
        landmarks: float32[478, 3] px; they fit the result, too.
        rng: draws kinds and severities.
        strength: 0..1; at 1 the worst is about what classifiers are judged on, and 0 changes nothing.

    Returns:
        A picture of the same shape, perhaps the original itself.
    """
    chosen = np.flatnonzero(rng.random(len(TRAINING)) < [rate for _, rate in TRAINING])
    for index in chosen.tolist():
        picture = TRAINING[index][0](picture, landmarks, rng, strength * rng.random() ** SEVERITY_EXPONENT)
    return picture


def dark(picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """Too little light: a small range of values, in which the noise of the camera's gain is visible."""
    light = picture * np.float32(2 ** (-DARK_STOPS * severity / GAMMA))
    return _with_grain(light, DARK_NOISE * severity, landmarks, rng)


def bright(picture: Picture, _: Landmarks, __: Generator, severity: float) -> Picture:
    """Too much light: values above the range are clipped."""
    return _mapped(picture, _TONES * 2 ** (BRIGHT_STOPS * severity / GAMMA))


def low_contrast(picture: Picture, _: Landmarks, __: Generator, severity: float) -> Picture:
    """Stray light, as from a window behind the face or on a dirty lens."""
    return _mapped(picture, STRAY_LEVEL + (_TONES - STRAY_LEVEL) * (1 - STRAY_SHARE * severity))


def tone_mapped(picture: Picture, _: Landmarks, rng: Generator, severity: float) -> Picture:
    """Another tone curve: the midtones become darker or brighter."""
    return _mapped(picture, 255 * (_TONES / 255) ** math.exp(rng.normal(0, GAMMA_SPREAD * severity)))


def blurred(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """Out of focus."""
    deviation = BLUR * severity * height_of(landmarks)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation), np.uint8) if deviation > 0 else picture


def motion_blurred(picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """Motion blur: the head moved straight, in any direction, while the shutter was open."""
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


def compressed(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """JPEG compression, at a quality from `BEST_QUALITY` down to `JPEG_QUALITY`."""
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
    # The errors of the small picture are added to the large one, which otherwise keeps its detail.
    error = cv2.resize(back.astype(np.float32) - small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _whole(picture + error)


def low_resolution(picture: Picture, landmarks: Landmarks, _: Generator, severity: float) -> Picture:
    """Lower resolution, as if the camera had fewer px; enlarged again."""
    height = height_of(landmarks)
    small, scale = _reduced(picture, landmarks, height * min(1.0, MIN_RESOLUTION / height) ** severity)
    if scale == 1:
        return picture
    return np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def covered(part: str, picture: Picture, landmarks: Landmarks, rng: Generator, severity: float) -> Picture:
    """A hand, plain or patterned, in front of a part of the face, one of `HAND`. The severity is its size."""
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
    """Height of the box around the landmarks in px, at least 1."""
    y = landmarks[:, 1]
    return max(float(y.max(0)) - float(y.min(0)), 1.0)


def _scaled_to(size: int, picture: Picture, landmarks: Landmarks, _: Generator) -> tuple[Picture, float]:
    return _reduced(picture, landmarks, size)


def _reduced(picture: Picture, landmarks: Landmarks, height: float) -> tuple[Picture, float]:
    """The picture, scaled down until the face is `height` px high, and the scale; unchanged if the face is smaller."""
    scale = min(1.0, height / height_of(landmarks))
    if scale == 1:
        return picture, scale
    # A picture that is hardly more than a line keeps at least one px.
    scale = max(scale, 1 / min(picture.shape[:2]))
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8), scale


def _with_grain(picture: NDArray[Any], deviation: float, landmarks: Landmarks, rng: Generator) -> Picture:
    """The picture with noise in its brightness alone: cameras filter it out of the colours."""
    grain = np.float32(deviation) * _grain(picture.shape[:2], landmarks, rng, REFERENCE)
    return _whole(picture + (grain[:, :, None] if _coloured(picture) else grain))


def _grain(shape: tuple[int, ...], landmarks: Landmarks, rng: Generator, spots: float) -> NDArray[np.float32]:
    """Normal noise, float32[H, W], with deviation 1; the face is `spots` grains high, or less if it has fewer px."""
    size = max(1.0, height_of(landmarks) / spots)
    height, width = (math.ceil(length / size) for length in shape)
    grain = rng.standard_normal((height, width), np.float32)
    if size > 1:
        grain = np.asarray(cv2.resize(grain, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    return grain


def _mapped(picture: Picture, tones: NDArray[np.float64]) -> Picture:
    """The picture with each value replaced by its entry in `tones`, float64[256]."""
    return np.asarray(cv2.LUT(picture, _whole(tones)), np.uint8)


def _whole(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _coloured(picture: Picture) -> bool:
    return picture.ndim > 2  # noqa: PLR2004 - rows and columns


def _fixed(
    operation: Operation,
) -> Callable[[Picture, Landmarks, Generator], tuple[Picture, float]]:
    """The operation at severity 1; the size stays."""
    return lambda picture, landmarks, rng: (operation(picture, landmarks, rng, 1.0), 1.0)


_TONES = np.arange(256.0)

DISTORTIONS: dict[str, Distortion] = {
    "dark": Distortion(f"{DARK_STOPS:g} stops too little light, and noise of {DARK_NOISE:g} grey levels", _fixed(dark)),
    "bright": Distortion(f"{BRIGHT_STOPS:g} stops too much light, cut off at white", _fixed(bright)),
    "low-contrast": Distortion(f"stray light takes {STRAY_SHARE:.0%} of the contrast", _fixed(low_contrast)),
    "blur": Distortion(f"out of focus: a Gaussian of {BLUR:.1%} of the face's height", _fixed(blurred)),
    "motion": Distortion(
        f"moved by {MOTION:.0%} of the face's height while the shutter was open", _fixed(motion_blurred)
    ),
    "noise": Distortion(f"noise of {NOISE:g} grey levels in a face of {REFERENCE:g} px", _fixed(noisy)),
    "jpeg": Distortion(f"JPEG of quality {JPEG_QUALITY} in a face of {REFERENCE:g} px", _fixed(compressed)),
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
"""Kinds of distortion by the name that reports use."""

TRAINING: tuple[tuple[Operation, float], ...] = (
    (partial(covered, "mouth"), 0.02),
    (partial(covered, "eye"), 0.02),
    (partial(covered, "side"), 0.02),
    (blurred, 0.12),
    (motion_blurred, 0.08),
    (tone_mapped, 0.2),
    (bright, 0.06),
    (low_contrast, 0.06),
    (dark, 0.06),
    (noisy, 0.12),
    (low_resolution, 0.15),
    (compressed, 0.12),
)
"""Operations of training and their probabilities, in the order in which light meets them on its way into a file."""
