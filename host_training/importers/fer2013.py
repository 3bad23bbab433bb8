"""FER2013 (Goodfellow et al. 2013), with the votes of FER+ (Barsoum et al. 2016) if they are given.

FER2013 has 35,887 grey faces of 48x48 px with one label each; FER+ has ten people's votes for each, in the same order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from host_training.data.keypoints import TEST, TRAIN, VALIDATION
from host_training.data.labels import VOTE_COLUMNS
from host_training.data.source import ImageFile, Pixels, Row, Source
from host_training.errors import SourceError
from host_training.importers import csv_rows
from host_training.importers.layout import MISSING, SPLIT_FOLDERS, Listing, first_of, pictures, unknown_layout
from host_training.words import joined

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from host_training.data.source import Options

SUMMARY = "FER2013: fer2013.csv (with --ferplus fer2013new.csv for FER+), an npz with both, or its folders of pictures"
OPTIONS = frozenset({"ferplus"})
LAYOUTS = (
    "fer2013.csv with the columns emotion, pixels and Usage",
    "an npz with the arrays images, label, classes, usage, ferplus_votes and ferplus_columns",
    "a folder with train/angry/Training_1.jpg and so on",
    "a folder with FER2013Train/label.csv and so on, as FERPlus makes it",
)

CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Meanings of 0 to 6 in `fer2013.csv`."""
NAMES = dict(zip(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), CODES, strict=True))
"""Names of folders, and of classes in the npz, and their labels."""
USAGES = {"Training": TRAIN, "PublicTest": VALIDATION, "PrivateTest": TEST}
FERPLUS_FOLDERS = {"FER2013Train": TRAIN, "FER2013Valid": VALIDATION, "FER2013Test": TEST}
FERPLUS_HEADER = ("Image name", "box", *VOTE_COLUMNS)
"""Columns of `label.csv`, which has no header; the box is always the whole picture."""
NPZ_ARRAYS = ("images", "label", "classes", "usage", "ferplus_votes", "ferplus_columns")
NPZ_MARKS = ("pixel_source", "label_ambiguous")
"""Optional arrays: not 0 if the picture is not the original one; true if its label is uncertain."""


def load(path: Path, options: Options) -> Source:
    """Read the data set in any of `LAYOUTS`.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in its layout, or the two files do not belong together.
        UsageError: votes are given with a layout that has its own, or cannot have any.
    """
    if options.ferplus is not None and (path.is_dir() or path.suffix == ".npz"):
        raise UsageError(f"--ferplus goes with fer2013.csv; leave it out for {path}")
    if path.suffix == ".npz" and path.is_file():
        return _from_npz(path)
    if path.is_file():
        return _from_csv(path, options)
    if first_of(path, *FERPLUS_FOLDERS):
        return _from_ferplus_folders(path)
    return _from_folders(path)


def _from_csv(path: Path, options: Options) -> Source:
    needed = "Usage" if options.ferplus is not None or not options.split else ""
    if needed and needed not in csv_rows.header(path):
        hint = "FER+ needs it" if options.ferplus else "say which split its rows are for, as in --split train"
        raise SourceError(f"{path}: lacks the column Usage; {hint}")
    rows: list[Row] = []
    usages = []
    for line, label, pixels, cells in csv_rows.faces(path, CODES, (needed,) if needed else ()):
        split = _split(cells[needed], f"{path}, line {line}") if needed else options.split
        rows.append(Row(str(len(rows)), pixels, label, split=split))
        usages.append(cells.get(needed, ""))
    if options.ferplus is not None:
        votes = _votes_from_csv(options.ferplus, usages)
        rows = [
            Row(row.source, row.picture, row.label, of_row, split=row.split)
            for row, of_row in zip(rows, votes, strict=True)
        ]
    return Source("fer2013", rows)


def _votes_from_csv(path: Path, usages: list[str]) -> list[tuple[int, ...]]:
    votes, theirs = [], []
    for line, cells in csv_rows.rows(path, ("Usage", *VOTE_COLUMNS)):
        votes.append(_votes(cells, f"{path}, line {line}"))
        theirs.append(cells["Usage"])
    if theirs != usages:
        raise SourceError(
            f"{path}: its {len(theirs)} rows do not match the {len(usages)} pictures in number or Usage; give both "
            "files as published"
        )
    return votes


def _votes(cells: dict[str, str], place: str) -> tuple[int, ...]:
    try:
        return tuple(np.array([cells[name] for name in VOTE_COLUMNS], np.uint8).tolist())
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{place}: votes are not numbers ({error})") from error


