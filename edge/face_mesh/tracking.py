"""Which face of this frame is which of the frames before: place, motion, size and look, in one assignment.

Faces that pass in front of each other, or are hidden for a moment, keep their numbers. Both backends use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.face_mesh import motion
from edge.face_mesh.assignment import assign
from edge.values import bounding_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263
"""Outer eye corners as the viewer sees them; their line is the face's horizontal (face_landmarks_detector_graph.cc)."""

SAME_CENTRE = 0.2
"""Distance of the centres of two regions, as a share of the larger, below which they show one face of which one has
only a part: of two faces at one place, one would be hidden."""

MARGIN = 1.5
"""The region is so many times the box of the face (both graphs, RectTransformation scale)."""


SAME_FACE = 0.5
"""Intersection over union above which two regions show one face."""

PROBATION_S = 0.25
"""Age up to which a face may turn out to be none: it has to be seen clearly then, and isn't remembered when lost."""

MEMORY_S = 2.0
"""Time for which a lost face keeps its number, s: longer than people hide behind a hand or a passer-by."""

BEHIND_S = 4.0
"""Time for which it keeps it while another face is where it is expected, s."""

LOOK_SIDE = 8
"""Cells along each side of a look."""

LOOK_SAMPLES = 4
"""Samples along each side of one of these cells."""

NEW_LOOK = 0.15
"""Weight of the newest look in the one that is remembered."""

SPEED_S = 0.15
"""Time constant of the smoothing of a face's motion, s."""

FAST = 0.15
"""Distance that a face moves from frame to frame, as a share of its region, from which it is looked for ahead. Slower
ones are looked for where they were, as mediapipe does."""

COAST_S = 1.0
"""Time for which a lost face is taken to move on as before, s. Then it is expected to stay."""

REACH, REACH_PER_S = 0.75, 0.75
"""Distance from the expected place within which a face may be the same, as a share of its region: at once, and more
for each second that it has been lost."""

SIZE_WEIGHT = 1.0
"""Weight of the logarithm of the ratio of two sizes, beside a distance that counts as a share of `REACH`."""

MAX_SIZE_RATIO = 1.8
"""Ratio of the sizes of two regions above which they are not the same face."""

LOOK_WEIGHT = 1.5
"""Weight of the distance of two looks."""

MAX_LOOK_DISTANCE = 0.6
"""Distance of two looks, 0..2, above which a lost face and a new one are different people."""

JUMP = 20.0
"""Mean difference of two small grey pictures, in grey levels, from which a face may be another one though the scene
around it is alike, as in two portraits."""

LOOK_JUMP = 0.12
"""Distance of two looks one frame apart, above which a cut has put another face in the place of the first. Of one
face it is below 0.01 in 99 % of frames."""

NO_MATCH = 1e6
"""Cost of what must not be assigned."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square, turned about its centre."""

    x: float
    """Centre, px."""
    y: float
    """Centre, px."""
    size: float
    """Length of a side, px."""
    angle: float
    """rad, clockwise as the viewer sees it."""

    @classmethod
    def of_landmarks(cls, points: NDArray[np.float32]) -> Region:
        """The region in which to look for this face in the next frame. points: float32[478, 3] px."""
        left, top, width, height = bounding_box(points)
        dx, dy = (points[RIGHT_EYE_CORNER, :2] - points[LEFT_EYE_CORNER, :2]).tolist()
        return cls(
            x=left + width / 2,
            y=top + height / 2,
            size=MARGIN * max(width, height),
            angle=math.atan2(dy, dx),
        )

    def to_picture(self, step: float, middle: float) -> NDArray[np.float64]:
        """The map from a grid to the picture, float64[2, 3]: the grid is turned as the region is, and centred in it.

        Args:
            step: distance of the grid's points, px.
            middle: row and column of the grid that are the centre.
        """
        cos, sin = math.cos(self.angle) * step, math.sin(self.angle) * step
        return np.array(
            [
                [cos, -sin, self.x - cos * middle + sin * middle],
                [sin, cos, self.y - sin * middle - cos * middle],
            ]
        )

    def overlap(self, other: Region) -> float:
        """Intersection over union of the two squares, their rotation left aside; 0..1."""
        half, other_half = self.size / 2, other.size / 2
        width = min(self.x + half, other.x + other_half) - max(self.x - half, other.x - other_half)
        height = min(self.y + half, other.y + other_half) - max(self.y - half, other.y - other_half)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / (self.size**2 + other.size**2 - both)

    def shows_the_same(self, other: Region) -> bool:
        """Whether both regions show one face."""
        apart = math.hypot(self.x - other.x, self.y - other.y)
        return apart < SAME_CENTRE * max(self.size, other.size) or self.overlap(other) > SAME_FACE


