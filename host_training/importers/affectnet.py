"""AffectNet (Mollahosseini et al. 2017), the manually annotated part: about 290,000 faces with an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from host_training.data.keypoints import TEST, TRAIN
from host_training.data.source import ImageFile, Row, Source
from host_training.errors import SourceError
from host_training.importers import csv_rows
from host_training.importers.layout import MISSING, Listing, first_of, held_out, pictures, unknown_layout, widened

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "AffectNet: the folder with training.csv and Manually_Annotated_Images, or that with train_set and val_set"
OPTIONS: frozenset[str] = frozenset()
LAYOUTS = (
    "the folder with training.csv and validation.csv (or Manually_Annotated_file_lists) and Manually_Annotated_Images",
    "the folder with train_set and val_set, each with images/0.jpg and annotations/0_exp.npy",
)

CODES = {
    "0": "neutral",
    "1": "happiness",
    "2": "sadness",
    "3": "surprise",
    "4": "fear",
    "5": "disgust",
    "6": "anger",
    "7": "contempt",
}
NO_EXPRESSION = {"8": "none", "9": "uncertain", "10": "no face"}
LISTS = {"training.csv": TRAIN, "validation.csv": TEST}
"""Lists and their splits. The test set was never published, so everyone judges on the published validation set."""
SETS = {"train_set": TRAIN, "val_set": TEST}
BOX = ("face_x", "face_y", "face_width", "face_height")
VALIDATION_SHARE = 0.05
"""Share of the training rows that is held out for validation. Who is in a picture is unknown."""


def load(path: Path, _options: Options) -> Source:
    """Read the data set in any of `LAYOUTS`.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in its layout.
    """
    source = Source("affectnet", [])
    lists = next(
        (
            folder
            for folder in (path, path / "Manually_Annotated_file_lists")
            if any((folder / name).is_file() for name in LISTS)
        ),
        None,
    )
    images = first_of(path, "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
    if lists is not None and images is not None:
        for name, split in LISTS.items():
            if (lists / name).is_file():
                _add_listed(source, lists / name, images, split)
            else:
                source.notes.append(f"{name} is missing, so there are no rows for {split}")
    elif first_of(path, *SETS):
        for name, split in SETS.items():
            if (path / name).is_dir():
                _add_annotated(source, path, name, split)
            else:
                source.notes.append(f"{name} is missing, so there are no rows for {split}")
    else:
        raise unknown_layout(path, LAYOUTS)
    return source


def _add_listed(source: Source, path: Path, images: Path, split: str) -> None:
    there = Listing()
    for line, cells in csv_rows.rows(path, ("subDirectory_filePath", "expression", *BOX)):
        place = cells["subDirectory_filePath"]
        label = _label(source, cells["expression"], f"{path}, line {line}")
        if label is None:
            continue
        if (file := images / place) in there:
            picture = ImageFile(file, _box([cells[name] for name in BOX], f"{path}, line {line}"))
            source.rows.append(Row(place, picture, label, split=_split(split, place)))
        else:
            source.dropped[MISSING] += 1


def _add_annotated(source: Source, path: Path, name: str, split: str) -> None:
    there = Listing()
    for file, _ in pictures(path / name / "images", source.dropped):
        annotation = path / name / "annotations" / f"{file.stem}_exp.npy"
        if annotation not in there:
            source.dropped["the picture has no annotation of its expression"] += 1
            continue
        try:
            code = str(np.load(annotation, allow_pickle=False)[()])
        except (ValueError, EOFError) as error:
            raise SourceError(f"{annotation}: not a complete npy file ({error})") from error
        label = _label(source, code, str(annotation))
        if label is not None:
            place = file.relative_to(path).as_posix()
            source.rows.append(Row(place, ImageFile(file), label, split=_split(split, place)))


def _label(source: Source, code: str, place: str) -> str | None:
    if code in NO_EXPRESSION:
        source.dropped[f"its annotation is {NO_EXPRESSION[code]!r}"] += 1
        return None
    if code not in CODES:
        raise SourceError(f"{place}: expression {code!r} is not a code from 0 to {len(CODES) + len(NO_EXPRESSION) - 1}")
    return CODES[code]


def _box(values: list[str], place: str) -> tuple[int, int, int, int] | None:
    """The box of the face with a margin, in px; None if the list has no box."""
    if "NULL" in values:
        return None
    try:
        x, y, width, height = (int(float(value)) for value in values)
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{place}: its box is not four numbers ({', '.join(values)})") from error
    return widened(x, y, width, height) if width > 0 and height > 0 else None


def _split(split: str, place: str) -> str:
    return held_out(place, VALIDATION_SHARE) if split == TRAIN else split
