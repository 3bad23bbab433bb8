"""FER2013 with FER+'s votes -> rows to be measured.

FER2013 (Goodfellow et al. 2013): 35,887 grey faces of 48x48 px, distributed as `fer2013.csv` with the columns
`emotion,pixels,Usage`. FER+ (Barsoum et al. 2016): ten people's votes for each of them, in the same order, as
`fer2013new.csv`. Both in one file: an npz with the arrays `images`, `usage`, `ferplus_votes`,
`ferplus_columns` and, where some pictures are not the original ones, `pixel_source` (0: original).
"""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge.errors import NoInputError, UsageError
from host_training.errors import SourceError
from host_training.extract import Source
from host_training.keypoints import TEST, TRAIN, VALIDATION
from host_training.votes import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 48
"""px."""
USAGES = {"Training": TRAIN, "PublicTest": VALIDATION, "PrivateTest": TEST}
NPZ_ARRAYS = ("images", "usage", "ferplus_votes", "ferplus_columns", "pixel_source")
"""The last may be missing."""
CSV_COLUMNS = ("pixels", "Usage")
FERPLUS_COLUMNS = ("Usage", *COLUMNS)


def load(path: Path, ferplus: Path | None) -> Source:
    """Read the data set, and keep its splits disjoint.

    Args:
        path: `fer2013.csv`, or an npz that holds the votes too.
        ferplus: `fer2013new.csv`, for a csv only.

    Raises:
        NoInputError: a file cannot be read.
        SourceError: a file is not in its layout, or the two do not belong together.
        UsageError: votes are missing, or given twice.
    """
    for file in (path, ferplus):
        if file is not None and not file.is_file():
            raise NoInputError(f"{file}: {os.strerror(errno.ENOENT)}")
    if path.suffix == ".npz":
        if ferplus is not None:
            raise UsageError(f"{path} carries its own votes: leave --ferplus out")
        images, usage, votes, original = _from_npz(path)
    else:
        if ferplus is None:
            raise UsageError(
                f"{path} has one opinion a face, and training wants ten: give FER+'s votes with "
                "--ferplus fer2013new.csv (github.com/microsoft/FERPlus)"
            )
        images, usage = _from_csv(path)
        votes = _votes_from_csv(ferplus, usage)
        original = np.ones(len(images), np.bool_)
    return _disjoint(images, usage, votes, original)


def duplicate_groups(images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """int32[N]: -1, or the number of the group of byte-equal pictures, uint8[N, H, W], that a row is of."""
    digests = np.array([hashlib.sha256(image.tobytes()).digest() for image in images])
    _, first, inverse, count = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    # A group is named after its first row, so that the numbers do not depend on the hash.
    return np.where(count[inverse] > 1, first[inverse], -1).astype(np.int32)


def _disjoint(
    images: NDArray[np.uint8], usage: NDArray[np.str_], votes: NDArray[np.uint8], original: NDArray[np.bool_]
) -> Source:
    """Leave out what would let a picture stand on two sides: the test keeps its rows, training gives way."""
    split = np.array([USAGES[name] for name in usage.tolist()])
    group = duplicate_groups(images)
    named = group >= 0
    in_test = named & np.isin(group, group[split == TEST])
    in_validation = named & np.isin(group, group[split == VALIDATION])
    reasons = {
        "the picture is not the original one": ~original,
        "the picture also stands in validation or test": original
        & (((split == TRAIN) & (in_validation | in_test)) | ((split == VALIDATION) & in_test)),
    }
    keep = ~np.any(list(reasons.values()), axis=0)
    return Source(
        name="fer2013",
        pictures=images[keep],
        votes=votes[keep],
        split=split[keep],
        group=group[keep],
        row=np.flatnonzero(keep).astype(np.int32),
        dropped={reason: int(rows.sum()) for reason, rows in reasons.items()},
    )


def _from_npz(
    path: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.str_], NDArray[np.uint8], NDArray[np.bool_]]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in NPZ_ARRAYS if name in data.files}
    except FileNotFoundError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except Exception as error:
        # A damaged zip raises from deep inside zipfile, zlib or NumPy.
        raise SourceError(f"{path}: not a whole npz file ({error or type(error).__name__})") from error
    missing = [name for name in NPZ_ARRAYS[:-1] if name not in arrays]
    if missing:
        raise SourceError(f"{path}: lacks the arrays {', '.join(missing)}")
    images, usage, votes, columns = (arrays[name] for name in NPZ_ARRAYS[:-1])
    columns = tuple(columns.tolist())
    rows = len(images)
    original = arrays["pixel_source"] == 0 if "pixel_source" in arrays else np.ones(rows, np.bool_)
    if images.shape != (rows, SIDE, SIDE) or images.dtype != np.uint8:
        raise SourceError(f"{path}: images is {images.dtype}{list(images.shape)}, not uint8[N, {SIDE}, {SIDE}]")
    if columns != COLUMNS:
        raise SourceError(f"{path}: ferplus_columns is {', '.join(map(str, columns))}, not {', '.join(COLUMNS)}")
    if votes.shape != (rows, len(COLUMNS)) or usage.shape != (rows,) or original.shape != (rows,):
        raise SourceError(f"{path}: its arrays have different numbers of rows")
    _check_usage(path, usage)
    return images, usage, votes.astype(np.uint8), original


