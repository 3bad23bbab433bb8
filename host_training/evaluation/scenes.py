"""Real scenes without people, and faces pasted into them at any size."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.images import image_files, read_image
from edge.errors import DataError, NoInputError
from host_training.data.distortions import height_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh import FaceMesh

    Grey = NDArray[np.uint8]
    """uint8[H, W]."""

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
"""The scenes that scikit-learn comes with, a pavilion and a dahlia; licence CC BY 2.0."""
FADE = 0.15
"""Width of the blend around a face's picture, in heights of the face. There the picture is continued by its mirror
image and fades into the scene. Of all that was tried on validation faces this lets the mesh find most, and most are
read right: fading inside of the picture, Poisson's blend, repeating the picture's edge and a wider blend cost more."""


def load(folder: Path | None, mesh: FaceMesh) -> dict[str, Grey]:
    """The scenes by name.

    Args:
        folder: of photographs without faces; None: scikit-learn's.
        mesh: looks for faces.

    Raises:
        NoInputError: the folder is missing or empty.
        DataError: a file is not a picture, or has a face.
    """
    if folder is None:
        place = resources.files("sklearn.datasets.images")
        return {name: _grey(read_image(Path(str(place / name)))) for name in PHOTOGRAPHS}
    found = {}
    for path in image_files(folder):
        rgb = read_image(path)
        if mesh.still(rgb):
            raise DataError(f"{path}: has a face; scenes must have none")
        found[path.relative_to(folder).as_posix() if folder.is_dir() else path.name] = _grey(rgb)
    if not found:
        raise NoInputError(f"{folder}: has no pictures")
    return found


def fitted(scene: Grey, size: tuple[int, int]) -> Grey:
    """The largest part from the middle of a scene that fills a picture of this width and height, px."""
    width, height = size
    scale = max(width / scene.shape[1], height / scene.shape[0])
    whole = (max(width, round(scene.shape[1] * scale)), max(height, round(scene.shape[0] * scale)))
    left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
    return np.ascontiguousarray(_scaled(scene, whole)[top : top + height, left : left + width])


@dataclass(frozen=True, slots=True)
class Cutout:
    """A face to paste, with its surroundings."""

    values: NDArray[np.float32]
    """float32[h, w], grey levels."""
    cover: NDArray[np.float32]
    """float32[h, w], 0..1: how much of the scene they replace."""
    landmarks: NDArray[np.float32]
    """float32[478, 3] px, relative to the centre of their box, which is the face's centre."""
    corner: tuple[float, float]
    """x and y of the upper left corner, likewise."""

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and height of the face, px."""
        x, y, _ = self.landmarks.max(axis=0).tolist()
        return x, y

    def pasted(self, scene: Grey, place: tuple[float, float]) -> tuple[Grey, NDArray[np.float32]]:
        """The scene, a copy, with the face, whose centre is moved to a place in px, rounded to whole ones.

        Returns:
            The picture, and the landmarks in it, float32[478, 3] px.
        """
        left, top = (round(at + corner) for at, corner in zip(place, self.corner, strict=True))
        centre = np.array([left - self.corner[0], top - self.corner[1], 0], np.float32)
        height, width = self.values.shape
        rows = slice(max(0, top), max(0, top + height))
        columns = slice(max(0, left), max(0, left + width))
        picture = scene.copy()
        under = picture[rows, columns]
        inside = np.s_[
            rows.start - top : rows.start - top + under.shape[0],
            columns.start - left : columns.start - left + under.shape[1],
        ]
        cover = self.cover[inside]
        picture[rows, columns] = np.rint(under + cover * (self.values[inside] - under))
        return picture, self.landmarks + centre


def cutout(picture: Grey, landmarks: NDArray[np.float32], height: float) -> Cutout:
    """Cut out a face to paste it.

    Args:
        picture: uint8[H, W] with one face.
        landmarks: its landmarks, float32[478, 3] px of the picture.
        height: that the box of the landmarks shall have, px.
    """
    wanted = height / height_of(landmarks)
    size = (max(1, round(picture.shape[1] * wanted)), max(1, round(picture.shape[0] * wanted)))
    scale = np.array([size[0] / picture.shape[1], size[1] / picture.shape[0], wanted], np.float32)
    points = landmarks * scale
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    centre = np.array([*(low + high) / 2, 0], np.float32)
    border = max(1, round(FADE * height))
    values = cv2.copyMakeBorder(_scaled(picture, size), border, border, border, border, cv2.BORDER_REFLECT)
    # Distances from the picture: 0 inside, rising outwards.
    across, along = (np.abs(np.arange(side + 2 * border) - (side - 1) / 2 - border) - (side - 1) / 2 for side in size)
    distance = np.hypot(np.maximum(across, 0)[None, :], np.maximum(along, 0)[:, None])
    near = np.clip(1 - distance / (border + 1), 0, 1)
    cover = near * near * (3 - 2 * near)
    corner = (-border - float(centre[0]), -border - float(centre[1]))
    return Cutout(values.astype(np.float32), cover.astype(np.float32), points - centre, corner)


def _grey(rgb: NDArray[np.uint8]) -> Grey:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _scaled(picture: Grey, size: tuple[int, int]) -> Grey:
    smaller = size[0] < picture.shape[1]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.uint8)
