"""Tells whether a video file is whole, by the sizes that its container states.

The number of frames doesn't tell: some containers only state a duration, from which OpenCV estimates it, and others
count frames that an editor has hidden.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot"}
"""Boxes that an MP4 or QuickTime file may begin with (ISO/IEC 14496-12)."""
_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
"""Element IDs of Matroska and WebM (RFC 9559)."""
_UNKNOWN_SIZE = 0xFFFFFFFF
_BOX_MIN, _LARGE_BOX, _LAST_BOX = 8, 1, 0


@dataclass(frozen=True, slots=True)
class Container:
    """What a file says of itself."""

    whole: bool | None = None
    """Whether nothing is missing; None: the container doesn't tell."""
    lists_frames: bool = False
    """Whether it lists all its frames, of which some may be hidden (edit lists); else their number is an estimate."""


def container(path: Path) -> Container:
    """Read the sizes in a video file; no picture is decoded.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[4:8] in _MP4_BOXES:
            return Container(_boxes_end(file, size) <= size, lists_frames=True)
        if start[:4] == b"RIFF":
            return Container(_avi_is_whole(file, size))
        if int.from_bytes(start[:4]) == _EBML:
            return Container(_matroska_is_whole(file, size))
    return Container()


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 file ends, or would end if nothing were missing."""
    at = 0
    while at + _BOX_MIN <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        if length == _LARGE_BOX:
            length = int.from_bytes(header[8:])
        if length == _LAST_BOX or length < _BOX_MIN:  # up to the end of the file, or something else follows
            return size
        at += length
    return at


def _avi_is_whole(file: BinaryIO, size: int) -> bool | None:
    """Whether the chunks of an AVI file follow each other without a gap; None: it was written as a live stream."""
    for name, start, end in _chunks(file, 0, size):
        if name != b"RIFF":  # something else follows
            return True
        if end - start in {0, _UNKNOWN_SIZE}:
            return None
        if end > size:
            return False
        for child, inner_start, inner_end in _chunks(file, start + 4, end):
            if not child.isascii() or inner_end > end:
                return False
            if child == b"LIST" and any(
                not data.isascii() or data_end > inner_end
                for data, _, data_end in _chunks(file, inner_start + 4, inner_end)
            ):
                return False
    return True


def _chunks(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The RIFF chunks from `at` to `end`: name, start and end of the content; the last may end too late."""
    while at + 8 <= end:
        file.seek(at)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        yield header[:4], at + 8, at + 8 + length
        at += 8 + length + length % 2


def _matroska_is_whole(file: BinaryIO, size: int) -> bool | None:
    """Whether the elements of all clusters follow each other without a gap; None: it was written as a live stream."""
    for name, start, end in _elements(file, 0, size):
        if name != _SEGMENT:
            continue
        if end is None:
            return None
        if end > size:
            return False
        for child, inner_start, inner_end in _elements(file, start, end):
            if inner_end is None:
                return None
            if inner_end > end:
                return False
            blocks = _elements(file, inner_start, inner_end) if child == _CLUSTER else ()
            if any(block_end is None or block_end > inner_end for _, _, block_end in blocks):
                return False
    return True


def _elements(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """The elements from `at` to `end`: ID, start and end of the content; the last may end too late, or be unknown."""
    while at < end:
        file.seek(at)
        header = file.read(12)
        id_length = 9 - header[0].bit_length() if header else 9
        size_length = 9 - header[id_length].bit_length() if id_length < len(header) else 9
        start = at + id_length + size_length
        content = header[id_length : id_length + size_length]
        if id_length > 4 or size_length > 8 or len(content) < size_length:  # noqa: PLR2004 - the longest of each
            yield 0, at, end + 1  # no element begins here
            return
        length = int.from_bytes(content) & ~(1 << 7 * size_length)
        if length == (1 << 7 * size_length) - 1:
            yield int.from_bytes(header[:id_length]), start, None
            return
        yield int.from_bytes(header[:id_length]), start, start + length
        at = start + length
