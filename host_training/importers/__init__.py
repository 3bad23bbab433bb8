"""Readers of data sets: each knows the layouts in which one is distributed, and gives rows to be measured."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np

from edge.errors import NoInputError, UsageError
from host_training.data.keypoints import SPLITS
from host_training.data.labels import LABELS
from host_training.data.source import ImageFile, Measured, Options, Row, Source
from host_training.errors import SourceError
from host_training.importers import affectnet, ckplus, emotic, fer2013, folder, jaffe, keypoint_csv, rafdb
from host_training.importers.label_names import LEAVE_OUT

if TYPE_CHECKING:
    from pathlib import Path


class Importer(Protocol):
    """A module that reads one data set."""

    SUMMARY: str
    """What it is and which path to give, in one line."""
    OPTIONS: frozenset[str]
    """Fields of `Options` that it reads; `split` and `subject_pattern` are seen to here, for all."""

    def load(self, path: Path, options: Options, /) -> Source | Measured:
        """Read it; an OSError becomes one line here."""


IMPORTERS: dict[str, Importer] = {
    "fer2013": fer2013,
    "ckplus": ckplus,
    "emotic": emotic,
    "affectnet": affectnet,
    "rafdb": rafdb,
    "jaffe": jaffe,
    "folder": folder,
    "keypoint-csv": keypoint_csv,
}
"""Name of a data set -> what reads it."""

FOR_ALL = frozenset({"split", "subject_pattern"})


@overload
def load(name: Literal["folder"], path: Path, options: Options) -> Source: ...


@overload
def load(name: str, path: Path, options: Options) -> Source | Measured: ...


def load(name: str, path: Path, options: Options) -> Source | Measured:
    """Read a data set.

    Args:
        name: one of `IMPORTERS`.
        path: where it lies; see the importer's `SUMMARY`.
        options: what the user adds.

    Returns:
        Pictures to be measured, or rows that were measured before.

    Raises:
        NoInputError: a file or folder is not there or cannot be read.
        SourceError: it is not in a layout that is known, is damaged, or nothing of it is left.
        UsageError: there is no such importer, or it has no use for an option.
        ConfigError: see `depth.learned`.
    """
    if name not in IMPORTERS:
        raise UsageError(f"{name!r} is no data set that can be imported; there are {', '.join(IMPORTERS)}")
    importer = IMPORTERS[name]
    _check_options(name, importer, options)
    path = path.absolute()  # the pictures may be read by a worker that runs in another directory
    try:
        path.stat()
        loaded = importer.load(path, options)
    except OSError as error:
        raise NoInputError(f"{error.filename or path}: {error.strerror or error}") from error
    if isinstance(loaded, Measured):
        if options.split:
            split = np.full(len(loaded.table), options.split)
            return dataclasses.replace(loaded, table=dataclasses.replace(loaded.table, split=split))
        return loaded
    dropped = Counter(loaded.dropped)
    rows = {row.source: row for row in reversed(loaded.rows)}  # the first of several stays
    if len(rows) < len(loaded.rows):
        dropped["the data set lists the picture twice"] = len(loaded.rows) - len(rows)
    if not rows:
        why = f" ({dropped.most_common(1)[0][0]})" if dropped else ""
        raise SourceError(f"{path}: no picture is left{why}")
    kept = [_completed(rows[source], name, options) for source in reversed(rows)]
    return dataclasses.replace(loaded, rows=kept, dropped=dropped)


def _check_options(name: str, importer: Importer, options: Options) -> None:
    useful = importer.OPTIONS | FOR_ALL
    for field in fields(Options):
        if getattr(options, field.name) and field.name not in useful:
            flag = {"labels": "label"}.get(field.name, field.name)
            raise UsageError(f"{name} has no use for --{flag}; leave it out")
    if options.split and options.split not in SPLITS:
        raise UsageError(f"--split {options.split}: none of {', '.join(SPLITS)}")
    for word, label in options.labels.items():
        if label not in (*LABELS, LEAVE_OUT):
            raise UsageError(f"--label {word}={label}: {label!r} is none of {', '.join(LABELS)}, nor {LEAVE_OUT!r}")


def _completed(row: Row, name: str, options: Options) -> Row:
    """The row with the split and the subject that the user gives it."""
    subject = options.subject or row.subject
    if options.subject_pattern is not None:
        if not isinstance(row.picture, ImageFile):
            raise UsageError(f"{name} has no file names here to find a subject in; leave --subject-pattern out")
        found = options.subject_pattern.search(row.source)
        subject = (found[1] if found.re.groups else found[0]) if found else ""
        if not subject:
            raise UsageError(f"--subject-pattern finds nothing in {row.source!r}, and each picture must have a subject")
    return dataclasses.replace(row, split=options.split or row.split, subject=subject)
