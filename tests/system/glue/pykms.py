"""Replaces the DRM library, which Picamera2 imports for previews that are not used here."""

from __future__ import annotations


class _Formats:
    """Has every format; Picamera2 builds a table of formats at import."""

    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _Formats()
