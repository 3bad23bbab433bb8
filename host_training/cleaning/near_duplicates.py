"""Near-duplicates: rows that show one photo with another crop, brightness or compression, or mirrored.

Byte-equal pictures have the same `group` from the start. A photo that was collected twice from the web is hardly ever
byte-equal, and a network that was trained on one copy cannot be judged honestly on the other.

Candidates are each row's nearest neighbours, by the shape of its landmarks and, if the pictures are available, by their
content. Two rows are a pair if their landmarks nearly coincide, or if their pictures correlate after alignment
(enhanced correlation coefficient, Evangelidis and Psarakis 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from host_training.data.decisions import KEEP, apply
from host_training.data.landmark_sets import mirrored
from host_training.data.splits import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from host_training.data.decisions import Decision
    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

SAME_SHAPE = 0.02
"""Maximum distance of the landmarks of one photo: root mean square over the points, in units of their root mean square
radius. Of the 3,209 pairs of FER2013 below it, the pictures confirm 3,157; of the 52 others, looked at, 51 are the same
photo. Without pictures it finds a third of what they show; from 0.026 on, most pairs are wrong."""
SAME_PICTURE = 0.94
"""Minimum correlation of two aligned pictures of one photo. Pairs of FER2013 that were looked at: of the 189 weakest,
183 show one photo or two shots of one sitting; of 63 drawn from those above 0.96, all 63; of the 104 between 0.92 and
0.94, 84, and the wrong ones are babies and faces in the dark."""

NEIGHBOURS = 8
"""Neighbours of each row, by landmarks and by pictures. Photos with more copies are found through their copies."""
COMPONENTS = 64
"""Principal components in which neighbours are searched: they explain 99.9 % of the variance of landmarks."""
PROMISING = 0.6
"""Minimum correlation of two pictures before alignment: 99.5 % of the pairs of FER2013 have more."""

SIDE = 48
"""Side, in px, of the square around a face that is compared."""
RADIUS = 0.25
"""Root mean square radius of the landmarks in that square, in sides: the hair fits in, too."""
OVERLAP = 0.25
"""Minimum share of the square that both pictures must fill."""
COARSE = 24
"""Side, in px, of the square when all are compared with all."""
ROWS = 1000
"""Rows whose neighbours are searched at a time."""

_NO_PAIRS = np.zeros((0, 3), np.intp)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that show one photo."""

    first: int
    """Row of the table."""
    second: int
    """Later row of the table."""
    mirrored: bool
    """Whether one shows the mirror image of the other."""
    distance: float
    """Distance of their landmarks, in the unit of `SAME_SHAPE`."""
    agreement: float
    """Correlation of the aligned pictures, up to 1; NaN if they cannot be compared."""

    @property
    def certainty(self) -> float:
        """Certainty from 0, barely a pair, to 1, beyond doubt; below 0 it is not a pair."""
        by_shape = 1 - self.distance / SAME_SHAPE
        by_picture = (self.agreement - SAME_PICTURE) / (1 - SAME_PICTURE)
        return by_shape if np.isnan(by_picture) else max(by_shape, by_picture)


def find(table: Table, pictures: Mapping[int, Pixels | ImageFile], decided: Iterable[Decision] = ()) -> list[Pair]:
    """Find the pairs that connect the rows of one photo, the least certain first.

    Rows that belong together anyway, by person, byte-equal picture or decision, are no pairs, nor are rows that
    a person decided are different. Three rows with one photo give two pairs: the most certain ones that connect them.

    Args:
        table: the rows.
        pictures: row -> picture, for those that are available.
        decided: decisions; those about pairs count.

    Raises:
        EdgeError: a picture cannot be read.
    """
    about_pairs = [decision for decision in decided if len(decision.subject) > 1]
    unit = units(apply(table, about_pairs)[0])
    apart = {decision.subject for decision in about_pairs if decision.action == KEEP}
    ids = table.ids.tolist()
    rows = np.flatnonzero(table.found)
    rows = rows[np.unique(table.group[rows], return_index=True)[1]]
    faces = _Faces(table, {row: pictures[row] for row in rows.tolist() if row in pictures})
    found = np.unique(np.concatenate([_NO_PAIRS, *_candidates(table, rows, faces)]), axis=0)
    found = found[unit[found[:, 0]] != unit[found[:, 1]]]
    pairs = []
    for one, other, mirror in tqdm(found.tolist(), desc="pairs compared", unit="pair", leave=False):
        if apart and tuple(sorted((ids[one], ids[other]))) in apart:
            continue
        distance = float(_distances(table.landmarks[[one]], table.landmarks[[other]], mirror=bool(mirror))[0])
        pairs.append(Pair(one, other, bool(mirror), distance, faces.agreement(one, other, mirror=bool(mirror))))
    return _forest((pair for pair in pairs if pair.certainty >= 0), unit)[::-1]


