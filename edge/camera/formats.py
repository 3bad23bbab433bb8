"""The formats of picture files: which are read, and what to do about the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".avif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".jp2", ".pgm", ".ppm", ".pbm", ".pnm", ".pam", ".pfm", ".hdr", ".pic", ".sr", ".ras"),
    }
)
"""Suffixes of picture files that are read, in lower case."""

_NOT_READ = {".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".jxl": "JPEG XL"}
"""Suffixes of picture files that OpenCV cannot decode, and the names of their formats."""
_TOOLS = {"HEIC": "heif-convert (Debian package libheif-examples)", "JPEG XL": "djxl (Debian package libjxl-tools)"}

_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP|II\*\0|MM\0\*|\0\0\0\x0cjP|....ftypavi|P[1-7]\s|P[Ff]\s|#\?R|\x59\xa6\x6a\x95",
    re.DOTALL,
)
"""First bytes of picture files that are read."""
_HEIC = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_JPEG_XL = re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ", re.DOTALL)
_OPTIONAL = {"GIF": re.compile(rb"GIF8"), "AVIF": re.compile(rb"....ftypavi", re.DOTALL)}
"""Formats that some builds of OpenCV lack, and their first bytes."""
_HEAD = 16
"""Number of bytes in which these are found."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Marker of a JPEG file; what a scan holds between markers is escaped, and its restart markers don't count."""
_START, _END, _TEMPORARY = 0xD8, 0xD9, 0x01
"""Markers without a segment of their own."""


def is_picture(path: Path) -> bool:
    """Whether a file is one of a picture that is read: by its suffix, or else by its first bytes.

    A file that cannot be opened counts as one, so that reading it tells why.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in _NOT_READ:
        return False
    try:
        with path.open("rb") as file:
            return _SIGNATURES.match(file.read(_HEAD)) is not None
    except OSError:
        return True


def advice(path: Path, head: bytes = b"") -> str | None:
    """What to do about a picture whose format is not read; None if it isn't of a known one.

    Args:
        path: its name is looked at if there is no `head`.
        head: the beginning of its content.
    """
    if not head:
        name = _NOT_READ.get(path.suffix.lower())
    else:
        name = "HEIC" if _HEIC.match(head) else "JPEG XL" if _JPEG_XL.match(head) else None
    if name:
        return f"{name} pictures are not read; convert them to JPEG, for example with {_TOOLS[name]}"
    for name, start in _OPTIONAL.items():
        if start.match(head) and not cv2.haveImageWriter(f".{name.lower()}"):
            return f"OpenCV {cv2.__version__} does not read {name} pictures; convert them to PNG or JPEG"
    return None


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG picture lacks its end; of JPEG, decoders may fill the rest with grey and report nothing.

    Segments are skipped by their lengths, because thumbnails in them have ends of their own. What follows the end, such
    as the film of a motion photo, doesn't matter. Decoders notice the missing end of other formats.
    """
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            return False
        if marker not in (_START, _TEMPORARY):
            at += int.from_bytes(data[at : at + 2], "big")
    return True