def look(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.float32]:
    """What the face at `region` looks like: colours of a coarse grid, float32[192], of mean 0 and length 1.

    Only the picture in memory is used, and only while the face is remembered: it tells two faces of one minute apart,
    and is not a biometric template.
    """
    side = LOOK_SIDE * LOOK_SAMPLES
    step = region.size / MARGIN / side  # the face alone, because what is behind it changes
    upright = cv2.warpAffine(
        rgb,
        region.to_picture(step, (side - 1) / 2),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cells = cv2.resize(upright, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    cells -= cells.mean()
    return np.asarray(cells / max(float(np.linalg.norm(cells)), 1e-6), np.float32)


def look_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Distance of two looks: 1 - correlation, 0..2."""
    return 1 - float(a @ b)


@dataclass(slots=True, eq=False)
class Track:
    """One face, followed or lost lately."""

    number: int
    region: Region
    """Where it was seen last."""
    seen_at: float
    """When, s, monotonic."""
    look: NDArray[np.float32]
    since: float
    """When it was seen first, s, monotonic."""
    speed: tuple[float, float] = (0.0, 0.0)
    """Smoothed, px/s."""
    lost: bool = False
    """Whether it was not in the last frame."""

    @property
    def on_probation(self) -> bool:
        """Whether it is so new that it may be no face."""
        return self.seen_at - self.since < PROBATION_S

    def expected(self, now: float) -> Region:
        """Where it should be at the time `now`, s, if it moves on as before."""
        ahead = min(now - self.seen_at, COAST_S)
        dx, dy = self.speed[0] * ahead, self.speed[1] * ahead
        return replace(self.region, x=self.region.x + dx, y=self.region.y + dy)

    def ahead(self, now: float) -> Region:
        """Where to measure it in the frame of the time `now`, s."""
        expected = self.expected(now)
        moved = math.hypot(expected.x - self.region.x, expected.y - self.region.y)
        return expected if moved > FAST * self.region.size else self.region

    def surprise(self, sighting: Sighting, now: float) -> float:
        """How far `sighting` is from where and how this face is expected at the time `now`, s."""
        expected = self.expected(now)
        apart = math.hypot(sighting.region.x - expected.x, sighting.region.y - expected.y)
        return apart / self.region.size + LOOK_WEIGHT * look_distance(self.look, sighting.look)

    def cost(self, sighting: Sighting, now: float) -> float:
        """Cost of taking `sighting` for this face at the time `now`, s; `NO_MATCH` if it can't be."""
        expected, found = self.expected(now), sighting.region
        apart = math.hypot(found.x - expected.x, found.y - expected.y) / self.region.size
        if self.lost:
            # Who turns back, or stops, is not where motion would have taken them.
            apart = min(apart, math.hypot(found.x - self.region.x, found.y - self.region.y) / self.region.size)
        reach = REACH + REACH_PER_S * (now - self.seen_at)
        ratio = max(found.size / self.region.size, self.region.size / found.size)
        unlike = look_distance(self.look, sighting.look)
        if apart > reach or ratio > MAX_SIZE_RATIO or (sighting.track is None and unlike > MAX_LOOK_DISTANCE):
            return NO_MATCH
        return apart / reach + SIZE_WEIGHT * math.log(ratio) + LOOK_WEIGHT * unlike

    def update(self, sighting: Sighting, now: float, *, alone: bool) -> None:
        """Take in where it is at the time `now`, s; `alone`: no other face covers a part of it."""
        found, interval = sighting.region, now - self.seen_at
        if interval > 0:
            weight = 1 - math.exp(-interval / SPEED_S)
            moved = (found.x - self.region.x) / interval, (found.y - self.region.y) / interval
            self.speed = (
                self.speed[0] + weight * (moved[0] - self.speed[0]),
                self.speed[1] + weight * (moved[1] - self.speed[1]),
            )
        self.region, self.seen_at = found, now
        if alone:
            mixed = self.look + NEW_LOOK * (sighting.look - self.look)
            self.look = np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-6), np.float32)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face in this frame."""

    region: Region
    look: NDArray[np.float32]
    track: int | None = None
    """Number of the track that was followed to it; None: the search found it."""

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], landmarks: NDArray[np.float32], track: int | None = None) -> Sighting:
        """The face with these landmarks, float32[478, 3] px, in `rgb`, uint8[H, W, 3]."""
        region = Region.of_landmarks(landmarks)
        return cls(region, look(rgb, region), track)


class Tracker:
    """Gives the faces of each frame their numbers. A number is never used again for another face."""

    def __init__(self) -> None:
        self._next = 1
        self._tracks: list[Track] = []
        self._small: NDArray[np.uint8] | None = None
        self._jumped = False

    def tracks(self) -> tuple[Track, ...]:
        """The faces that are followed or were lost lately, in the order in which they appeared."""
        return tuple(self._tracks)

    def begin(self, small: NDArray[np.uint8]) -> None:
        """Begin a frame of a stream. A cut ends every track.

        Args:
            small: the small grey picture of the frame, see `motion.small`.
        """
        before, self._small = self._small, small
        self._jumped = False
        if before is not None:
            self._jumped = before.shape == small.shape and motion.difference(before, small) >= JUMP
            if before.shape != small.shape or motion.is_cut(before, small):
                self._tracks = []

    def step(self, sightings: Sequence[Sighting], now: float) -> list[int]:
        """Take in the faces of the next frame.

        Args:
            sightings: its faces, each one once.
            now: when it was captured, s, monotonic; must not go backwards.

        Returns:
            The number of each, in their order.
        """
        self._tracks = [track for track in self._tracks if self._is_remembered(track, now)]
        if self._jumped:
            self._tracks = [track for track in self._tracks if not self._has_jumped(track, sightings)]
        owners = self._owners(sightings, now)
        for i, sighting in enumerate(sightings):
            alone = all(
                sighting.region.overlap(other.region) == 0 for j, other in enumerate(sightings) if j != i
            ) and not any(
                sighting.region.overlap(track.expected(now)) > 0
                for track in self._tracks
                if track is not owners[i] and track not in owners
            )
            track = owners[i]
            if track is None:
                owners[i] = track = Track(self._next, sighting.region, now, sighting.look, since=now)
                self._next += 1
                self._tracks.append(track)
            else:
                track.update(sighting, now, alone=alone)
        for track in self._tracks:
            track.lost = track not in owners
        return [track.number for track in owners if track is not None]

    def _is_remembered(self, track: Track, now: float) -> bool:
        missed = now - track.seen_at
        if not track.lost:
            return True
        if track.on_probation:
            return False
        if missed <= MEMORY_S:
            return True
        place = track.expected(now)
        return missed <= BEHIND_S and any(place.overlap(other.region) > 0 for other in self._tracks if not other.lost)

    def _owners(self, sightings: Sequence[Sighting], now: float) -> list[Track | None]:
        """The known track of each sighting; None: it is a new face."""
        by_number = {track.number: track for track in self._tracks}
        followed = [by_number.get(sighting.track or 0) for sighting in sightings]
        if all(followed) and len(sightings) == sum(not track.lost for track in self._tracks):
            return followed  # the usual case: each has been followed, and none is lost or new
        costs = np.array([[track.cost(sighting, now) for track in self._tracks] for sighting in sightings])
        owners: list[Track | None] = [None] * len(sightings)
        if costs.size:
            for i, j in enumerate(assign(costs)):
                if j is not None and costs[i, j] < NO_MATCH:
                    owners[i] = self._tracks[j]
        return owners

    def _has_jumped(self, track: Track, sightings: Sequence[Sighting]) -> bool:
        """Whether a cut has put another face in the place of this one."""
        # Who has just come in at the edge of the picture changes as much.
        if track.lost or track.on_probation:
            return False
        here = [sighting.look for sighting in sightings if track.region.shows_the_same(sighting.region)]
        return bool(here) and min(look_distance(track.look, each) for each in here) > LOOK_JUMP
