"""The finished parts of a long job, kept in a folder so that a job that was stopped can resume.

Each part is a file that appears whole: a kill, a full disk or a power cut costs only the parts in progress.
"""

from __future__ import annotations

import fcntl
import io
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edge.errors import OutputError, UnavailableError
from host_training.output import whole

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

JOB = "job.json"
LOCK = "lock"
SUFFIX = ".npz"


class Parts:
    """The finished parts of one job. A context manager: only one program at a time works on a job."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        """Take note of the folder; `__enter__` opens it.

        Args:
            folder: holds nothing else.
            job: description of the job, in values that JSON can hold. Parts of a job with another description are
                discarded.
        """
        self._folder = folder
        self._job = json.dumps(job, sort_keys=True)

    def __enter__(self) -> Self:
        """Lock the folder, and discard the parts of another job.

        Raises:
            OutputError: the folder cannot be written.
            UnavailableError: another program works on it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / LOCK).open("w")
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it when the program dies
        except BlockingIOError as error:
            self._lock.close()
            raise UnavailableError(f"{self._folder}: another program works on the same job") from error
        if self._described() != self._job:
            if stale := _files(self._folder):
                print(f"{self._folder}: discarding {len(stale)} parts of another job", file=sys.stderr)
            _forget(self._folder)
            with whole(self._folder / JOB) as file:
                file.write_text(self._job, "utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock the folder; its parts stay."""
        self._lock.close()

    def load(self, number: int) -> dict[str, NDArray[Any]] | None:
        """The arrays of a part; None if it is missing or damaged."""
        try:
            data = self._path(number).read_bytes()
            # From memory, because NumPy leaves a damaged file open.
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception:  # noqa: BLE001 - a damaged file raises from deep inside zipfile, struct or NumPy
            return None

    def save(self, number: int, arrays: dict[str, Any]) -> None:
        """Store a part.

        Raises:
            OutputError: it cannot be written; the other parts stay.
        """
        try:
            with whole(self._path(number)) as partial, partial.open("wb") as file:
                np.savez(file, **arrays)
        except OutputError as error:
            raise OutputError(
                f"{error}; the finished parts stay there, and the same command resumes with them"
            ) from error

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}{SUFFIX}"

    def _described(self) -> str:
        try:
            return (self._folder / JOB).read_text("utf-8")
        except (OSError, ValueError):
            return ""


def remove(folder: Path) -> None:
    """Remove a finished job's folder."""
    _forget(folder)
    (folder / LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # other files are there
        folder.rmdir()


def _forget(folder: Path) -> None:
    # The description goes last, so that parts which a kill leaves behind still have one.
    for path in [*_files(folder), folder / JOB]:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix in (SUFFIX, ".partial")]
