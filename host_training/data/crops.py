"""The local store of face pictures, for what learns from pixels: a grey cut round each face of a keypoint table.

A keypoint table holds no pixel and may be published; a store may not. Its name ends in `SUFFIX`, which git is told to
leave out. It goes with its table by the rows' ids, and by a checksum of each row's landmarks.
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
from host_training.data.extract import fingerprint
from host_training.errors import SourceError
from host_training.output import whole
from host_training.threads import fan_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

VERSION = 1
"""Rises when a store holds something else than before."""
SUFFIX = ".crops.npz"
AROUND = 1.8
"""Side of a cut in sides of an upright crop: 40 % more to each side, and enough for a crop that is turned."""
FINEST = 96
"""px of a crop's side, twice what networks see; a finer picture is scaled down to that."""
ADVICE = "make the store again: emotion-train crop --table TABLE --pictures NAME:PATH --out"
"""What to do about one that cannot be used; its path goes behind."""


@dataclass(frozen=True, slots=True)
class CropStore:
    """The pictures of a table's faces, by row of that table."""

    table: Table
    """The N rows."""
    pixels: NDArray[np.uint8]
    """uint8[P]: the cuts one after another, each row by row, grey."""
    start: NDArray[np.int64]
    """int64[N]: where a row's cut begins in `pixels`."""
    shape: NDArray[np.int32]
    """int32[N, 2]: height and width of the cut, px; 0 where there is no face, or no picture of it."""
    corner: NDArray[np.int32]
    """int32[N, 2]: x and y of the cut's first px in the picture."""
    scale: NDArray[np.float32]
    """float32[N]: px of the cut for each px of the picture; at most 1."""

    def __len__(self) -> int:
        """Number of rows, those without a picture among them."""
        return len(self.table)

    @property
    def held(self) -> NDArray[np.bool_]:
        """bool[N]: whether there is a picture of the row's face."""
        return np.asarray(self.shape.all(axis=1))

    def cutout(self, row: int) -> NDArray[np.uint8]:
        """uint8[h, w], grey: the cut of a row, not a copy; uint8[0, 0] where there is none."""
        height, width = self.shape[row].tolist()
        start = int(self.start[row])
        return self.pixels[start : start + height * width].reshape(height, width)

    def landmarks(self, row: int) -> NDArray[np.float32]:
        """float32[478, 3]: the table's landmarks, in px of the cut."""
        points: NDArray[np.float32] = self.table.landmarks[row].copy()
        points[:, :2] -= self.corner[row]
        scale = self.scale[row]
        points *= scale
        points[:, :2] += (scale - 1) / 2  # whole numbers are the centres of px, and those move too
        return points


def path_of(table: Path) -> Path:
    """Where the store of a table lies unless another place is given: in `build`, called after the table."""
    return Path("build") / f"{table.stem}{SUFFIX}"


def build(table: Table, pictures: Mapping[int, Pixels | ImageFile]) -> CropStore:
    """Cut the faces out of their pictures, on every core.

    Args:
        table: the rows as `parquet.read` gives them: decisions about a table change its groups.
        pictures: of rows of the table, as from `pictures.pictures_of`.

    Raises:
        EdgeError: a picture cannot be read.
        SourceError: a picture is another than the one that was measured, or no face has a picture.
    """
    rows = np.array([row for row in np.flatnonzero(table.found).tolist() if row in pictures], np.intp)
    if not len(rows):
        raise SourceError("no face of the table has a picture here; give the data sets it was made of (--pictures)")
    ids = table.ids
    jobs = ((str(ids[row]), pictures[row], table.group[row], table.landmarks[row]) for row in rows.tolist())
    done = fan_out(_cut, jobs, label="cutting faces out", unit=" faces")
    shape = np.array([cut.shape for cut, _, _ in done], np.int32).reshape(-1, 2)
    corner = np.array([corner for _, corner, _ in done], np.int32).reshape(-1, 2)
    scale = np.array([scale for _, _, scale in done], np.float32)
    pixels = np.concatenate([np.zeros(0, np.uint8), *(cut.ravel() for cut, _, _ in done)])
    return _laid_out(table, rows, pixels, (shape, corner, scale))


