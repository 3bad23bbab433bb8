"""What an importer returns: a data set before it is measured, or one whose landmarks came with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge.camera.images import read_image
from host_training.data.labels import VOTE_COLUMNS
from host_training.errors import SourceError

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture that the data set carries in a table of its own."""

    values: NDArray[np.uint8]
    """uint8[H, W] grey or uint8[H, W, 3] RGB."""

    def load(self) -> NDArray[np.uint8]:
        """uint8[H, W, 3], RGB."""
        grey = self.values.ndim < 3  # noqa: PLR2004 - rows, columns and colours
        return np.ascontiguousarray(np.repeat(self.values[:, :, None], 3, axis=2) if grey else self.values)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file, or a box of it; it is read when it is measured."""

    path: Path
    box: tuple[int, int, int, int] | None = None
    """x, y, width and height in px of the part that belongs to the row; it may reach over the picture's edge."""

    def load(self) -> NDArray[np.uint8]:
        """uint8[H, W, 3], RGB.

        Raises:
            EdgeError: the file cannot be read.
            SourceError: the box lies outside the picture.
        """
        rgb = read_image(self.path)
        if self.box is None:
            return rgb
        x, y, width, height = self.box
        part = rgb[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        if not part.size:
            raise SourceError(f"{self.path}: the box {self.box} lies outside the picture")
        return np.ascontiguousarray(part)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of one face."""

    source: str
    """Place in the data set, as in `123` or `S005/001/S005_001_00000011.png`; never used twice."""
    picture: Pixels | ImageFile
    label: str | None = None
    """What the data set itself says, one of `labels.LABELS`; None: it has votes only."""
    votes: tuple[int, ...] = (0,) * len(VOTE_COLUMNS)
    """In the order of `labels.VOTE_COLUMNS`; all 0 where nobody voted."""
    subject: str = ""
    """Who it is; empty where the data set does not tell."""
    split: str = ""
    """One of `keypoints.SPLITS`, where the data set says so; empty: `splits.assign` decides, by subject."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a data set."""

    name: str
    """As in `fer2013`."""
    rows: list[Row]
    dropped: Counter[str] = field(default_factory=Counter)
    """Pictures that were left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """What the user should know, one line each."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set without pictures: its landmarks were measured before."""

    table: Table
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows that were left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """What the user should know, one line each."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user adds to the path of a data set; an importer refuses what it has no use for."""

    ferplus: Path | None = None
    """FER+'s votes, `fer2013new.csv`."""
    labels: dict[str, str] = field(default_factory=dict)
    """Name in the data set -> one of `labels.LABELS`, or `-` to leave its pictures out; above the usual names."""
    split: str = ""
    """Put all rows there, whatever the data set says."""
    subject: str = ""
    """All pictures show this one person."""
    subject_pattern: re.Pattern[str] | None = None
    """What its first group (or the whole match) finds in a picture's path is the subject."""
