"""Reading of csv files row by row, and of the faces that some data sets store in them."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from host_training.data.source import Pixels
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SIDE = 48
"""Side of the faces in px, in `fer2013.csv` and files that copy its layout."""


def cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a csv file that are not empty, with their numbers, the cells stripped of blanks.

    Raises:
        OSError: the file cannot be read.
        SourceError: it is not a csv file, or has no rows.
    """
    csv.field_size_limit(sys.maxsize)  # the pixels of one face exceed the default
    some = False
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for line in tqdm(reader, desc=f"reading {path.name}", unit=" rows", leave=False):
                if line:
                    some = True
                    yield reader.line_num, [cell.strip() for cell in line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a csv file ({error})") from error
    if not some:
        raise SourceError(f"{path}: has no rows")


def header(path: Path) -> list[str]:
    """The names of the columns of a csv file, its first line.

    Raises:
        OSError, SourceError: see `cells`.
    """
    return next(cells(path))[1]


def rows(
    path: Path, wanted: Sequence[str], header: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a csv file with their line numbers.

    Args:
        path: the file.
        wanted: the columns that are needed.
        header: the names of all columns, for a file without a header.

    Raises:
        OSError: the file cannot be read.
        SourceError: it is not a csv file, has no rows, lacks a column, or a row has more or fewer cells than columns.
    """
    lines = cells(path)
    names = list(header or next(lines)[1])
    missing = [name for name in wanted if name not in names]
    if missing:
        raise SourceError(f"{path}: lacks the columns {', '.join(missing)} (it has {_shortened(', '.join(names))})")
    place = {name: names.index(name) for name in wanted}
    some = False
    for line, values in lines:
        if len(values) != len(names):
            raise SourceError(f"{path}, line {line}: {len(values)} cells instead of {len(names)}")
        some = True
        yield line, {name: values[index] for name, index in place.items()}
    if not some:
        raise SourceError(f"{path}: has no rows")


def faces(
    path: Path, labels: Sequence[str], columns: Sequence[str] = ()
) -> Iterator[tuple[int, str, Pixels, dict[str, str]]]:
    """Yield the faces of a csv file in the layout of `fer2013.csv`: a code, and 48x48 grey values as decimal text.

    Args:
        path: a file with the columns `emotion` and `pixels`.
        labels: meanings of the codes 0, 1, 2, ...
        columns: further columns that are needed.

    Yields:
        The line, the label, the face, and the row.

    Raises:
        OSError: the file cannot be read.
        SourceError: it is not in this layout.
    """
    codes = {str(code): label for code, label in enumerate(labels)}
    for line, row in rows(path, ("emotion", "pixels", *columns)):
        if row["emotion"] not in codes:
            raise SourceError(
                f"{path}, line {line}: emotion {row['emotion']!r} is not a code from 0 to {len(codes) - 1}"
            )
        try:
            values = bytes(map(int, row["pixels"].split()))
        except ValueError as error:
            raise SourceError(f"{path}, line {line}: pixels are not numbers from 0 to 255 ({error})") from error
        if len(values) != SIDE * SIDE:
            raise SourceError(f"{path}, line {line}: {len(values)} pixels instead of {SIDE}x{SIDE}")
        yield line, codes[row["emotion"]], Pixels(np.frombuffer(values, np.uint8).reshape(SIDE, SIDE)), row


def _shortened(text: str) -> str:
    """Text cut to 200 characters: the first line of another kind of file may be long."""
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - what fits into two lines of a terminal
