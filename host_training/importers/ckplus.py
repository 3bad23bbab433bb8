"""CK+, the extended Cohn-Kanade set (Lucey et al. 2010): 593 sequences from a neutral face to a peak.

327 of them have an emotion label, which is that of the last frame. The versions in 48x48 px that circulate have the
last three frames of those (CK+48), or their last frame and the first frames of all sequences as neutral faces
(ckextended.csv).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from host_training.data.keypoints import TRAIN
from host_training.data.source import ImageFile, Row, Source
from host_training.errors import SourceError
from host_training.importers import csv_rows
from host_training.importers.layout import first_of, pictures, unknown_layout
from host_training.words import joined

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "CK+: the folder with cohn-kanade-images and Emotion, the folder CK+48, or ckextended.csv"
OPTIONS: frozenset[str] = frozenset()
LAYOUTS = (
    "the folder with cohn-kanade-images/S005/001/S005_001_00000001.png and Emotion/S005/001/*_emotion.txt",
    "the folder CK+48 with anger/S010_004_00000017.png",
    "ckextended.csv with the columns emotion and pixels",
)

CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""Meanings of 0 to 7 in the files *_emotion.txt."""
CSV_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
"""Meanings of 0 to 7 in ckextended.csv: FER2013's codes, and contempt."""
NAMES = {
    "anger": "anger",
    "contempt": "contempt",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sadness": "sadness",
    "surprise": "surprise",
}
"""Folders of CK+48 and their labels."""
PEAK = 3
"""Frames at the end of a sequence that, by convention, show the expression."""
FRAME = re.compile(r"(?P<subject>S\d{3})_\d{3}_\d{8}\.png", re.IGNORECASE)


def load(path: Path, options: Options) -> Source:
    """Read the data set in any of `LAYOUTS`.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in its layout.
    """
    if path.is_file():
        return _from_csv(path, options)
    images = first_of(path, "cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
    return _from_faces(first_of(path, "CK+48") or path) if images is None else _from_sequences(path, images)


def _from_csv(path: Path, options: Options) -> Source:
    faces = csv_rows.faces(path, CSV_CODES)
    rows = [Row(str(index), pixels, label, split=TRAIN) for index, (_, label, pixels, _) in enumerate(faces)]
    note = (
        f"{path.name} does not say who is in a picture, and its Usage puts one person into several splits: it is "
        f"ignored, and all rows are in the {options.split or TRAIN} split"
    )
    return Source("ckplus", rows, notes=[note])


def _from_faces(path: Path) -> Source:
    source = Source("ckplus", [])
    for file, folders in pictures(path, source.dropped):
        label = NAMES.get(folders[-1].lower()) if folders else None
        named = FRAME.fullmatch(file.name)
        if label is None:
            source.dropped[f"the folder {folders[-1] if folders else path.name!r} is not {joined(NAMES, 'or')}"] += 1
        elif named is None:
            source.dropped["the file's name has no subject, unlike S010_004_00000017.png"] += 1
        else:
            place = file.relative_to(path).as_posix()
            source.rows.append(Row(place, ImageFile(file), label, subject=named["subject"].upper()))
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    return source


def _from_sequences(path: Path, images: Path) -> Source:
    emotions = first_of(path, "Emotion", "Emotion_labels/Emotion", "Emotion_labels")
    if emotions is None:
        raise SourceError(f"{path}: has the pictures, but not the folder Emotion; unpack Emotion_labels.zip there too")
    source = Source("ckplus", [])
    sequences: dict[tuple[str, ...], list[Path]] = {}
    for file, folders in pictures(images, source.dropped):
        if FRAME.fullmatch(file.name):
            sequences.setdefault(folders, []).append(file)
        else:
            source.dropped["the file's name is not like S005_001_00000001.png"] += 1
    for folders, frames in sequences.items():
        label = _label(emotions.joinpath(*folders))
        if label is None:
            source.dropped["the sequence has no emotion label"] += len(frames)
        elif len(frames) <= PEAK:
            source.dropped["the sequence is too short for a neutral frame and three of the peak"] += len(frames)
        else:
            source.dropped["the frame lies between the neutral face and the peak"] += len(frames) - PEAK - 1
            subject = frames[0].name[:4].upper()
            for file, said in ((frames[0], "neutral"), *((frame, label) for frame in frames[-PEAK:])):
                place = file.relative_to(images).as_posix()
                source.rows.append(Row(place, ImageFile(file), said, subject=subject))
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    return source


def _label(folder: Path) -> str | None:
    """The label in the one emotion file of a sequence; None if there is no file."""
    for file in sorted(folder.glob("*_emotion.txt")):
        try:
            code = float(file.read_text("utf-8-sig"))
        except ValueError:
            code = -1.0
        if code not in range(len(CODES)):
            raise SourceError(f"{file}: does not hold a code from 0 to {len(CODES) - 1}")
        return CODES[int(code)]
    return None