def _split(usage: str, place: str) -> str:
    if usage not in USAGES:
        raise SourceError(f"{place}: unknown Usage {usage!r}; it must be {joined(USAGES, 'or')}")
    return USAGES[usage]


def _from_npz(path: Path) -> Source:
    data = _arrays(path)
    labels = [NAMES.get(name.lower()) for name in data["classes"].astype(str).tolist()]
    codes = data["label"]
    if None in labels or not ((codes >= 0) & (codes < len(labels))).all():
        raise SourceError(f"{path}: label and classes do not name FER2013's {', '.join(NAMES)}")
    source = Source("fer2013", [])
    for index, (image, label, usage, votes, other, uncertain) in enumerate(
        zip(
            data["images"],
            codes.tolist(),
            data["usage"].astype(str).tolist(),
            data["ferplus_votes"].tolist(),
            (data["pixel_source"] != 0).tolist(),
            (data["label_ambiguous"] != 0).tolist(),
            strict=True,
        )
    ):
        split = _split(usage, f"{path}, row {index}")
        if other:
            source.dropped["the picture is not the original one"] += 1
        else:
            own = None if uncertain else labels[label]
            source.rows.append(Row(str(index), Pixels(image), own, tuple(votes), split=split))
    return source


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in (*NPZ_ARRAYS, *NPZ_MARKS) if name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:
        # A damaged zip raises from deep inside zipfile, zlib or NumPy.
        raise SourceError(f"{path}: not a complete npz file ({error or type(error).__name__})") from error
    missing = [name for name in NPZ_ARRAYS if name not in data]
    if missing:
        raise SourceError(f"{path}: lacks the arrays {', '.join(missing)}")
    images, columns, count = data["images"], data["ferplus_columns"].astype(str).tolist(), len(data["images"])
    side = csv_rows.SIDE
    if images.shape != (count, side, side) or images.dtype != np.uint8:
        raise SourceError(f"{path}: images is {images.dtype}{list(images.shape)}, not uint8[N, {side}, {side}]")
    if tuple(columns) != VOTE_COLUMNS:
        raise SourceError(f"{path}: ferplus_columns is {', '.join(columns)}, not {', '.join(VOTE_COLUMNS)}")
    for name in NPZ_MARKS:
        data.setdefault(name, np.zeros(count, np.bool_))
    flat = {name: data[name].shape == (count,) for name in ("label", "usage", *NPZ_MARKS)}
    if not all(flat.values()) or data["ferplus_votes"].shape != (count, len(VOTE_COLUMNS)):
        raise SourceError(f"{path}: its arrays have different numbers of rows")
    if any(data[name].dtype.kind not in "ui" for name in ("label", "ferplus_votes")):
        raise SourceError(f"{path}: label and ferplus_votes must be integers")
    return data


def _from_folders(path: Path) -> Source:
    source = Source("fer2013", [])
    prefix = re.compile(f"({'|'.join(USAGES)})_")
    for file, folders in pictures(path, source.dropped):
        label = NAMES.get(folders[-1].lower()) if folders else None
        # The file's name takes precedence: Kaggle's test/ holds both PublicTest and PrivateTest.
        named = prefix.match(file.name)
        above = (SPLIT_FOLDERS[name.lower()] for name in reversed(folders[:-1]) if name.lower() in SPLIT_FOLDERS)
        split = USAGES[named[1]] if named else next(above, None)
        if label is None:
            source.dropped[f"the folder {folders[-1] if folders else path.name!r} is not {joined(NAMES, 'or')}"] += 1
        elif split is None:
            source.dropped["neither the file's name nor a folder names its split"] += 1
        else:
            source.rows.append(Row(file.relative_to(path).as_posix(), ImageFile(file), label, split=split))
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    return source


def _from_ferplus_folders(path: Path) -> Source:
    source, there = Source("fer2013", []), Listing()
    for folder, split in FERPLUS_FOLDERS.items():
        if not (path / folder).is_dir():
            source.notes.append(f"{folder} is missing, so there are no rows for {split}")
            continue
        labels = path / folder / "label.csv"
        for line, cells in csv_rows.rows(labels, ("Image name", *VOTE_COLUMNS), FERPLUS_HEADER):
            file = path / folder / cells["Image name"]
            votes = _votes(cells, f"{labels}, line {line}")
            if file in there:
                source.rows.append(Row(f"{folder}/{file.name}", ImageFile(file), votes=votes, split=split))
            else:
                source.dropped[MISSING] += 1
    return source
