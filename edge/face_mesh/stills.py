"""The faces in a single picture: large ones and small ones, or the one that a small picture is a crop of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.face_mesh.detector import SAME_PLACE
from edge.face_mesh.landmarker import SCALES
from edge.face_mesh.steadiness import is_steady
from edge.face_mesh.tiles import SMALLEST, Tile, layout
from edge.face_mesh.tracking import Region
from edge.values import Face, bounding_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge.face_mesh.detector import Detector
    from edge.face_mesh.landmarker import Landmarker
    from edge.settings import MeshSettings

MIN_FACE = 24
"""Least height of a face that is looked for in a picture, px."""

LOOKS = 4
"""Looks of the landmark model, each in the region that the last one gave. A face stays where it is; a collar or a knot
that resembles one is lost by the second or third."""

SURPLUS = 2
"""Candidates per allowed face that the landmark model checks in one tile, highest confidence first."""

FINEST = 256
"""Side of a tile, px, above which the picture is scaled down first: the detector samples 128 px of it, and misses
what lies between."""

CROP_SIDE = 256
"""Side, px, below which a picture counts as a crop of a face. It is enlarged to this side and given a border, because
the detector expects background around a head."""

CROP_BORDER = 0.375
"""Width of that border, as a share of the enlarged side."""

CROP_LOOKS = (
    (cv2.BORDER_REPLICATE, 0.5, 0.5),
    (cv2.BORDER_REPLICATE, 0.2, 0.5),
    (cv2.BORDER_CONSTANT, 0.2, 0.2),
)
"""Border, minimum confidence and minimum presence, tried in turn until a face is found. In a
crop a face may be presumed, so later looks are content with less; the last is in front of black, because a
border that repeats the picture's edge draws streaks, and some faces get lost in them."""


class Stills:
    """Finds and measures the faces in single pictures."""

    def __init__(self, settings: MeshSettings, detector: Detector, landmarker: Landmarker) -> None:
        """Use the models of a mesh; `settings` gives the number of faces and the minimum confidences."""
        self._settings = settings
        self._detector = detector
        self._landmarker = landmarker

    def __call__(self, rgb: NDArray[np.uint8]) -> tuple[Face, ...]:
        """The faces in `rgb`, uint8[H, W, 3], largest first, numbered from 1."""
        height, width = rgb.shape[:2]
        if max(height, width) >= CROP_SIDE:
            return _ordered(self._picture(rgb))
        scale = CROP_SIDE / max(height, width)
        border = round(CROP_BORDER * CROP_SIDE)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        large = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
        shift = np.array([border, border, 0], np.float32)
        for kind, min_detection, min_presence in CROP_LOOKS:
            framed = np.asarray(cv2.copyMakeBorder(large, border, border, border, border, kind), np.uint8)
            if faces := self._crop(framed, min_detection, min_presence):
                return _ordered([replace(f, landmarks=(f.landmarks - shift) / np.float32(scale)) for f in faces])
        return ()

    def _picture(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """The largest faces of a picture, from large tiles to small ones, until there are enough."""
        faces: list[Face] = []
        regions: list[Region] = []
        for level in layout(rgb.shape[1], rgb.shape[0], MIN_FACE):
            # A level is finished before it is counted: its faces are of all sizes between two levels.
            for found in self._candidates(rgb, level):
                if any(found.overlap(region) > SAME_PLACE for region in regions):
                    continue
                face = self._look(rgb, found)
                region = None if face is None else Region.of_landmarks(face.landmarks)
                if face and region and not any(region.shows_the_same(other) for other in regions):
                    faces.append(face)
                    regions.append(region)
            if len(faces) >= self._settings.max_faces:
                break
        order = sorted(range(len(faces)), key=lambda i: -regions[i].size)
        return [faces[i] for i in order[: self._settings.max_faces]]

    def _candidates(self, rgb: NDArray[np.uint8], level: list[Tile]) -> Iterator[Region]:
        """Where the detector sees faces in the tiles of one size."""
        shown, scale = rgb, 1.0
        # The whole picture is sampled as mediapipe does, which scales nothing down either.
        if len(level) > 1 and level[0].size > FINEST:
            scale = FINEST / level[0].size
            size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
            shown = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        for tile in level:
            part = Tile(tile.x * scale, tile.y * scale, tile.size * scale)
            for found in self._detector(
                shown,
                part,
                min_confidence=self._settings.min_detection,
                most=SURPLUS * self._settings.max_faces,
            ):
                yield Region(found.x / scale, found.y / scale, found.size / scale, found.angle)

    def _look(self, rgb: NDArray[np.uint8], candidate: Region) -> Face | None:
        """The face at `candidate`; None: it is none."""
        least = self._settings
        region = self._detector.again(rgb, candidate, min_confidence=least.min_detection)
        if region is None:
            return None
        for _ in range(LOOKS):
            landmarks, presence = self._landmarker(rgb, region)
            if presence < least.min_presence:
                return None
            # A tracked face is measured in the region of its own landmarks, so this one is too.
            region = Region.of_landmarks(landmarks)
        is_face = bounding_box(landmarks)[3] >= SMALLEST * MIN_FACE and is_steady(self._landmarker, rgb, landmarks)
        return Face(0, landmarks, presence) if is_face else None

    def _crop(self, rgb: NDArray[np.uint8], min_detection: float, min_presence: float) -> list[Face]:
        """The faces in a crop with its border."""
        regions: list[Region] = []
        faces: list[Face] = []
        whole = Tile.whole(rgb.shape[1], rgb.shape[0])
        for found in self._detector(rgb, whole, min_confidence=min_detection, most=SURPLUS * self._settings.max_faces):
            if len(faces) == self._settings.max_faces:
                break
            face = self._look_at_scales(rgb, found, min_presence)
            if face is None:
                continue
            region = Region.of_landmarks(face.landmarks)
            if not any(region.shows_the_same(other) for other in regions):
                regions.append(region)
                faces.append(face)
        return [faces[i] for i in sorted(range(len(faces)), key=lambda i: -regions[i].size)]

    def _look_at_scales(self, rgb: NDArray[np.uint8], found: Region, min_presence: float) -> Face | None:
        for scale in SCALES:
            landmarks, presence = self._landmarker(rgb, replace(found, size=found.size * scale))
            if presence >= min_presence:
                again, confirmed = self._landmarker(rgb, Region.of_landmarks(landmarks))
                return Face(0, again, confirmed) if confirmed >= min_presence else Face(0, landmarks, presence)
        return None


def _ordered(faces: list[Face]) -> tuple[Face, ...]:
    """The faces, numbered in their order."""
    return tuple(replace(face, track_id=i) for i, face in enumerate(faces, 1))
