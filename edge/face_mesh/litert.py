"""MediaPipe's face models run directly: search, measure, smooth, follow.

The detector runs only while there is room for another face; a face once found is followed from its own landmarks,
and measured again when something has changed in it. The landmarks agree with the mediapipe package to a hundredth of
a pixel, without its 300 MB.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.face_mesh import motion
from edge.face_mesh.detector import SAME_PLACE, Detector
from edge.face_mesh.landmarker import SCALES, Landmarker
from edge.face_mesh.one_euro import OneEuro
from edge.face_mesh.search import Search
from edge.face_mesh.steadiness import is_steady
from edge.face_mesh.stills import Stills
from edge.face_mesh.tiles import SMALLEST, Tile
from edge.face_mesh.tracking import Region, Sighting, Track, Tracker
from edge.values import Face, bounding_box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from edge.settings import MeshSettings
    from edge.values import Frame

CANDIDATES = 4
"""Candidates of one tile that the landmark model checks at most, highest confidence first."""

CLEAR = 0.95
"""Presence of a new face. Faces of 20 px and more reach 0.99, and what only resembles a face in some frame does not
for long."""

STILL_S = 0.5
"""Time after which a face is measured again in which nothing has changed, s."""

SETTLE_S = 0.4
"""Time for which a face is still measured in every frame after it has changed, s, until the smoothing has caught up."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """A face as it was measured last."""

    sighting: Sighting
    landmarks: NDArray[np.float32]
    """As the landmark model gave them, float32[478, 3] px."""
    presence: float
    thumbnail: NDArray[np.uint8]
    """What was measured, to notice changes."""
    at: float
    """When, s, monotonic."""
    changed_at: float
    """When a change was noticed last, s, monotonic."""


@dataclass(slots=True)
class _Followed:
    """What is kept of a track beside its number and place."""

    measured: _Measured
    smoothing: OneEuro
    face: Face


class LiteRTFaceMesh:
    """The direct backend."""

    def __init__(
        self, settings: MeshSettings, models: MeshModels, *, cpu_clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Load both models.

        Args:
            settings: of the mesh.
            models: where the models are.
            cpu_clock: processor time of this thread, s, for the budget of the search.

        Raises:
            ConfigError: a model is missing or is another one.
            UnavailableError: no interpreter is installed.
        """
        self._settings = settings
        self._detector = Detector(models.detector, threads=settings.threads)
        self.landmarker = Landmarker(models.landmarker, threads=settings.threads)
        self._stills = Stills(settings, self._detector, self.landmarker)
        self._clear = max(CLEAR, settings.min_presence)
        self._cpu_clock = cpu_clock
        self._tracker = Tracker()
        self._search = Search(settings.search_share, settings.min_face)
        self._followed: dict[int, _Followed] = {}

    def process(self, frame: Frame) -> tuple[Face, ...]:
        """See `FaceMesh.process`."""
        if frame.still:
            return self._process_still(frame)
        rgb, now = frame.rgb, frame.captured_at
        small = motion.small(rgb)
        self._tracker.begin(small)
        found = self._again(rgb, now)
        if len(found) < self._settings.max_faces:
            self._search.step(small, rgb.shape, now, [measured.sighting.region for measured in found])
            for measured in self._new(rgb, now, found):
                found.append(measured)
                if len(found) == self._settings.max_faces:
                    break
        numbers = self._tracker.step([measured.sighting for measured in found], now)
        self._followed = {
            number: self._follow(number, measured, now) for number, measured in zip(numbers, found, strict=True)
        }
        return tuple(followed.face for followed in self._followed.values())

    def _again(self, rgb: NDArray[np.uint8], now: float) -> list[_Measured]:
        """The faces that are followed, each one once."""
        found: list[tuple[float, _Measured]] = []
        for track in self._tracker.tracks():
            measured = None if track.lost else self._followed_to(rgb, track, now)
            if measured is None:
                continue
            # Of two tracks that end on one face, it is the face of the one that expected it so, and there.
            surprise = track.surprise(measured.sighting, now)
            same = [each for each in found if measured.sighting.region.shows_the_same(each[1].sighting.region)]
            if all(surprise < each[0] for each in same):
                found = [*(each for each in found if each not in same), (surprise, measured)]
        return [measured for _, measured in found]

    def _followed_to(self, rgb: NDArray[np.uint8], track: Track, now: float) -> _Measured | None:
        """The face of a track in this frame; None: it is lost."""
        before = self._followed[track.number].measured
        # Compared with what was measured, not with the last frame, so that slow changes add up.
        changed = motion.has_changed(before.thumbnail, motion.thumbnail(rgb, before.sighting.region))
        changed_at = now if changed else before.changed_at
        if now - before.at < STILL_S and now - changed_at >= SETTLE_S:
            return before
        least = self._clear if track.on_probation else self._settings.min_presence
        measured = self._measure(rgb, track.ahead(now), now, track.number, least)
        if measured is None or (track.on_probation and not is_steady(self.landmarker, rgb, measured.landmarks)):
            return None
        return replace(measured, changed_at=changed_at)

    def _measure(
        self, rgb: NDArray[np.uint8], region: Region, now: float, track: int | None, min_presence: float
    ) -> _Measured | None:
        """The face at `region`; None: there is none."""
        landmarks, presence = self.landmarker(rgb, region)
        if presence < min_presence:
            return None
        # The next region comes from the measured landmarks; the faces that are returned are smoothed.
        sighting = Sighting.of(rgb, landmarks, track)
        thumbnail = motion.thumbnail(rgb, sighting.region)
        return _Measured(sighting, landmarks, presence, thumbnail, at=now, changed_at=now)

    def _new(self, rgb: NDArray[np.uint8], now: float, found: list[_Measured]) -> Iterator[_Measured]:
        """The faces that are not followed yet, as far as the budget of this frame goes."""
        for tile in self._tiles(now, found):
            started = self._cpu_clock()
            candidates = self._detector(rgb, tile, min_confidence=self._settings.min_detection, most=CANDIDATES)
            faces: list[_Measured] = []
            for candidate in candidates:
                if any(candidate.overlap(other.sighting.region) > SAME_PLACE for other in found):
                    continue
                face = self._look(rgb, candidate, now)
                if face is not None and not _is_among(face.sighting.region, [*found, *faces]):
                    faces.append(face)
            self._search.spend(self._cpu_clock() - started)
            yield from faces

    def _look(self, rgb: NDArray[np.uint8], candidate: Region, now: float) -> _Measured | None:
        """The new face at `candidate`; None: it is none, or a smaller one than is looked for."""
        # In a tile that happens to frame them, many things look like a face.
        region = self._detector.again(rgb, candidate, min_confidence=self._settings.min_detection)
        if region is None:
            return None
        for scale in SCALES:
            landmarks, presence = self.landmarker(rgb, replace(region, size=scale * region.size))
            if presence < self._settings.min_presence:
                continue
            # A face is followed from its own landmarks, so it has to be one there, too.
            face = self._measure(rgb, Region.of_landmarks(landmarks), now, None, self._clear)
            if face is None or not is_steady(self.landmarker, rgb, face.landmarks):
                continue
            return face if bounding_box(face.landmarks)[3] >= SMALLEST * self._settings.min_face else None
        return None

    def _tiles(self, now: float, found: list[_Measured]) -> Iterator[Tile]:
        """Where to look for faces: those that were lost lately, then as the search has it."""
        numbers = {measured.sighting.track for measured in found}
        for track in self._tracker.tracks():
            if track.number not in numbers:
                yield Tile.around(track.expected(now))
        yield from self._search.tiles()

    def _follow(self, number: int, measured: _Measured, now: float) -> _Followed:
        before = self._followed.get(number)
        if before is not None and before.measured is measured:
            return before
        # It may be kept as it is in the next frame, as a sighting of this track.
        measured = replace(measured, sighting=replace(measured.sighting, track=number))
        landmarks = measured.landmarks
        if before is None:
            smoothing = OneEuro(landmarks, now)
        else:
            smoothing = before.smoothing
            _, _, width, height = bounding_box(landmarks)
            landmarks = smoothing(landmarks, now, (width + height) / 2)
        return _Followed(measured, smoothing, Face(number, landmarks, measured.presence))

    def _process_still(self, frame: Frame) -> tuple[Face, ...]:
        """The faces of a picture on its own; they keep their numbers if the one before showed the same."""
        faces = self._stills(frame.rgb)
        sightings = [Sighting.of(frame.rgb, face.landmarks) for face in faces]
        numbers = self._tracker.step(sightings, frame.captured_at)
        return tuple(Face(n, face.landmarks, face.presence) for n, face in zip(numbers, faces, strict=True))

    def still(self, rgb: NDArray[np.uint8]) -> tuple[Face, ...]:
        """See `FaceMesh.still`."""
        return self._stills(rgb)

    def close(self) -> None:
        """Do nothing: the garbage collector frees everything."""


def _is_among(region: Region, found: list[_Measured]) -> bool:
    """Whether a face is one of those found already."""
    return any(region.shows_the_same(measured.sighting.region) for measured in found)
