"""Pictures and clips for tests, made from free material that every clone has.

Faces are drawn from the demo's portrait. People other than the one it shows differ in width, light, colour and side.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pytest

from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings
from tests.support import portraits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

REPOSITORY = Path(__file__).parents[2]
PHOTOGRAPHS = REPOSITORY / "tests" / "media"
FOREIGN = Path(os.environ.get("EMOTION_EDGE_MEDIA", REPOSITORY.parent / "shared" / "data" / "media"))
"""Folder of pictures and clips that may not be redistributed. Tests of them are skipped without it."""


class Person(NamedTuple):
    """How a person differs from the one in the portrait."""

    mirrored: bool
    wide: float
    """Width of the head, as a multiple."""
    light: float
    tint: tuple[float, float, float]
    """Multiples of red, green and blue."""


PEOPLE = {
    "anna.png": Person(mirrored=False, wide=1.0, light=1.0, tint=(1, 1, 1)),
    "ben.png": Person(mirrored=True, wide=1.12, light=0.6, tint=(1, 0.95, 0.8)),
    "cleo.png": Person(mirrored=False, wide=0.94, light=0.8, tint=(0.85, 1, 1.1)),
    "dan.png": Person(mirrored=True, wide=1.06, light=1.15, tint=(1.1, 1, 0.9)),
    "eve.png": Person(mirrored=False, wide=1.02, light=0.7, tint=(1.1, 0.9, 0.9)),
}
GROUP = "group.png"
"""All of them together, their faces 26 to 120 px high, in a picture of 640x480."""
SECONDS: dict[str, Callable[[], Iterable[float]]] = {
    "smile.avi": lambda: np.arange(5.0, 0.0, -1 / 15),
    "arrival.avi": lambda: np.arange(23.0, 29.0, 1 / 15),
}
"""Clip -> times in the demo, s, of its frames: from neutral to a smile; nobody, then a face that walks in."""
NOBODY = "nobody.avi"
"""A clip that pans across a cat and a cup."""


def path_of(name: str, folder: Path) -> Path:
    """The path of a picture or clip.

    Args:
        name: a name of this module, of a file in tests/media, or of a foreign file.
        folder: where to put what has to be drawn.

    Raises:
        pytest.skip.Exception: the foreign file is missing.
    """
    if (PHOTOGRAPHS / name).exists():
        return PHOTOGRAPHS / name
    path = folder / name
    if not path.exists():
        if name in PEOPLE:
            _write(path, portrait_of(PEOPLE[name], 1.0))
        elif name == GROUP:
            _write(path, _group())
        elif name in SECONDS:
            demo = DemoCamera(CameraSettings(width=640, height=480))
            _film(path, (demo.draw(float(second)) for second in SECONDS[name]()))
        elif name == NOBODY:
            _film(path, _pan())
        else:
            path = FOREIGN / name
    if not path.exists():
        pytest.skip(f"{name} is missing (EMOTION_EDGE_MEDIA names its folder)")
    return path


def portrait_of(person: Person, scale: float) -> Image:
    """A portrait, uint8[H, W, 3] RGB, `scale` times as large as the demo's."""
    bgr = cv2.imread(str(portraits.FILE))
    rgb = cv2.resize(bgr, None, fx=scale * person.wide, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
    toned = np.clip(rgb * (person.light * np.array(person.tint)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(toned[:, ::-1] if person.mirrored else toned)


def _group() -> Image:
    wall = cv2.resize(cv2.imread(str(PHOTOGRAPHS / "cup.jpg")), (640, 480))[..., ::-1]
    picture = np.array(cv2.GaussianBlur(wall, (0, 0), 5), np.uint8)
    for person, scale, left in zip(PEOPLE.values(), (1.0, 0.6, 0.4, 0.3, 0.22), (0, 300, 440, 520, 580), strict=True):
        portrait = portrait_of(person, scale)
        width = min(portrait.shape[1], 640 - left)
        picture[-len(portrait) :, left : left + width] = portrait[-480:, :width]
    return picture


def _pan() -> Iterable[Image]:
    for name in ("cat.jpg", "cup.jpg"):
        wide = cv2.resize(cv2.imread(str(PHOTOGRAPHS / name)), (900, 600))[..., ::-1]
        for left in range(0, 160, 4):
            yield np.ascontiguousarray(wide[60:540, left : left + 640])


def _write(path: Path, rgb: Image) -> None:
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def _film(path: Path, frames: Iterable[Image]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (640, 480))
    for rgb in frames:
        writer.write(np.ascontiguousarray(rgb[..., ::-1]))
    writer.release()
