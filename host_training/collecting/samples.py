"""What is collected: one sample a picture, which becomes one row of the keypoint table."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import UsageError
from host_training.data.keypoints import HELD_OUT, MESH, TRAIN, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DATA_SET = "collected"
"""As it stands in the tables, and what the folder of kept pictures is called."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
"""What may be part of a file's name on every system."""


@dataclass(frozen=True, slots=True)
class Take:
    """Rows that were recorded in one go: one person, one session, one expression."""

    subject: str
    """Who it is; see `checked_id`."""
    session: str
    """Which sitting; see `checked_id`."""
    number: int
    """Counts the takes of a person's session, from 1."""
    label: int
    """An index into `labels.LABELS`."""

    def source(self, frame: int) -> str:
        """What the row of a frame is called in the table, and its picture in a folder of `import folder`.

        Args:
            frame: number in the take, from 1.
        """
        return f"{self.subject}/{self.session}/{self.number:03}-{LABELS[self.label]}/{frame:04}.png"


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured on the part of a picture that shows a face."""

    picture: NDArray[np.uint8]
    """uint8[h, w, 3], RGB: that part."""
    landmarks: NDArray[np.float32]
    """float32[478, 3], px of it."""
    presence: float
    """0..1, see `Table`, and so for the rest."""
    brightness: float
    sharpness: float
    group: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A row in the making."""

    take: Take
    frame: int
    """Number in the take, from 1."""
    group: int
    presence: float
    brightness: float
    sharpness: float
    landmarks: NDArray[np.float32]
    """float32[478, 3] px."""

    @property
    def source(self) -> str:
        """See `Take.source`."""
        return self.take.source(self.frame)


def checked_id(what: str, text: str) -> str:
    """An id of a subject or session as it is kept: in small letters, so that nobody becomes two people by a slip.

    Args:
        what: it is of, as in `subject`.
        text: as somebody typed it.

    Raises:
        UsageError: it is missing, or has other characters than those that every file name may have.
    """
    name = text.strip().lower()
    if not name:
        raise UsageError(f"the {what} is missing: say which it is, as in {'p07' if what == 'subject' else 'monday'}")
    if not _ID.fullmatch(name):
        raise UsageError(
            f"the {what} {text.strip()[:40]!r} cannot be used: take up to 32 letters a to z, digits, - and _; "
            "a code tells less than a name"
        )
    return name


def split_of(subject: str) -> str:
    """The side on which a person stands for ever, whoever comes later; it hangs on the id alone."""
    digest = hashlib.sha256(f"{DATA_SET}/{subject}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    for split, part in HELD_OUT.items():
        if share < part:
            return split
        share -= part
    return TRAIN


def table_of(samples: Sequence[Sample], sides: Mapping[str, str]) -> Table:
    """The rows of samples, in their order.

    Args:
        samples: at least one.
        sides: the split of people who have one already.
    """
    count = len(samples)
    return Table(
        data_set=np.full(count, DATA_SET),
        source=np.array([sample.source for sample in samples]),
        split=np.array([sides.get(s.take.subject) or split_of(s.take.subject) for s in samples]),
        subject=np.array([sample.take.subject for sample in samples]),
        group=np.array([sample.group for sample in samples], np.int64),
        label=np.array([sample.take.label for sample in samples], np.int8),
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(count, MESH),
        presence=np.array([sample.presence for sample in samples], np.float32),
        brightness=np.array([sample.brightness for sample in samples], np.float32),
        sharpness=np.array([sample.sharpness for sample in samples], np.float32),
        landmarks=np.array([sample.landmarks for sample in samples], np.float32),
    )


def take_of(source: str) -> tuple[str, str, int]:
    """Subject, session and number of the take that a row is of.

    Raises:
        ValueError: no sample is called so.
    """
    subject, session, take, _ = source.split("/")
    return subject, session, int(take.partition("-")[0])