def _candidates(table: Table, rows: NDArray[np.intp], faces: _Faces) -> Iterator[NDArray[np.intp]]:
    """Yield candidates, int[P, 3]: row, later row, whether mirrored. A pair may occur more than once."""
    kinds = {}
    if len(rows) > 1:
        landmarks = table.landmarks[rows]
        kinds["landmarks"] = (rows, _shapes(landmarks), _shapes(mirrored(landmarks)))
    pictured = rows[faces.available[rows]]
    if len(pictured) > 1:
        kinds["pictures"] = (pictured, faces.details[pictured], _flipped(faces.details[pictured]))
    for kind, (mine, vectors, turned) in kinds.items():
        space = PCA(min(COMPONENTS, *vectors.shape), random_state=0).fit(vectors)
        search = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(mine)), algorithm="brute")
        search.fit(space.transform(vectors))
        bar = tqdm(total=2 * len(mine), desc=f"neighbours by {kind}", unit="row", leave=False)
        for mirror, asked in ((False, vectors), (True, turned)):
            for start in range(0, len(mine), ROWS):
                part = mine[start : start + ROWS]
                near = search.kneighbors(space.transform(asked[start : start + ROWS]), return_distance=False)
                ends = np.sort(np.stack([np.repeat(part, near.shape[1]), mine[near].ravel()], axis=1), axis=1)
                ends = ends[ends[:, 0] != ends[:, 1]]
                ends = ends[_promising(table, faces, *ends.T, mirror=mirror)]
                yield np.column_stack([ends, np.full(len(ends), mirror)])
                bar.update(len(part))
        bar.close()


def _promising(
    table: Table, faces: _Faces, first: NDArray[np.intp], second: NDArray[np.intp], *, mirror: bool
) -> NDArray[np.bool_]:
    """Whether a pair deserves a closer look, bool[P]."""
    alike = np.einsum(
        "ij,ij->i", _flipped(faces.details[first]) if mirror else faces.details[first], faces.details[second]
    )
    close = _distances(table.landmarks[first], table.landmarks[second], mirror=mirror) <= SAME_SHAPE
    return np.asarray(close | (faces.available[first] & faces.available[second] & (alike >= PROMISING)))


