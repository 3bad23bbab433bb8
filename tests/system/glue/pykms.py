"""Stands in for the DRM library: Picamera2 imports it for a preview that nobody asks for here."""

from __future__ import annotations


class _Formats:
    """Has a name for every format; the preview makes a table of them when it is imported."""

    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _Formats()