def _from_csv(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    csv.field_size_limit(sys.maxsize)
    images, usage = [], []
    for line, row in _rows(path, CSV_COLUMNS):
        try:
            image = np.array(row["pixels"].split(), np.int16)
        except (ValueError, OverflowError) as error:
            raise SourceError(f"{path}, line {line}: pixels are no numbers ({error})") from error
        if image.size != SIDE * SIDE or int(np.min(image)) < 0 or int(np.max(image)) > np.iinfo(np.uint8).max:
            raise SourceError(f"{path}, line {line}: {image.size} pixels where {SIDE}x{SIDE} from 0 to 255 belong")
        images.append(image.astype(np.uint8).reshape(SIDE, SIDE))
        usage.append(row["Usage"])
    names = np.array(usage, np.str_)
    _check_usage(path, names)
    return np.stack(images), names


def _votes_from_csv(path: Path, usage: NDArray[np.str_]) -> NDArray[np.uint8]:
    votes, theirs = [], []
    for line, row in _rows(path, FERPLUS_COLUMNS):
        try:
            votes.append(np.array([row[name] for name in COLUMNS], np.uint8))
        except (ValueError, OverflowError) as error:
            raise SourceError(f"{path}, line {line}: votes are no numbers ({error})") from error
        theirs.append(row["Usage"])
    if theirs != usage.tolist():
        raise SourceError(
            f"{path}: its {len(theirs)} rows are not those of the {len(usage)} pictures, in number or in Usage; "
            "take both files as published"
        )
    return np.stack(votes)


def _rows(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a csv file with their line numbers; names and values without the blanks around them."""
    some = False
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in wanted if name not in header]
            if missing:
                raise SourceError(f"{path}: lacks the columns {', '.join(missing)} (it has {', '.join(header)})")
            for cells in tqdm(reader, desc=f"reading {path.name}", unit=" rows", leave=False):
                if len(cells) != len(header):
                    raise SourceError(f"{path}, line {reader.line_num}: {len(cells)} cells instead of {len(header)}")
                row = dict(zip(header, map(str.strip, cells), strict=True))
                some = True
                yield reader.line_num, {name: row[name] for name in wanted}
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a csv file ({error})") from error
    if not some:
        raise SourceError(f"{path}: has no rows")


def _check_usage(path: Path, usage: NDArray[np.str_]) -> None:
    unknown = sorted(set(usage.tolist()) - USAGES.keys())
    if unknown:
        raise SourceError(f"{path}: Usage {unknown[0]!r} is none of {', '.join(USAGES)}")
