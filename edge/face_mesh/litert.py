"""MediaPipe's face models run directly: detect, measure, smooth, follow.

The detector runs only while there is room for another face; a face once found is followed from its own
landmarks. It agrees with the mediapipe package to a hundredth of a pixel and does without its 300 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.face_mesh.detector import Detector
from edge.face_mesh.landmarker import Landmarker
from edge.face_mesh.one_euro import OneEuro
from edge.face_mesh.tracking import Region, TrackIds
from edge.values import Face, bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from edge.settings import MeshSettings
    from edge.values import Frame

SAME_FACE = 0.5
"""Intersection over union above which two tracks follow one face."""

SURPLUS = 2
"""Candidates per allowed face that the landmark model checks, highest confidence first."""

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

CROP_SCALES = (1.0, 0.85, 0.72)
"""Sizes of the region relative to the detector's, tried until one shows a face: the detector overestimates a head that
the border cuts off."""


@dataclass(slots=True)
class _Track:
    region: Region
    number: int | None = None
    """None until the landmark model has confirmed the detection."""
    smoothing: OneEuro | None = None


class LiteRTFaceMesh:
    """The direct backend."""

    def __init__(self, settings: MeshSettings, models: MeshModels) -> None:
        """Load both models.

        Raises:
            ConfigError: a model is missing or is another one.
            UnavailableError: no interpreter is installed.
        """
        self._settings = settings
        self._detector = Detector(models.detector, threads=settings.threads)
        self.landmarker = Landmarker(models.landmarker, threads=settings.threads)
        self._tracks: list[_Track] = []
        self._ids = TrackIds()
        self._next_search = float("-inf")

    def process(self, frame: Frame) -> tuple[Face, ...]:
        """See `FaceMesh.process`."""
        now = frame.captured_at
        candidates: list[_Track] = []
        if len(self._tracks) < self._settings.max_faces and now >= self._next_search:
            candidates = self._search(frame.rgb, now)
        faces: list[Face] = []
        kept: list[_Track] = []
        for track in [*self._tracks, *candidates]:
            if len(kept) == self._settings.max_faces:
                break
            landmarks, presence = self.landmarker(frame.rgb, track.region)
            region = Region.of_landmarks(landmarks)
            if presence < self._settings.min_presence or any(
                region.overlap(other.region) > SAME_FACE for other in kept
            ):
                self._next_search = now  # search again in the next frame
                continue
            # The next region comes from the measured landmarks; the returned ones are smoothed.
            _, _, width, height = bounding_box(landmarks)
            if track.smoothing is None:
                track.smoothing = OneEuro(landmarks, now)
            else:
                landmarks = track.smoothing(landmarks, now, (width + height) / 2)
            track.region = region
            if track.number is None:
                others = {other.number for other in self._tracks if other.number is not None}
                track.number = self._ids.claim(region, now, others)
            self._ids.seen(track.number, region, now)
            kept.append(track)
            faces.append(Face(track.number, landmarks, presence))
        self._tracks = kept
        return tuple(faces)

    def _search(self, rgb: NDArray[np.uint8], now: float) -> list[_Track]:
        # On average at the requested interval, although searches happen only on frames.
        period, late = 1 / self._settings.search_fps, now - self._next_search
        self._next_search = now + period - (late if late < period else 0)
        # A few more than allowed, because some turn out not to be faces.
        found = self._detector(
            rgb, min_confidence=self._settings.min_detection, most=SURPLUS * self._settings.max_faces
        )
        return [
            _Track(region)
            for region in found
            if all(region.overlap(track.region) < SAME_FACE / 2 for track in self._tracks)
        ]

    def still(self, rgb: NDArray[np.uint8]) -> tuple[Face, ...]:
        """See `FaceMesh.still`."""
        height, width = rgb.shape[:2]
        if max(height, width) >= CROP_SIDE:
            return self._measure(rgb, self._settings.min_detection, self._settings.min_presence)
        scale = CROP_SIDE / max(height, width)
        border = round(CROP_BORDER * CROP_SIDE)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        large = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
        shift = np.array([border, border, 0], np.float32)
        for kind, min_detection, min_presence in CROP_LOOKS:
            framed = np.asarray(cv2.copyMakeBorder(large, border, border, border, border, kind), np.uint8)
            if faces := self._measure(framed, min_detection, min_presence, CROP_SCALES):
                return tuple(Face(f.track_id, (f.landmarks - shift) / np.float32(scale), f.presence) for f in faces)
        return ()

    def _measure(
        self, rgb: NDArray[np.uint8], min_detection: float, min_presence: float, scales: tuple[float, ...] = (1.0,)
    ) -> tuple[Face, ...]:
        regions: list[Region] = []
        faces: list[Face] = []
        for found in self._detector(rgb, min_confidence=min_detection, most=SURPLUS * self._settings.max_faces):
            if len(faces) == self._settings.max_faces:
                break
            face = self._look(rgb, found, min_presence, scales)
            if face is None:
                continue
            region = Region.of_landmarks(face.landmarks)
            if all(region.overlap(other) <= SAME_FACE for other in regions):
                regions.append(region)
                faces.append(face)
        order = sorted(range(len(faces)), key=lambda i: -regions[i].size)
        return tuple(Face(n + 1, faces[i].landmarks, faces[i].presence) for n, i in enumerate(order))

    def _look(
        self, rgb: NDArray[np.uint8], found: Region, min_presence: float, scales: tuple[float, ...]
    ) -> Face | None:
        for scale in scales:
            landmarks, presence = self.landmarker(rgb, replace(found, size=found.size * scale))
            if presence >= min_presence:
                # A tracked face is measured in the region of its own landmarks, so this one is too.
                again, confirmed = self.landmarker(rgb, Region.of_landmarks(landmarks))
                return Face(0, again, confirmed) if confirmed >= min_presence else Face(0, landmarks, presence)
        return None

    def close(self) -> None:
        """Do nothing: the garbage collector frees everything."""
