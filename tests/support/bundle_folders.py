"""Helpers for the folder of a device's bundles.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.bundle import bundle as bundles
from edge.bundle import trial

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEEP = Path(__file__).with_name("kill_sweep.py")


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def links(root: Path) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in root.iterdir() if path.is_symlink()}


@pytest.fixture
def quick_golden_faces(request, monkeypatch):
    """Run the self-test in this process, which saves half a second, except for bundles that crash it."""
    original = trial.try_out

    def try_out(folder: Path, *, seconds: float = 0.0, **more) -> None:
        if seconds or "crashing" in request.fixturenames:
            original(folder, seconds=seconds, **more)
        else:
            bundles.load(folder)

    monkeypatch.setattr(trial, "try_out", try_out)


@pytest.fixture
def folder_in_memory() -> Iterator[Path]:
    """A folder in memory if possible: fsync on a disk is slow, and makes no difference after a kill."""
    memory = Path("/dev/shm")  # noqa: S108 - only a temporary folder is created in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)
