"""RAF-DB, real-world affective faces (Li et al. 2017), the single-label part: 15,339 pictures in train and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from host_training.data.keypoints import TEST
from host_training.data.source import ImageFile, Row, Source
from host_training.errors import SourceError
from host_training.importers.layout import MISSING, Listing, first_of, held_out, pictures, unknown_layout, widened

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "RAF-DB: the folder basic with EmoLabel and Image, or the folder DATASET with train/1 to test/7"
OPTIONS: frozenset[str] = frozenset()
LAYOUTS = (
    "the folder basic with EmoLabel/list_patition_label.txt and Image/aligned or Image/original",
    "the folder DATASET with train/1/train_00001_aligned.jpg and so on",
)
LIST = "EmoLabel/list_patition_label.txt"
"""List of labels; the spelling is the data set's own."""

CODES = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}
VALIDATION_SHARE = 0.1
"""Share of the training rows that is held out for validation: the data set has no such split."""


def load(path: Path, _options: Options) -> Source:
    """Read the data set in any of `LAYOUTS`.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in its layout.
    """
    base = next((folder for folder in (path, path / "basic") if (folder / LIST).is_file()), None)
    return _from_folders(first_of(path, "DATASET") or path) if base is None else _from_list(base)


def _from_list(path: Path) -> Source:
    source, there = Source("rafdb", []), Listing()
    try:
        lines = (path / LIST).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path / LIST}: not a text file ({error})") from error
    for number, line in enumerate(tqdm(lines, desc="reading RAF-DB", unit=" rows", leave=False), 1):
        name, _, code = line.strip().partition(" ")
        if code.strip() not in CODES or not name.startswith(("train_", "test_")):
            raise SourceError(f"{path / LIST}, line {number}: {line.strip()!r} is not like 'train_00001.jpg 5'")
        picture = _picture(path, name, there)
        if picture is None:
            source.dropped[MISSING] += 1
        else:
            source.rows.append(Row(name, picture, CODES[code.strip()], split=_split(name)))
    return source


def _picture(path: Path, name: str, there: Listing) -> ImageFile | None:
    """The aligned picture, 100x100 px; or else the original, with the box of the face if the data set has one."""
    stem, _, suffix = name.rpartition(".")
    aligned, original = path / "Image/aligned" / f"{stem}_aligned.{suffix}", path / "Image/original" / name
    if aligned in there:
        return ImageFile(aligned)
    if original not in there:
        return None
    boxes = path / "Annotation/boundingbox" / f"{stem}_boundingbox.txt"
    if boxes not in there:
        return ImageFile(original)
    try:
        left, top, right, bottom = (round(float(value)) for value in boxes.read_text("utf-8-sig").split())
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{boxes}: not the four numbers of a box") from error
    return ImageFile(original, widened(left, top, right - left, bottom - top))


def _from_folders(path: Path) -> Source:
    source = Source("rafdb", [])
    for file, folders in pictures(path, source.dropped):
        split, code = folders[-2:] if len(folders) > 1 else ("", "")
        if split not in ("train", "test") or code not in CODES:
            source.dropped["the picture is not in a folder like train/1"] += 1
        else:
            # The name in the list, so that both layouts hold out the same rows.
            name = f"{file.stem.removesuffix('_aligned')}{file.suffix}"
            label = CODES[code]
            place = file.relative_to(path).as_posix()
            source.rows.append(Row(place, ImageFile(file), label, split=TEST if split == "test" else _split(name)))
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    return source


def _split(name: str) -> str:
    return TEST if name.startswith("test") else held_out(name, VALIDATION_SHARE)
