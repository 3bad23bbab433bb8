"""The journal beside a table: the rows that were recorded since the table was last written.

It is an SQLite database. SQLite's write-ahead log makes each change atomic and is on the disk before the change counts,
so a kill or a power cut costs at most the row that is being written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import zlib
from contextlib import closing
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edge.errors import DataError, EdgeError, OutputError, UnavailableError
from edge.face_mesh import STILL_VERSION
from edge.values import LANDMARKS
from host_training.collecting.samples import Sample, Take
from host_training.data.keypoints import MESH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

VERSION = 1
"""Version of the format; rises with every change."""
_MADE_WITH = VERSION, MESH, STILL_VERSION

_TABLES = (
    "CREATE TABLE made_with (version INTEGER, mesh TEXT, extraction INTEGER)",
    """CREATE TABLE sample (
        subject TEXT, session TEXT, number INTEGER, label INTEGER, frame INTEGER, fingerprint INTEGER,
        presence REAL, brightness REAL, sharpness REAL, landmarks BLOB
    )""",
)
"""Tables. `landmarks` is float32[478, 3] px, little-endian, compressed by zlib, whose checksum reveals damage."""


class Journal:
    """The journal of one table. A context manager: only one program at a time has it open."""

    def __init__(self, path: Path) -> None:
        """Open the journal, or create it.

        Raises:
            OutputError: it cannot be written.
            UnavailableError: another program collects into the same table.
            DataError: the file is not a journal, is damaged, or is of another version.
        """
        self._path = path
        self.damaged = 0
        """Rows that `samples` could not read."""
        self._lock = self._locked()
        # SQLite takes no locks: on a network file system its locks and ours would exclude each other. The loop adds
        # rows, the thread of the page undoes takes, and `Collector` admits one of them at a time.
        place = f"{path.absolute().as_uri()}?vfs=unix-none"
        self._database = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._database.close()
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the journal; an empty one is removed."""
        with closing(self._lock):
            with closing(self._database):
                empty = not self._do("SELECT 1 FROM sample LIMIT 1")
            if empty:
                # SQLite leaves its log behind if a full disk prevents it from copying the content.
                self._path.with_name(f"{self._path.name}-wal").unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def add(self, sample: Sample) -> None:
        """Append a row.

        Raises:
            OutputError: it cannot be written; the rows before it are safe.
        """
        landmarks = zlib.compress(sample.landmarks.astype("<f4").tobytes(), level=1)
        measured = sample.frame, sample.group, sample.presence, sample.brightness, sample.sharpness, landmarks
        self._do("INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*astuple(sample.take), *measured))

    def undo(self, take: Take) -> None:
        """Remove the rows of a take.

        Raises:
            OutputError: the journal cannot be written; they are still there.
        """
        self._do("DELETE FROM sample WHERE (subject, session, number, label) = (?, ?, ?, ?)", astuple(take))

    def clear(self) -> None:
        """Remove all rows.

        Raises:
            OutputError: the journal cannot be written; they are still there.
        """
        self._do("DELETE FROM sample")

    def samples(self) -> list[Sample]:
        """The rows, in the order in which they were added.

        Raises:
            DataError: the database is damaged.
        """
        samples = []
        self.damaged = 0
        for *take, frame, group, presence, brightness, sharpness, landmarks in self._do(
            "SELECT * FROM sample ORDER BY rowid"
        ):
            try:
                points = np.frombuffer(zlib.decompress(landmarks), "<f4").reshape(LANDMARKS, 3).astype(np.float32)
            except (zlib.error, ValueError):
                self.damaged += 1
                continue
            samples.append(Sample(Take(*take), frame, group, presence, brightness, sharpness, points))
        return samples

    def _locked(self) -> BinaryIO:
        """The journal's file, locked until it is closed."""
        while True:
            try:
                file = self._path.open("ab")
            except OSError as error:
                raise OutputError(f"{self._path} cannot be written: {error.strerror}") from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it when the program dies
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            except BlockingIOError as error:
                file.close()
                raise UnavailableError(f"{self._path}: another program collects into the same table") from error
            except FileNotFoundError:
                pass
            file.close()  # the program before has just removed it

    def _open(self) -> None:
        """Check the database, and create the tables of a new one."""
        self._do("PRAGMA locking_mode = EXCLUSIVE")  # allows a write-ahead log without shared memory
        self._do("PRAGMA synchronous = FULL")
        self._do("PRAGMA secure_delete = OFF")  # writing zeros needs space, and the whole file is removed in the end
        self._do("BEGIN")
        if not self._do("SELECT * FROM sqlite_master"):
            for table in _TABLES:
                self._do(table)
            self._do("INSERT INTO made_with VALUES (?, ?, ?)", _MADE_WITH)
        if self._do("SELECT * FROM made_with") != [_MADE_WITH]:
            raise DataError(
                f"{self._path}: the journal of another version of emotion-train; run that version once, or move the "
                "file away"
            )
        self._do("COMMIT")
        self._do("PRAGMA journal_mode = WAL")

    def _do(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> EdgeError:
        match error.sqlite_errorcode & 0xFF:  # without the details of extended result codes
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:  # a text, or a database with other tables
                return DataError(f"{self._path}: not a journal of `emotion-train collect`; move it away")
            case sqlite3.SQLITE_CORRUPT:
                return DataError(
                    f"{self._path}: the journal is damaged; move it away, or try `sqlite3 {self._path} .recover`"
                )
            case sqlite3.SQLITE_FULL:
                reason = os.strerror(errno.ENOSPC)
            case _:
                reason = str(error)
        return OutputError(f"{self._path} cannot be written: {reason}")


def path_of(table: Path) -> Path:
    """Path of the journal of a table."""
    return table.with_name(f".{table.name}.journal")