def _cut(
    name: str, picture: Pixels | ImageFile, group: np.int64, landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], tuple[int, int], float]:
    """The cut, uint8[h, w]; its corner, x and y in px of the picture; its px for each px of the picture."""
    rgb = picture.load()
    if fingerprint(rgb) != group:
        raise SourceError(f"{name}: another picture than the one that was measured; give those the table was made of")
    points = landmarks[POINTS].astype(np.float64)
    centre = points.mean(axis=0)
    side = max(math.sqrt(float(((points - centre) ** 2).sum()) / len(POINTS)) / RADIUS, 1.0)
    size = np.array(rgb.shape[1::-1])
    low = np.floor(centre[:2] - AROUND / 2 * side).clip(0, size - 1).astype(int)
    high = np.ceil(centre[:2] + AROUND / 2 * side).astype(int).clip(low + 1, size)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    cut = cv2.cvtColor(np.ascontiguousarray(rgb[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    scale = min(1.0, FINEST / side)
    if scale < 1:
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.uint8), (left, top), scale


def _laid_out(
    table: Table,
    rows: NDArray[np.intp],
    pixels: NDArray[np.uint8],
    held: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]],
) -> CropStore:
    """Shape, corner and scale of the cuts in `pixels`, in their order, spread over the table's rows.

    `rows`, int[M], has the row of each cut, or -1 where the table has none.
    """
    area = held[0].astype(np.int64).prod(axis=1)
    mine = rows >= 0
    start, shape, corner, scale = (np.zeros((len(table), *values.shape[1:]), values.dtype) for values in (area, *held))
    for spread, values in ((start, np.cumsum(area) - area), *zip((shape, corner, scale), held, strict=True)):
        spread[rows[mine]] = values[mine]
    return CropStore(table, pixels, start, shape, corner, scale)


def write(store: CropStore, path: Path) -> None:
    """Write a store; it appears whole or not at all.

    Raises:
        OutputError: it cannot be written; what was there is still there.
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
    """Read the store of a table, or of one that these rows were taken from.

    Raises:
        NoInputError: there is no such file.
        DataError: it is damaged, of another version, lacks a face of the table, or was cut by other landmarks.
    """
    stored = _stored(path)
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    rows = np.array([row_of.get(name, -1) for name in stored["ids"].tolist()], np.intp)
    store = _laid_out(table, rows, stored["pixels"], (stored["shape"], stored["corner"], stored["scale"]))
    missing = int((table.found & ~store.held).sum())
    if missing:
        raise DataError(
            f"{path}: lacks {missing:,} of the {int(table.found.sum()):,} faces of the table; {ADVICE} {path}"
        )
    mine = rows >= 0
    altered = int((_checksums(table, rows[mine]) != stored["landmarks"][mine]).sum())
    if altered:
        raise DataError(f"{path}: {altered:,} faces of the table have other landmarks than these; {ADVICE} {path}")
    return store


def _stored(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, once they are as `write` leaves them."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            stored = dict(data)
        version = int(stored["version"])
        if version == VERSION:
            _check(stored)
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror or error}; {ADVICE} {path}") from error
    except Exception as error:
        # A damaged zip raises from deep inside zipfile, zlib or NumPy.
        raise DataError(f"{path}: not a whole store of faces ({error}); {ADVICE} {path}") from error
    if version != VERSION:
        raise DataError(f"{path}: a store of version {version}, and this is for {VERSION}; {ADVICE} {path}")
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
            raise ValueError(f"its {name} do not fit the rest")
    if (shape < 1).any():
        raise ValueError("it has a picture without px")


def _checksums(table: Table, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
    """uint32[M]: of the landmarks of some rows."""
    return np.array([zlib.crc32(table.landmarks[row].tobytes()) for row in rows.tolist()], np.uint32)
