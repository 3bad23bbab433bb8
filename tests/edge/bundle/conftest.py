"""A store of bundles, in memory if possible."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.bundle.store import BundleStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory if possible: fsync on a disk is slow, and makes no difference after a kill."""
    memory = Path("/dev/shm")  # noqa: S108 - only a temporary folder is created in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder of a device's bundles."""
    return tmp_path / "models"


@pytest.fixture
def store(root, keys) -> BundleStore:
    """A store that installs without a trial of the bundle's speed."""
    return BundleStore(root, keys[0].trusted, trial_s=0)
