"""A keypoint table that grows with every recording, and from which a person can be removed again."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Self

import numpy as np

from edge import files
from edge.errors import NoInputError, OutputError, UsageError
from host_training.collecting import pictures as kept_pictures
from host_training.collecting.coverage import Cell, Coverage
from host_training.collecting.journal import Journal, path_of
from host_training.collecting.samples import DATA_SET, Measured, Sample, Take, table_of, take_of
from host_training.data import keypoints, parquet
from host_training.errors import TableError
from host_training.output import ensure_writable, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from host_training.collecting.measuring import Conditions
    from host_training.collecting.pictures import Pictures
    from host_training.data.keypoints import Table

KNOWN = "this picture is in the table already"
"""Reason to refuse a row."""


class Store:
    """The rows of a collection. A context manager: when it exits, all of them are in the table."""

    def __init__(
        self, path: Path, conditions: Conditions, *, pictures: Pictures | None = None, say: Callable[[str], None]
    ) -> None:
        """Open the table, which need not exist, and add the rows that an earlier run left in the journal.

        Args:
            path: the table.
            conditions: for the coverage.
            pictures: folder for pictures of the faces; None: they are not kept.
            say: is called with one-line messages for the user.

        Raises:
            OutputError: the table cannot be written.
            UnavailableError: another program collects into it.
            TableError: it is damaged, or has rows that were not collected.
        """
        ensure_writable(path)
        self._path = path
        self._conditions = conditions
        self._pictures = pictures
        self._journal = Journal(path_of(path))
        try:
            table, rows = self._add_journal()
            if self._journal.damaged:
                say(f"{path_of(path)}: {self._journal.damaged} damaged rows were left out")
            if rows:
                say(f"{rows} rows of an interrupted run were added")
            if pictures is not None:
                kept_pictures.remember(path, pictures)
        except BaseException:
            self._journal.__exit__(None, None, None)
            raise
        self._pending: dict[Take, list[tuple[int, Cell]]] = {}
        """Group and cell of each row of this run, by take, in order."""
        self._groups: set[int] = set()
        self._takes: dict[tuple[str, str], int] = {}
        """Number of the last take of each person and session."""
        self.coverage = Coverage()
        """Coverage of all rows."""
        if table is not None:
            self._count(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Add the new rows to the table, even after an error.

        Raises:
            OutputError: the table cannot be written; the rows stay in the journal.
        """
        try:
            self._add_journal()
        except OutputError as problem:
            raise OutputError(f"{problem}; the recorded rows are safe beside it: run the command again") from problem
        finally:
            self._journal.__exit__(kind, error, trace)

    def new_take(self, subject: str, session: str, label: int) -> Take:
        """A take that has no rows yet."""
        number = self._takes[subject, session] = self._takes.get((subject, session), 0) + 1
        return Take(subject, session, number, label)

    def add(self, take: Take, measured: Measured) -> str:
        """Record a row. Returns an empty string, or the reason for refusing the row.

        Raises:
            OutputError: it cannot be written; all rows before it are safe.
        """
        if measured.group in self._groups:
            return KNOWN
        rows = self._pending.setdefault(take, [])
        sample = Sample(
            take=take,
            frame=len(rows) + 1,
            group=measured.group,
            presence=measured.presence,
            brightness=measured.brightness,
            sharpness=measured.sharpness,
            landmarks=measured.landmarks,
        )
        if self._pictures is not None:
            self._pictures.keep(sample.source, measured.picture)
        try:
            self._journal.add(sample)
        except OutputError:
            if self._pictures is not None:
                self._pictures.drop(sample.source)
            raise
        cell = self._cell(sample)
        rows.append((sample.group, cell))
        self._groups.add(sample.group)
        self.coverage.add([cell])
        return ""

    def rows(self, take: Take) -> int:
        """Number of rows of a take of this run."""
        return len(self._pending.get(take, ()))

    def last_take(self) -> Take | None:
        """The last take of this run that has rows; None if there is none."""
        return next((take for take, rows in reversed(self._pending.items()) if rows), None)

    def undo(self, take: Take) -> int:
        """Remove a take of this run, and return the number of its rows.

        Raises:
            OutputError: the journal cannot be written; the take is still there.
        """
        self._journal.undo(take)
        rows = self._pending.pop(take, [])
        if self._pictures is not None:
            self._pictures.drop_take(take)
        self._groups -= {group for group, _ in rows}
        self.coverage.remove(cell for _, cell in rows)
        return len(rows)

    def _add_journal(self) -> tuple[Table | None, int]:
        """Add the rows of the journal to the table.

        Returns:
            The table, or None if there is none; and the number of rows that were in the journal.
        """
        samples = self._journal.samples()
        table = joined(self._path, samples)
        if table is not None and samples:
            _write(table, self._path)
        self._journal.clear()
        return table, len(samples)

    def _cell(self, sample: Sample) -> Cell:
        (pose,) = self._conditions.poses(sample.landmarks[None]).tolist()
        (light,) = self._conditions.lights(np.array([sample.brightness], np.float32)).tolist()
        return sample.take.subject, sample.take.label, pose, light

    def _count(self, table: Table) -> None:
        self._groups.update(table.group.tolist())
        self.coverage.add(cells_of(table, self._conditions))
        for source in table.source.tolist():
            subject, session, number = take_of(source)
            self._takes[subject, session] = max(number, self._takes.get((subject, session), 0))


