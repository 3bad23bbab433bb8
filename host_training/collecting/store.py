"""A keypoint table that grows, and shrinks when somebody wants to be forgotten, and loses nothing else."""

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

KNOWN = "this very picture is in the table already"


class Store:
    """Where rows go while they are collected. A context: at its end all of them are in the table."""

    def __init__(
        self, path: Path, conditions: Conditions, *, pictures: Pictures | None = None, say: Callable[[str], None]
    ) -> None:
        """Open the table, which need not be there, and take over what an earlier run has left beside it.

        Args:
            path: the table.
            conditions: for the coverage.
            pictures: where pictures of the faces are kept; None: nowhere.
            say: is told what the user should know, in one line.

        Raises:
            OutputError: it cannot be written.
            UnavailableError: another program collects into it.
            TableError: it is damaged, or no table of collected rows.
        """
        ensure_writable(path)
        self._path = path
        self._conditions = conditions
        self._pictures = pictures
        self._journal = Journal(path_of(path))
        try:
            table, rows = self._take_over()
            if self._journal.damaged:
                say(f"{path_of(path)}: {self._journal.damaged} damaged rows are left out")
            if rows:
                say(f"{rows} rows of a run that was cut short are taken over")
            if pictures is not None:
                kept_pictures.remember(path, pictures)
        except BaseException:
            self._journal.__exit__(None, None, None)
            raise
        self._pending: dict[Take, list[tuple[int, Cell]]] = {}
        """Group and place in the coverage of what came since then, by take, in their order."""
        self._groups: set[int] = set()
        self._takes: dict[tuple[str, str], int] = {}
        """Number of the last take of a person's session."""
        self.coverage = Coverage()
        """Of all rows."""
        if table is not None:
            self._count(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put what is new into the table, whatever the reason for leaving; if that fails it stays in the journal.

        Raises:
            OutputError: the table cannot be written.
        """
        try:
            self._take_over()
        except OutputError as problem:
            raise OutputError(f"{problem}; what was recorded is safe beside it: run the command again") from problem
        finally:
            self._journal.__exit__(kind, error, trace)

    def new_take(self, subject: str, session: str, label: int) -> Take:
        """One that no row is of."""
        number = self._takes[subject, session] = self._takes.get((subject, session), 0) + 1
        return Take(subject, session, number, label)

    def add(self, take: Take, measured: Measured) -> str:
        """Keep a row; why not, if it is not of use.

        Raises:
            OutputError: it cannot be written; all before it are kept.
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
        """How many rows a take of this run has."""
        return len(self._pending.get(take, ()))

    def last_take(self) -> Take | None:
        """The last one of this run that has rows."""
        return next((take for take, rows in reversed(self._pending.items()) if rows), None)

    def undo(self, take: Take) -> int:
        """Drop a take of this run; how many rows it had.

        Raises:
            OutputError: that cannot be written down; it is still there.
        """
        self._journal.undo(take)
        rows = self._pending.pop(take, [])
        if self._pictures is not None:
            self._pictures.drop_take(take)
        self._groups -= {group for group, _ in rows}
        self.coverage.remove(cell for _, cell in rows)
        return len(rows)

    def _take_over(self) -> tuple[Table | None, int]:
        """Put what the journal holds into the table, and tell how many rows that were; None: there is no table."""
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
    """A table with the samples that it does not have yet; None: there is neither.

    Raises:
        TableError: it is damaged, or no table of collected rows.
    """
    table = read(path) if path.exists() else None
    known = set() if table is None else {*table.source.tolist(), *table.group.tolist()}
    sides = {} if table is None else dict(zip(table.subject.tolist(), table.split.tolist(), strict=True))
    new = []
    for sample in samples:
        # The table has some already where the power went before the journal could be cleared.
        if sample.source not in known and sample.group not in known:
            new.append(sample)
            known |= {sample.source, sample.group}
    if not new:
        return table
    rows = table_of(new, sides)
    return rows if table is None else keypoints.concatenate([table, rows])


def read(path: Path) -> Table:
    """Read a table of collected rows.

    Raises:
        NoInputError: there is none.
        TableError: it is damaged, or of another kind.
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
            f"{path}: has rows that were not collected; collect into a table of its own, and put the two together "
            "with `emotion-train merge`"
        )
    return table


def cells_of(table: Table, conditions: Conditions) -> list[Cell]:
    """Where the rows of a table stand in the coverage."""
    poses, lights = conditions.poses(table.landmarks), conditions.lights(table.brightness)
    return list(zip(table.subject.tolist(), table.label.tolist(), poses.tolist(), lights.tolist(), strict=True))


def remove(path: Path, subject: str) -> tuple[int, int]:
    """Remove all that is known of a person: rows, those in the journal too, pictures and decisions.

    Returns:
        How many rows and pictures there were.

    Raises:
        NoInputError: there is no such table; or a folder of pictures is out of reach.
        UsageError: nobody is called so.
        OutputError: something cannot be written or removed; the same command, again, does what is left.
        UnavailableError: somebody collects into the table.
    """
    if not path.exists() and not path_of(path).exists():
        raise NoInputError(f"{path}: there is no such table")
    ensure_writable(path)
    with Journal(path_of(path)) as journal:
        table = joined(path, journal.samples())
        mine = np.zeros(0, np.bool_) if table is None else table.subject == subject
        if table is None or not mine.any():
            there = "" if table is None else ", ".join(np.unique(table.subject).tolist())
            raise UsageError(f"{path}: has no rows of {subject!r}; there are {there or 'none at all'}")
        # Rows go last: as long as there are any, the command can be given again.
        pictures = kept_pictures.remove_subject(path, subject)
        _forget_decisions(path, subject)
        path.with_name(f".{path.name}.partial").unlink(missing_ok=True)  # what a kill has left of writing
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
    """Take a person's rows out of what was decided about a table; `cleaning.decisions` reads it, but needs SciPy."""
    path = keypoints.decisions_path(table)
    try:
        lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be cleared of {subject} ({error}); nothing was removed") from error
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(
        line for line in lines if not any(cell.strip().startswith(f"{DATA_SET}/{subject}/") for cell in line)
    )
    write_text(path, kept.getvalue())