def _shapes(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """X and y of the landmarks without position and size, which is all that a crop changes, float32[N, 956]."""
    points = landmarks[:, :, :2] - landmarks[:, :, :2].mean(axis=1, keepdims=True)
    radius = np.sqrt(np.square(points).sum(axis=2).mean(axis=1))
    return np.asarray((points / np.maximum(radius, 1e-6)[:, None, None]).reshape(len(points), -1), np.float32)


def _distances(one: NDArray[np.float32], other: NDArray[np.float32], *, mirror: bool) -> NDArray[np.float32]:
    """Distances of landmarks, float32[P], in the unit of `SAME_SHAPE`."""
    apart = _shapes(one) - _shapes(mirrored(other) if mirror else other)
    return np.asarray(np.sqrt(np.square(apart).sum(axis=1) / one.shape[1]), np.float32)


def _flipped(details: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirror images of details, float32[N, COARSE * COARSE]."""
    return details.reshape(-1, COARSE, COARSE)[:, :, ::-1].reshape(details.shape)


def _forest(pairs: Iterable[Pair], unit: NDArray[np.intp]) -> list[Pair]:
    """The most certain pairs that connect all connected rows, the most certain first (Kruskal 1956)."""
    root = list(range(len(unit)))

    def find_root(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    kept = []
    for pair in sorted(pairs, key=lambda pair: (-pair.certainty, pair.first, pair.second, pair.mirrored)):
        one, other = find_root(int(unit[pair.first])), find_root(int(unit[pair.second]))
        if one != other:
            root[one] = other
            kept.append(pair)
    return kept


class _Faces:
    """The part of each picture that is compared: a square of `SIDE` px around the face, not rotated."""

    def __init__(self, table: Table, pictures: Mapping[int, Pixels | ImageFile]) -> None:
        self.available = np.zeros(len(table), np.bool_)
        """bool[N]: whether the row has a picture."""
        self.details = np.zeros((len(table), COARSE * COARSE), np.float32)
        """float32[N, COARSE * COARSE], unit vectors; 0 without a picture."""
        self._crops: dict[int, tuple[NDArray[np.uint8], tuple[slice, slice]]] = {}
        """Row -> square, uint8[SIDE, SIDE], grey, and the part of it that the picture fills."""
        for row, picture in tqdm(pictures.items(), desc="pictures read", unit="picture", leave=False):
            crop, filled = _crop(picture.load(), table.landmarks[row])
            self._crops[row] = crop, filled
            inside = np.zeros((SIDE, SIDE), np.float32)
            inside[filled] = _details(crop)[filled]
            coarse = cv2.resize(inside, (COARSE, COARSE), interpolation=cv2.INTER_AREA).ravel()
            self.details[row] = coarse / max(float(np.linalg.norm(coarse)), 1e-6)
            self.available[row] = True

    def agreement(self, first: int, second: int, *, mirror: bool) -> float:
        """Correlation of two pictures after the second is aligned with the first; NaN if they overlap too little."""
        if not (self.available[first] and self.available[second]):  # one is not available
            return float("nan")
        (one, one_filled), (other, other_filled) = self._crops[first], self._crops[second]
        one_inside, other_inside = np.zeros((2, SIDE, SIDE), np.uint8)
        one_inside[one_filled], other_inside[other_filled] = 1, 1
        if mirror:
            other, other_inside = (np.ascontiguousarray(part[:, ::-1]) for part in (other, other_inside))
        one_details, other_details = _details(one), _details(other)
        plain = _correlation(one_details, other_details, one_inside & other_inside)
        if not plain >= PROMISING:  # nearly all of them; alignment takes longer
            return plain
        try:
            _, warp = cv2.findTransformECC(
                one_details,
                other_details,
                np.eye(2, 3, dtype=np.float32),
                cv2.MOTION_AFFINE,
                (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3),
                one_inside & other_inside,
                1,
            )
        except cv2.error:  # the pictures are too different to be aligned
            return plain
        laid, inside = (
            cv2.warpAffine(part, warp, (SIDE, SIDE), flags=how | cv2.WARP_INVERSE_MAP)
            for part, how in ((other_details, cv2.INTER_LINEAR), (other_inside, cv2.INTER_NEAREST))
        )
        return _correlation(one_details, np.asarray(laid, np.float32), one_inside & np.asarray(inside, np.uint8))


def _crop(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[slice, slice]]:
    """The square around the face, uint8[SIDE, SIDE], grey, and the rows and columns of it that the picture fills."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    points = landmarks[:, :2].astype(np.float64)
    radius = max(float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean())), 1e-6)
    scale = SIDE * RADIUS / radius
    if scale < 1 / 2:  # otherwise single pixels of a large picture would represent many
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points, scale = points * scale, 1.0
    corner = SIDE / 2 - points.mean(axis=0) * scale
    warp = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    crop = cv2.warpAffine(grey, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    low = np.ceil(corner).clip(0, SIDE).astype(int)
    high = np.floor(corner + scale * (np.array(grey.shape[::-1]) - 1) + 1).clip(0, SIDE).astype(int)
    return np.asarray(crop, np.uint8), (slice(low[1], high[1]), slice(low[0], high[0]))


def _details(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Difference of Gaussians, which removes brightness, gradients of light and the noise of compression."""
    grey = crop.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), SIDE / part) for part in (64, 11))
    return np.asarray(fine - coarse, np.float32)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32], inside: NDArray[np.uint8]) -> float:
    """Pearson's correlation over the pixels inside; NaN if they are too few."""
    chosen = inside.astype(np.bool_)
    if chosen.sum() < OVERLAP * SIDE * SIDE:
        return float("nan")
    a, b = one[chosen], other[chosen]
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-6))
