"""The crop store: for each face of a keypoint table the part of the picture around it, grey, on this machine alone.

A keypoint table holds no pixels and may be published; a crop store may not. Its name ends in `SUFFIX`, which git
ignores. The ids of the rows and a checksum of each row's landmarks tie it to its table.

What it holds are cutouts: larger than a network's crop, so that crops of several sizes, turned and shifted, can be made
from one.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.classifier.crop import POINTS, RADIUS
from edge.errors import DataError, NoInputError
from host_training.data.source import fingerprint
from host_training.errors import SourceError
from host_training.output import whole
from host_training.threads import fan_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

VERSION = 1
"""Format of the file; rises with every change."""
SUFFIX = ".crops.npz"
"""End of a store's file name."""
CUTOUT_SIDE = 1.8
"""Side of a cutout, in sides of an upright crop: 40 % more on each side, which is enough for a crop that is turned."""
MAX_CROP_SIDE = 96
"""Largest side of a crop, in px, that a cutout has the pixels for: twice what networks read. Larger faces are scaled
down."""
REMAKE = "make the store again: emotion-train crop --table TABLE --pictures NAME:PATH --out"
"""Advice about a store that cannot be used; its path follows."""


@dataclass(frozen=True, slots=True)
class CropStore:
    """The cutouts of a table's faces, by row of that table."""

    table: Table
    """The N rows."""
    pixels: NDArray[np.uint8]
    """uint8[P], grey: the cutouts one after another, each line by line."""
    start: NDArray[np.int64]
    """int64[N]: where the cutout of a row begins in `pixels`."""
    shape: NDArray[np.int32]
    """int32[N, 2], px: height and width of the cutout; 0 if no face was found, or its picture is missing."""
    corner: NDArray[np.int32]
    """int32[N, 2], px: x and y of the cutout's first pixel in the picture."""
    scale: NDArray[np.float32]
    """float32[N]: px of the cutout for each px of the picture; at most 1."""

    def __len__(self) -> int:
        """Number of rows, including those without a cutout."""
        return len(self.table)

    @property
    def held(self) -> NDArray[np.bool_]:
        """bool[N]: whether the row has a cutout."""
        return np.asarray(self.shape.all(axis=1))

    def cutout(self, row: int) -> NDArray[np.uint8]:
        """The cutout of a row, uint8[h, w], grey, not a copy; uint8[0, 0] if there is none."""
        height, width = self.shape[row].tolist()
        start = int(self.start[row])
        return self.pixels[start : start + height * width].reshape(height, width)

    def landmarks(self, row: int) -> NDArray[np.float32]:
        """The landmarks of a row in px of its cutout, float32[478, 3]."""
        points: NDArray[np.float32] = self.table.landmarks[row].copy()
        points[:, :2] -= self.corner[row]
        scale = self.scale[row]
        points *= scale
        points[:, :2] += (scale - 1) / 2  # integers are the centres of pixels, and those move too
        return points


def path_of(table: Path) -> Path:
    """Default path of a table's store: in `build`, named after the table."""
    return Path("build") / f"{table.stem}{SUFFIX}"


def build(table: Table, pictures: Mapping[int, Pixels | ImageFile]) -> CropStore:
    """Cut the faces out of their pictures, on every core.

    Args:
        table: the rows as `parquet.read` gives them; decisions change the groups, which identify the pictures.
        pictures: row -> picture, from `pictures.pictures_of`.

    Raises:
        EdgeError: a picture cannot be read.
        SourceError: a picture is not the one that was measured, or no face has a picture.
    """
    rows = np.array([row for row in np.flatnonzero(table.found).tolist() if row in pictures], np.intp)
    if not len(rows):
        raise SourceError(
            "no face of the table has a picture here; give the data sets that the table was made from (--pictures)"
        )
    ids = table.ids
    jobs = ((str(ids[row]), pictures[row], table.group[row], table.landmarks[row]) for row in rows.tolist())
    done = fan_out(_cut, jobs, label="cutting out faces", unit=" faces")
    shape = np.array([cut.shape for cut, _, _ in done], np.int32).reshape(-1, 2)
    corner = np.array([corner for _, corner, _ in done], np.int32).reshape(-1, 2)
    scale = np.array([scale for _, _, scale in done], np.float32)
    pixels = np.concatenate([np.zeros(0, np.uint8), *(cut.ravel() for cut, _, _ in done)])
    return _laid_out(table, rows, pixels, (shape, corner, scale))


