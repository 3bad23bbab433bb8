"""Recordings: the results of the face mesh, frame by frame, without pictures.

The file is one line of JSON, the header, then one little-endian record per frame:

    uint32 length, uint32 CRC-32, then `length` bytes that zlib decompresses to
        float64 s since the first frame, uint8 number of faces, and for each face
            uint32 track_id, float32 presence, int16[478, 3] landmarks in units of 1 / units_per_px px

Each record is written at once and unbuffered. A crash costs the frame being written; a power cut costs the seconds
since the last fsync.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import struct
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from edge.camera.files import refusal
from edge.errors import DataError, EdgeError, NoInputError, OutputError
from edge.values import LANDMARKS, Face, Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

FORMAT = "emotion-edge recording"
VERSION = 1
SYNC_S = 5.0
"""Longest part of a recording that a power cut can cost."""

_RECORD = struct.Struct("<II")
_FRAME = struct.Struct("<dB")
_FACE = struct.Struct("<If")
_LANDMARK_BYTES = LANDMARKS * 3 * 2
_MAX_RECORD = 1 << 20
"""Largest record in bytes; 255 faces take 730 kB."""
_MAX_HEADER = 4096
_INT16_PX = 25_600
"""Most units along the longer side of a frame; the rest of int16 is for points outside of it."""


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """Header of a recording."""

    created: str
    """RFC 3339, UTC."""
    width: int
    """Width of the recorded frames, px."""
    height: int
    mesh_sha256: str
    """sha256 of the landmark model; empty: unknown."""
    units_per_px: int
    """Resolution of the landmarks: 16 units per px for frames up to 1600 px, fewer for larger ones."""


class RecordingWriter:
    """Appends frames to a new recording. It holds only one frame in memory."""

    def __init__(
        self, path: Path, *, width: int, height: int, mesh_sha256: str = "", created: datetime | None = None
    ) -> None:
        """Begin a recording.

        Args:
            path: a file that does not exist yet.
            width: of the frames, px.
            height: of the frames, px.
            mesh_sha256: of the landmark model.
            created: for the header, with a time zone; None: now.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        refuse_existing(path)
        units = 16
        while units > 1 and units * max(width, height) > _INT16_PX:
            units //= 2
        moment = (created or datetime.now(UTC)).astimezone(UTC)
        self.header = RecordingHeader(
            created=moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
            width=width,
            height=height,
            mesh_sha256=mesh_sha256,
            units_per_px=units,
        )
        self.frames = 0
        """Number of frames written."""
        self._path = path
        self._first = self._synced = 0.0
        try:
            # Unbuffered, so that a crash loses nothing that was written, and closing can't fail.
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        fields = {"format": FORMAT, "version": VERSION, "landmarks": LANDMARKS, **asdict(self.header)}
        try:
            self._put(json.dumps(fields).encode() + b"\n")
        except OutputError:
            # Without a header it is not a recording, and would block the next attempt.
            self._file.close()
            path.unlink(missing_ok=True)
            raise

    def write(self, frame: Frame) -> None:
        """Append the faces of one frame, without its picture.

        Raises:
            OutputError: the disk is full or unreachable; the frames before can be played.
        """
        if self.frames == 0:
            self._first = self._synced = frame.captured_at
        faces = (frame.faces or ())[:255]
        parts = [_FRAME.pack(frame.captured_at - self._first, len(faces))]
        for face in faces:
            parts += [_FACE.pack(face.track_id, face.presence), self._packed(face.landmarks)]
        payload = zlib.compress(b"".join(parts), level=1)
        self._put(_RECORD.pack(len(payload), zlib.crc32(payload)) + payload)
        self.frames += 1
        if frame.captured_at - self._synced >= SYNC_S:
            self._synced = frame.captured_at
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._refused(error) from error

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _packed(self, landmarks: NDArray[np.float32]) -> bytes:
        units = np.rint(landmarks * self.header.units_per_px)
        return np.clip(units, -32768, 32767).astype("<i2").tobytes()

    def _put(self, data: bytes) -> None:
        """Append all of `data` or nothing."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "cut short")  # noqa: TRY301 - handled as if the system had raised it
        except OSError as error:
            # A partial record would make the file look damaged to a reader.
            with contextlib.suppress(OSError):
                self._file.truncate(size)
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        kept = f"; the {self.frames} frames before can be played" if self.frames else ""
        return OutputError(f"{self._path} cannot be written: {os.strerror(error.errno or 0)}{kept}")


def refuse_existing(path: Path) -> None:
    """Check that a path is free, before a camera is opened.

    Raises:
        OutputError: it exists.
    """
    if os.path.lexists(path):
        raise OutputError(f"{path} exists: choose another file, or remove it")


class RecordingReader:
    """Reads a recording from its first frame to its last."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            NoInputError: the file does not exist or cannot be read.
            PermissionRefusedError: this user may not read it.
            DataError: it is not a recording, or one of another version.
        """
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise refusal(path, error) from error
        except ValueError as error:  # a null byte in the name
            raise NoInputError(f"{str(path)!r} is not the name of a file") from error
        try:
            self.header = self._header()
        except EdgeError:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """The frames, in order; `captured_at` is s since the first one.

        Raises:
            DataError: the file is damaged or truncated; all frames before were returned.
            NoInputError: the disk is damaged or unreachable.
        """
        frames = 0
        while head := self._read(_RECORD.size):
            frame = self._frame(head)
            if frame is None:
                raise DataError(f"{self._path} is damaged: {frames} frames could be read")
            yield frame
            frames += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise refusal(self._path, error) from error

    def _header(self) -> RecordingHeader:
        try:
            line = self._file.readline(_MAX_HEADER)
        except OSError as error:
            raise refusal(self._path, error) from error
        try:
            fields = json.loads(line)
            foreign = fields["format"] != FORMAT
            version = int(fields["version"])
            header = RecordingHeader(
                created=str(fields["created"]),
                width=int(fields["width"]),
                height=int(fields["height"]),
                mesh_sha256=str(fields["mesh_sha256"]),
                units_per_px=int(fields["units_per_px"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            foreign = True
        if foreign or min(header.width, header.height) < 1:
            raise DataError(f"{self._path} is not a recording made with emotion-edge record")
        if version != VERSION or fields.get("landmarks") != LANDMARKS or header.units_per_px < 1:
            raise DataError(f"{self._path} is a recording of version {version}; this program reads {VERSION}")
        return header

    def _frame(self, head: bytes) -> Frame | None:
        """The frame of a record; None: it is damaged or truncated."""
        if len(head) < _RECORD.size:
            return None
        length, checksum = _RECORD.unpack(head)
        payload = self._read(length) if length <= _MAX_RECORD else b""
        if len(payload) != length or zlib.crc32(payload) != checksum:
            return None
        try:
            # Bounded, because a forged record could decompress to any size.
            data = zlib.decompressobj().decompress(payload, _MAX_RECORD)
            captured_at, count = _FRAME.unpack_from(data)
            face_bytes = _FACE.size + _LANDMARK_BYTES
            faces = tuple(self._face(data, _FRAME.size + i * face_bytes) for i in range(count))
        except (zlib.error, struct.error, ValueError):
            return None
        if not math.isfinite(captured_at):
            return None  # it would never be due
        size = self.header.width, self.header.height
        return Frame(rgb=np.empty((0, 0, 3), np.uint8), captured_at=captured_at, faces=faces, recorded_size=size)

    def _face(self, data: bytes, at: int) -> Face:
        track_id, presence = _FACE.unpack_from(data, at)
        units = np.frombuffer(data, "<i2", LANDMARKS * 3, at + _FACE.size).reshape(LANDMARKS, 3)
        landmarks = units.astype(np.float32) / np.float32(self.header.units_per_px)
        return Face(track_id=track_id, landmarks=landmarks, presence=presence)
