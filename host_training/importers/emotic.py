"""EMOTIC, emotions in context (Kosti et al. 2019): people in photographs, each with some of 26 emotion categories.

The categories say what a person may feel, judged from the whole picture; few of them are expressions of a face. A
person of the training set was annotated once, of the validation set five times, of the test set three times. One rule
labels all three: a row's label is the one that more than half of its annotators chose, where an annotator counts whose
categories have exactly one counterpart among the labels. FER+'s rules for votes are not used, because they need ten
votes.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from host_training.data.keypoints import TEST, TRAIN, VALIDATION
from host_training.data.source import ImageFile, Row, Source
from host_training.errors import SourceError
from host_training.importers.label_names import LEAVE_OUT, LabelNames
from host_training.importers.layout import MISSING, Listing, first_of, unknown_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "EMOTIC: the folder with Annotations/Annotations.mat and the pictures in emotic/"
OPTIONS = frozenset({"labels"})
LAYOUTS = ("the folder with Annotations/Annotations.mat and emotic/mscoco/images and so on",)

SETS = {"train": TRAIN, "val": VALIDATION, "test": TEST}
CATEGORIES = {
    "Anger": "anger",
    "Annoyance": "anger",  # bothered, irritated: the faint end of anger
    "Aversion": "disgust",  # defined as feeling disgust, dislike, repulsion
    "Fear": "fear",
    "Happiness": "happiness",
    "Pleasure": "happiness",  # delight in the senses
    "Sadness": "sadness",
    "Suffering": "sadness",  # distress, anguish
    "Surprise": "surprise",
    **dict.fromkeys(
        (
            *("Affection", "Anticipation", "Confidence", "Disapproval", "Disconnection", "Disquietment"),
            *("Doubt/Confusion", "Embarrassment", "Engagement", "Esteem", "Excitement", "Fatigue", "Pain", "Peace"),
            *("Sensitivity", "Sympathy", "Yearning"),
        ),
        LEAVE_OUT,
    ),
}
"""Counterparts of the 26 categories, by the definitions that come with the data set. None is neutral: `Peace` is
contentment, and the absence of a category is not its opposite."""


def load(path: Path, options: Options) -> Source:
    """Read the annotations.

    Raises:
        OSError: a file cannot be read.
        SourceError: a file is not in its layout.
        UsageError: `options.labels` has a name that is not a category.
    """
    annotations = first_of(path, "Annotations/Annotations.mat", "Annotations.mat")
    if annotations is None:
        raise unknown_layout(path, LAYOUTS)
    images = first_of(path, "emotic") or path
    names = LabelNames(options.labels, {name.casefold(): label for name, label in CATEGORIES.items()})
    for name in CATEGORIES:  # all of them may be given, whether or not an annotator chose them
        names.find(name)
    names.ensure_all_met("category")
    source, there = Source("emotic", []), Listing()
    for person in _people(annotations):
        file = images / person.place.rpartition("#")[0]
        label, reason = _label([_opinion(chosen, names, annotations) for chosen in person.chosen])
        if label is None:
            source.dropped[reason] += 1
        elif person.box is None:
            source.dropped["the person's box is empty"] += 1
        elif file not in there:
            source.dropped[MISSING] += 1
        else:
            source.rows.append(Row(person.place, ImageFile(file, person.box), label, split=person.split))
    return source


@dataclass(frozen=True, slots=True)
class _Person:
    split: str
    place: str
    """Picture, and number of the person in it."""
    chosen: list[list[str]]
    """Categories that each annotator chose."""
    box: tuple[int, int, int, int] | None
    """Box of the person: x, y, width and height in px."""


def _people(path: Path) -> Iterator[_Person]:
    from scipy.io import loadmat

    data = path.read_bytes()
    try:
        sets = loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False, variable_names=list(SETS))
    except Exception as error:
        # A damaged file raises from deep inside scipy, zlib or NumPy.
        raise SourceError(f"{path}: not a complete MATLAB file ({error or type(error).__name__})") from error
    if not sets.keys() & SETS.keys():
        raise SourceError(f"{path}: has none of the variables {', '.join(SETS)}")
    for name, split in SETS.items():
        for picture in tqdm(_listed(sets.get(name)), desc=f"reading {name}", unit=" pictures", leave=False):
            try:
                place = f"{picture.folder}/{picture.filename}"
                for index, person in enumerate(_listed(picture.person)):
                    annotators = _listed(person.annotations_categories)
                    chosen = [list(map(str, _listed(annotator.categories))) for annotator in annotators]
                    yield _Person(split, f"{place}#{index}", chosen, _box(person.body_bbox))
            except (AttributeError, OverflowError, TypeError, ValueError) as error:
                raise SourceError(f"{path}: a picture of {name} is not described as published ({error})") from error


def _listed(value: Any) -> list[Any]:
    """A MATLAB array as a list. An array with one element arrives as the element, an empty one as an empty array."""
    return [] if value is None else list(np.atleast_1d(np.asarray(value, object)).ravel())


def _box(corners: Any) -> tuple[int, int, int, int] | None:
    """A box from x and y of two corners; None if it is empty."""
    left, top, right, bottom = np.asarray(corners, np.float64)
    if not right > left or not bottom > top:
        return None
    x, y = math.floor(left), math.floor(top)
    return x, y, math.ceil(right) - x, math.ceil(bottom) - y


def _opinion(chosen: list[str], names: LabelNames, path: Path) -> set[str]:
    """Counterparts of one annotator's categories among the labels."""
    labels = set()
    for category in chosen:
        label = names.find(category)
        if label is None:
            raise SourceError(f"{path}: {category!r} is not one of the 26 categories")
        labels.add(label)
    return labels - {LEAVE_OUT}


def _label(opinions: list[set[str]]) -> tuple[str | None, str]:
    """The label that a person's annotators agree on; or None and the reason."""
    counts = Counter(next(iter(opinion)) for opinion in opinions if len(opinion) == 1)
    label, count = counts.most_common(1)[0] if counts else ("", 0)
    if 2 * count > len(opinions):
        return label, ""
    if not any(opinions):
        return None, "no category has a counterpart among the labels"
    if len(opinions) == 1:
        return None, "the categories have different counterparts among the labels"
    return None, "no label has more than half of the annotators"