def _cut(
    name: str, picture: Pixels | ImageFile, group: np.int64, landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], tuple[int, int], float]:
    """The cutout, uint8[h, w]; its corner, x and y in px of the picture; its px for each px of the picture."""
    rgb = picture.load()
    if fingerprint(rgb) != group:
        raise SourceError(f"{name}: not the picture that was measured; give the pictures that the table was made from")
    points = landmarks[POINTS].astype(np.float64)
    centre = points.mean(axis=0)
    side = max(math.sqrt(float(((points - centre) ** 2).sum()) / len(POINTS)) / RADIUS, 1.0)
    size = np.array(rgb.shape[1::-1])
    low = np.floor(centre[:2] - CUTOUT_SIDE / 2 * side).clip(0, size - 1).astype(int)
    high = np.ceil(centre[:2] + CUTOUT_SIDE / 2 * side).astype(int).clip(low + 1, size)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    cut = cv2.cvtColor(np.ascontiguousarray(rgb[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    scale = min(1.0, MAX_CROP_SIDE / side)
    if scale < 1:
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.uint8), (left, top), scale


def _laid_out(
    table: Table,
    rows: NDArray[np.intp],
    pixels: NDArray[np.uint8],
    held: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]],
) -> CropStore:
    """The store of a table, from the shape, corner and scale of each cutout in `pixels`.

    `rows`, int[M], has the row of each cutout; -1 if the table lacks that row.
    """
    area = held[0].astype(np.int64).prod(axis=1)
    mine = rows >= 0
    start, shape, corner, scale = (np.zeros((len(table), *values.shape[1:]), values.dtype) for values in (area, *held))
    for spread, values in ((start, np.cumsum(area) - area), *zip((shape, corner, scale), held, strict=True)):
        spread[rows[mine]] = values[mine]
    return CropStore(table, pixels, start, shape, corner, scale)


def write(store: CropStore, path: Path) -> None:
    """Write a store; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written; a file that was there stays as it was.
    """
    rows = np.flatnonzero(store.held)
    with whole(path) as partial, partial.open("wb") as file:  # np.savez would add its own suffix to the name
        np.savez(
            file,
            version=np.array(VERSION),
            ids=store.table.ids[rows],
            landmarks=_checksums(store.table, rows),
            shape=store.shape[rows],
            corner=store.corner[rows],
            scale=store.scale[rows],
            pixels=np.concatenate([np.zeros(0, np.uint8), *(store.cutout(row).ravel() for row in rows.tolist())]),
        )


def read(path: Path, table: Table) -> CropStore:
    """Read the store of a table, or of a larger table from which these rows were taken.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it is damaged or of another version, it lacks a face of the table, or a face has other landmarks.
    """
    stored = _stored(path)
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    rows = np.array([row_of.get(name, -1) for name in stored["ids"].tolist()], np.intp)
    store = _laid_out(table, rows, stored["pixels"], (stored["shape"], stored["corner"], stored["scale"]))
    missing = int((table.found & ~store.held).sum())
    if missing:
        raise DataError(
            f"{path}: lacks {missing:,} of the {int(table.found.sum()):,} faces of the table; {REMAKE} {path}"
        )
    mine = rows >= 0
    altered = int((_checksums(table, rows[mine]) != stored["landmarks"][mine]).sum())
    if altered:
        raise DataError(f"{path}: {altered:,} faces of the table have other landmarks; {REMAKE} {path}")
    return store


def _stored(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, checked."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            stored = dict(data)
        version = int(stored["version"])
        if version == VERSION:
            _check(stored)
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror or error}; {REMAKE} {path}") from error
    except Exception as error:
        # A damaged zip raises from deep inside zipfile, zlib or NumPy.
        raise DataError(f"{path}: not a complete crop store ({error}); {REMAKE} {path}") from error
    if version != VERSION:
        raise DataError(f"{path}: a store of version {version}, not {VERSION}; {REMAKE} {path}")
    return stored


def _check(stored: dict[str, NDArray[Any]]) -> None:
    shape, count = stored["shape"], (len(stored["ids"]),)
    wanted = {
        "landmarks": ("uint32", count),
        "shape": ("int32", (*count, 2)),
        "corner": ("int32", (*count, 2)),
        "scale": ("float32", count),
        "pixels": ("uint8", (int(shape.astype(np.int64).prod(axis=1).sum()),)),
    }
    for name, described in wanted.items():
        if (stored[name].dtype.name, stored[name].shape) != described:
            raise ValueError(f"{name} has another type or length than the rest")
    if (shape < 1).any():
        raise ValueError("a cutout has no pixels")


def _checksums(table: Table, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
    """Checksums of the landmarks of some rows, uint32[M]."""
    return np.array([zlib.crc32(table.landmarks[row].tobytes()) for row in rows.tolist()], np.uint32)
