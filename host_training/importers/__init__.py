"""Importers of data sets: each knows the layouts in which one is distributed, and returns rows to be measured."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np

from edge.errors import NoInputError, UsageError
from host_training.data.keypoints import SPLITS
from host_training.data.labels import LABELS
from host_training.data.names import normal, storable
from host_training.data.source import ImageFile, Measured, Options, Row, Source
from host_training.errors import SourceError
from host_training.importers import affectnet, ckplus, emotic, fer2013, folder, jaffe, keypoint_csv, rafdb
from host_training.importers.label_names import LEAVE_OUT
from host_training.words import unknown

if TYPE_CHECKING:
    from pathlib import Path


class Importer(Protocol):
    """Module that reads one data set."""

    SUMMARY: str
    """What the data set is and which path to give, in one line."""
    OPTIONS: frozenset[str]
    """Fields of `Options` that it reads; `load` applies `split` and `subject_pattern` for all."""

    def load(self, path: Path, options: Options, /) -> Source | Measured:
        """Read the data set; `importers.load` turns an OSError into a one-line error."""


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
"""Name of a data set -> its importer."""

COMMON_OPTIONS = frozenset({"any_name", "split", "subject_pattern"})
"""Options that `load` applies for every importer."""


@overload
def load(name: Literal["folder"], path: Path, options: Options) -> Source: ...


@overload
def load(name: str, path: Path, options: Options) -> Source | Measured: ...


def load(name: str, path: Path, options: Options) -> Source | Measured:
    """Read a data set.

    Args:
        name: one of `IMPORTERS`.
        path: the path that the importer's `SUMMARY` names.
        options: the user's.

    Returns:
        Pictures to be measured, or rows that come with their landmarks.

    Raises:
        NoInputError: a file or folder cannot be read.
        SourceError: the data set is in no known layout, it is damaged, or no picture of it is left.
        UsageError: there is no such importer, or it does not read one of the options.
        ConfigError: see `depth.learned`.
    """
    if name not in IMPORTERS:
        raise UsageError(unknown("data set", name, IMPORTERS))
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
    rows = {row.source: row for row in reversed(loaded.rows)}  # the first of several wins
    if len(rows) < len(loaded.rows):
        dropped["the data set lists the picture twice"] = len(loaded.rows) - len(rows)
    if not rows:
        why = f" ({dropped.most_common(1)[0][0]})" if dropped else ""
        raise SourceError(f"{path}: no picture is left{why}")
    kept = [_completed(rows[source], name, options) for source in reversed(rows)]
    return dataclasses.replace(loaded, name=normal(loaded.name), rows=kept, dropped=dropped)


def _check_options(name: str, importer: Importer, options: Options) -> None:
    useful = importer.OPTIONS | COMMON_OPTIONS
    for field in fields(Options):
        if getattr(options, field.name) and field.name not in useful:
            flag = {"labels": "label"}.get(field.name, field.name)
            raise UsageError(f"{name} takes no --{flag}; leave it out")
    if options.split and options.split not in SPLITS:
        raise UsageError(f"--split: {unknown('split', options.split, SPLITS)}")
    for old, label in options.labels.items():
        if label not in (*LABELS, LEAVE_OUT):
            raise UsageError(f"--label {old}={label}: {unknown('label', label, (*LABELS, LEAVE_OUT))}")


def _completed(row: Row, name: str, options: Options) -> Row:
    """The row with the split and the subject that the options give it."""
    subject = options.subject or row.subject
    if options.subject_pattern is not None:
        if not isinstance(row.picture, ImageFile):
            raise UsageError(f"--subject-pattern finds subjects in file names, and {name} has none here; leave it out")
        found = options.subject_pattern.search(row.source)
        subject = (found[1] if found.re.groups else found[0]) if found else ""
        if not subject:
            raise UsageError(f"--subject-pattern finds nothing in {row.source!r}; it must match every picture")
    return dataclasses.replace(
        row, source=storable(row.source), split=options.split or row.split, subject=normal(subject)
    )
