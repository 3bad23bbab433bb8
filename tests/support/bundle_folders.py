"""Helpers for the folder of a device's bundles.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import bundle as bundles
from edge.bundle import trial

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
