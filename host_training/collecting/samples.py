"""Samples: one for each picture, which becomes one row of the keypoint table."""

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
"""Name of the data set in tables, and of the folder of kept pictures."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
"""Ids that may be part of a file's name on every system."""


@dataclass(frozen=True, slots=True)
class Take:
    """Rows that were recorded at a stretch: one person, one session, one expression."""

    subject: str
    """Id of the person, see `checked_id`."""
    session: str
    """Id of the session, see `checked_id`."""
    number: int
    """Number of the take in this session of the person, from 1."""
    label: int
    """Expression, an index into `labels.LABELS`."""

    def source(self, frame: int) -> str:
        """The source of a frame's row in the table, and the path of its picture for `import folder`.

        Args:
            frame: number of the frame in the take, from 1.
        """
        return f"{self.subject}/{self.session}/{self.number:03}-{LABELS[self.label]}/{frame:04}.png"


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of the part of a picture around a face."""

    picture: NDArray[np.uint8]
    """The part, uint8[h, w, 3], RGB."""
    landmarks: NDArray[np.float32]
    """float32[478, 3], px of the part."""
    presence: float
    """0..1; this and the fields below are those of `Table`."""
    brightness: float
    sharpness: float
    group: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded row, before it is in the table."""

    take: Take
    frame: int
    """Number of the frame in the take, from 1."""
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
    """The id of a subject or session in lower case, so that a different spelling does not make two people of one.

    Args:
        what: `subject` or `session`.
        text: the id as typed.

    Raises:
        UsageError: the id is empty, or has characters that some file systems do not allow.
    """
    name = text.strip().lower()
    if not name:
        raise UsageError(f"the {what} is missing; give one, such as {'p07' if what == 'subject' else 'monday'}")
    if not _ID.fullmatch(name):
        raise UsageError(
            f"the {what} {text.strip()[:40]!r} cannot be used; use up to 32 letters a to z, digits, - and _ "
            "(a code reveals less than a name)"
        )
    return name


def split_of(subject: str) -> str:
    """The split of a person. It depends on the id alone, so other people never change it."""
    digest = hashlib.sha256(f"{DATA_SET}/{subject}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    for split, part in HELD_OUT.items():
        if share < part:
            return split
        share -= part
    return TRAIN


def table_of(samples: Sequence[Sample], splits: Mapping[str, str]) -> Table:
    """The rows of samples, in their order.

    Args:
        samples: at least one.
        splits: subject -> split, for people who have one already.
    """
    count = len(samples)
    return Table(
        data_set=np.full(count, DATA_SET),
        source=np.array([sample.source for sample in samples]),
        split=np.array([splits.get(s.take.subject) or split_of(s.take.subject) for s in samples]),
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
    """Subject, session and number of the take from which a row comes.

    Raises:
        ValueError: this is not the source of a sample.
    """
    subject, session, take, _ = source.split("/")
    return subject, session, int(take.partition("-")[0])