def joined(path: Path, samples: Sequence[Sample]) -> Table | None:
    """A table with the samples that it lacks added; None if there is neither a table nor a sample.

    Raises:
        TableError: the table is damaged, or has rows that were not collected.
    """
    table = read(path) if path.exists() else None
    known = set() if table is None else {*table.source.tolist(), *table.group.tolist()}
    splits = {} if table is None else dict(zip(table.subject.tolist(), table.split.tolist(), strict=True))
    new = []
    for sample in samples:
        # After a power cut before the journal was cleared, the table has some of them already.
        if sample.source not in known and sample.group not in known:
            new.append(sample)
            known |= {sample.source, sample.group}
    if not new:
        return table
    rows = table_of(new, splits)
    return rows if table is None else keypoints.concatenate([table, rows])


def read(path: Path) -> Table:
    """Read a table of collected rows.

    Raises:
        NoInputError: the file cannot be read.
        TableError: it is damaged, or has rows that were not collected.
        ConfigError: see `parquet.read`.
    """
    table = parquet.read(path)
    try:
        ours = (table.data_set == DATA_SET) & (
            np.array([take_of(s)[0] for s in table.source.tolist()]) == table.subject
        )
    except ValueError:
        ours = table.found & False
    if not ours.all():
        raise TableError(
            f"{path}: has rows that were not collected; collect into another table, and join the two with "
            "`emotion-train merge`"
        )
    return table


def cells_of(table: Table, conditions: Conditions) -> list[Cell]:
    """The cells of the coverage to which the rows of a table belong."""
    poses, lights = conditions.poses(table.landmarks), conditions.lights(table.brightness)
    return list(zip(table.subject.tolist(), table.label.tolist(), poses.tolist(), lights.tolist(), strict=True))


def remove(path: Path, subject: str) -> tuple[int, int]:
    """Remove a person: their rows, including those in the journal, their pictures, and decisions about them.

    Returns:
        The number of rows and of pictures that were removed.

    Raises:
        NoInputError: the table does not exist, or a folder of pictures is missing.
        UsageError: no row has this id.
        OutputError: something cannot be written or removed; the same command finishes the rest.
        UnavailableError: another program collects into the table.
    """
    if not path.exists() and not path_of(path).exists():
        raise NoInputError(f"{path}: no such table")
    ensure_writable(path)
    with Journal(path_of(path)) as journal:
        table = joined(path, journal.samples())
        mine = np.zeros(0, np.bool_) if table is None else table.subject == subject
        if table is None or not mine.any():
            there = "" if table is None else ", ".join(np.unique(table.subject).tolist())
            raise UsageError(f"{path}: has no rows of {subject!r}, only of {there or 'no subject'}")
        # Rows go last: while there are any, the command can be repeated.
        pictures = kept_pictures.remove_subject(path, subject)
        _forget_decisions(path, subject)
        path.with_name(f".{path.name}.partial").unlink(missing_ok=True)  # left by a kill during writing
        if mine.all():
            path.unlink(missing_ok=True)
            kept_pictures.list_of(path).unlink(missing_ok=True)
        else:
            _write(keypoints.take(table, ~mine), path)
        journal.clear()
        files.sync(path.parent)
    return int(mine.sum()), pictures


def _write(table: Table, path: Path) -> None:
    parquet.write(table, path)
    files.sync(path.parent)  # before the journal goes


def _forget_decisions(table: Path, subject: str) -> None:
    """Remove decisions about a person's rows, without `data.decisions`, which needs SciPy."""
    path = keypoints.decisions_path(table)
    try:
        lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(
            f"{path}: the decisions about {subject} cannot be removed ({error}); nothing was removed"
        ) from error
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(
        line for line in lines if not any(cell.strip().startswith(f"{DATA_SET}/{subject}/") for cell in line)
    )
    write_text(path, kept.getvalue())
