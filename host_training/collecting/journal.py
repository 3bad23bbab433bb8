"""What was recorded since the table was written last, beside it: rows are safe as soon as they are counted.

The file is one line of JSON (the header), then one record per row or per take that was undone, little-endian:

    uint32 length, uint32 CRC-32, then `length` bytes that zlib unpacks to a line of JSON, and for a row
        float32[478, 3] landmarks, px

A record is written whole and handed to the system at once, so a crash costs the row being written, and a power cut
the second since the last fsync.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import time
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

import numpy as np

from edge import durable
from edge.errors import DataError, OutputError, UnavailableError
from edge.face_mesh import STILL_VERSION
from edge.values import LANDMARKS
from host_training.collecting.samples import Sample, Take
from host_training.data.keypoints import MESH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

FORMAT = "emotion-edge journal"
VERSION = 1
SYNC_S = 1.0
"""How much of a recording a power cut may cost."""

_RECORD = struct.Struct("<II")
_LANDMARK_BYTES = LANDMARKS * 3 * 4
_MAX_RECORD = 1 << 16
"""Bytes; a row has about 5,000. A longer one can only be damage."""
_HEADER = {"format": FORMAT, "version": VERSION, "mesh": MESH, "extraction": STILL_VERSION}
_MAX_HEADER = 4096


class Journal:
    """The journal of one table, which only one program at a time has in its hands. A context."""

    def __init__(self, path: Path) -> None:
        """Take it, or begin one.

        Raises:
            OutputError: it cannot be written.
            UnavailableError: another program collects into the same table.
            DataError: it is no journal, or one of another version.
        """
        self._path = path
        self._file = self._taken()
        self._synced = time.monotonic()
        self._start = 0
        """Bytes of the header."""
        self.samples: list[Sample] = []
        """What it held when it was taken, without the takes that were undone."""
        self.damaged = 0
        """Bytes that could not be read then."""
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it; what is in it stays, and one that holds nothing goes."""
        if not self._file.closed:
            if os.fstat(self._file.fileno()).st_size <= self._start:
                self._path.unlink(missing_ok=True)
            self._file.close()

    def add(self, sample: Sample) -> None:
        """Append a row.

        Raises:
            OutputError: it cannot be written; what was there is still there.
        """
        size = os.fstat(self._file.fileno()).st_size
        fields = asdict(sample)
        landmarks = fields.pop("landmarks").astype("<f4").tobytes()
        self._put(json.dumps(fields).encode() + b"\n" + landmarks)
        if time.monotonic() - self._synced >= SYNC_S:
            try:
                self.sync()
            except OutputError:
                self._cut(size)  # it is not going to be counted
                raise

    def undo(self, take: Take) -> None:
        """Append that a take is not wanted.

        Raises:
            OutputError: see `add`.
        """
        self._put(json.dumps({"undo": asdict(take)}).encode() + b"\n")
        self.sync()

    def sync(self) -> None:
        """Wait until all of it is on the disk.

        Raises:
            OutputError: that failed.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error
        self._synced = time.monotonic()

    def clear(self) -> None:
        """All that it holds is in the table, or wanted no more.

        Raises:
            OutputError: it cannot be written.
        """
        self._cut(self._start)
        self.samples = []

    def _taken(self) -> BinaryIO:
        while True:
            try:
                file = self._path.open("a+b", buffering=0)
            except OSError as error:
                raise self._refused(error) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system frees it when the program dies
                if os.stat(self._path).st_ino == os.fstat(file.fileno()).st_ino:  # noqa: PTH116 - beside fstat
                    return file
            except BlockingIOError as error:
                file.close()
                raise UnavailableError(f"{self._path}: another program collects into the same table") from error
            except FileNotFoundError:
                pass
            file.close()  # whoever had it before has removed it in between

    def _read(self) -> None:
        """Find what is there, and cut off what a crash has left of a record."""
        self._file.seek(0)
        header, end, _ = self._file.read(_MAX_HEADER).partition(b"\n")
        ours = json.dumps(_HEADER).encode()
        if not end and ours.startswith(header.rstrip(b"\0")):
            # It was in the making: nothing is lost.
            header = ours
            self._cut(0)
            self._write(header + b"\n")
        self._check(header)
        self._start = len(header) + 1
        self._file.seek(self._start)
        data = self._file.readall()  # type: ignore[attr-defined]  # unbuffered
        place = 0
        for record, after in _records(data):
            if not self._take_in(record):
                self.damaged += after - place
            place = after
        if place < len(data):
            self.damaged += len(data) - place
            self._cut(self._start + place)

    def _check(self, line: bytes) -> None:
        try:
            header = dict(json.loads(line))
        except (ValueError, TypeError):
            header = {}
        if header.get("format") != FORMAT:
            raise DataError(f"{self._path}: is in the way, and no journal of `emotion-train collect`; move it away")
        if header != _HEADER:
            raise DataError(
                f"{self._path}: another version of this program has recorded it; let that one take it over, "
                "or move it away"
            )

    def _take_in(self, record: bytes | None) -> bool:
        """Whether a record is what it should be."""
        if record is None:
            return False
        line, _, landmarks = record.partition(b"\n")
        try:
            fields = json.loads(line)
            if "undo" in fields:
                undone = Take(**fields["undo"])
                self.samples = [sample for sample in self.samples if sample.take != undone]
                return True
            points = np.frombuffer(landmarks, "<f4", LANDMARKS * 3).reshape(LANDMARKS, 3).astype(np.float32)
            self.samples.append(Sample(take=Take(**fields.pop("take")), landmarks=points, **fields))
        except (ValueError, TypeError):
            return False
        return True

    def _put(self, record: bytes) -> None:
        payload = zlib.compress(record, level=1)
        self._write(_RECORD.pack(len(payload), zlib.crc32(payload)) + payload)

    def _write(self, data: bytes) -> None:
        try:
            durable.append(self._file, data)
        except OSError as error:
            raise self._refused(error) from error

    def _cut(self, size: int) -> None:
        try:
            self._file.truncate(size)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path} cannot be written: {os.strerror(error.errno or 0)}")


def path_of(table: Path) -> Path:
    """Where the journal of a table lies."""
    return table.with_name(f".{table.name}.journal")


def _records(data: bytes) -> Iterator[tuple[bytes | None, int]]:
    """The records and where each ends; None in place of one that is damaged though its end can be told."""
    place = 0
    while place + _RECORD.size <= len(data):
        length, checksum = _RECORD.unpack_from(data, place)
        end = place + _RECORD.size + length
        if not 0 < length <= _MAX_RECORD or end > len(data):
            return
        payload, place = data[place + _RECORD.size : end], end
        yield (_unpacked(payload) if zlib.crc32(payload) == checksum else None), end


def _unpacked(payload: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(payload, _LANDMARK_BYTES + _MAX_HEADER)
    except zlib.error:
        return None
