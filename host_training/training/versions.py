"""Versions of the libraries that a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform

LIBRARIES = ("tensorflow", "keras", "numpy")
"""Those that decide a network's weights."""


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, `LIBRARIES`, and more distributions."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in (*LIBRARIES, *more)
    }
