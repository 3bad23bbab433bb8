"""What an importer returns: a data set to be measured, or one that comes with its landmarks."""

from __future__ import annotations

import hashlib
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
    """A picture that the data set stores in a table."""

    values: NDArray[np.uint8]
    """uint8[H, W], grey, or uint8[H, W, 3], RGB."""

    def load(self) -> NDArray[np.uint8]:
        """uint8[H, W, 3], RGB."""
        grey = self.values.ndim < 3  # noqa: PLR2004 - rows, columns and colours
        return np.ascontiguousarray(np.repeat(self.values[:, :, None], 3, axis=2) if grey else self.values)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file, or a box of one; it is read when it is measured."""

    path: Path
    box: tuple[int, int, int, int] | None = None
    """x, y, width and height in px of the part that belongs to the row; it may extend beyond the picture."""

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


def fingerprint(rgb: NDArray[np.uint8]) -> np.int64:
    """Hash of a picture, uint8[H, W, 3]: equal for byte-equal pictures, and for a grey one and its copy in colour."""
    grey = (rgb == rgb[:, :, :1]).all()
    pixels = np.ascontiguousarray(rgb[:, :, 0] if grey else rgb)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    return np.int64(int.from_bytes(digest[:8], "little", signed=True))


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of one face."""

    source: str
    """Place in the data set, such as `123` or `S005/001/S005_001_00000011.png`; unique."""
    picture: Pixels | ImageFile
    label: str | None = None
    """The data set's own label, one of `labels.LABELS`; None: it has votes only."""
    votes: tuple[int, ...] = (0,) * len(VOTE_COLUMNS)
    """Votes in the order of `labels.VOTE_COLUMNS`; all 0 if nobody voted."""
    subject: str = ""
    """Who it is; empty if the data set doesn't say."""
    split: str = ""
    """The data set's own split, one of `keypoints.SPLITS`; empty: `splits.assign` chooses, by subject."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a data set with pictures."""

    name: str
    """Name of the data set, such as `fer2013`."""
    rows: list[Row]
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of pictures left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """Notes for the user, one line each."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set without pictures, which comes with its landmarks."""

    table: Table
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of rows left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """Notes for the user, one line each."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options that the user gives with the path of a data set; an importer refuses those that it does not read."""

    ferplus: Path | None = None
    """FER+'s votes, `fer2013new.csv`."""
    labels: dict[str, str] = field(default_factory=dict)
    """Name in the data set -> one of `labels.LABELS`, or `-` to leave its pictures out; overrides the usual names."""
    any_name: bool = False
    """Keep pictures whose name stands for no expression, without a label: for whoever needs the pictures alone."""
    split: str = ""
    """Split for all rows, whatever the data set says."""
    subject: str = ""
    """The one person whom all pictures show."""
    subject_pattern: re.Pattern[str] | None = None
    """Pattern that finds the subject in a picture's path: its first group, or else the whole match."""
