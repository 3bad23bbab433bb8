"""Samples of invented people, with real landmarks.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from host_training.collecting.measuring import Conditions
from host_training.collecting.samples import Measured, split_of
from host_training.data.keypoints import SPLITS
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.collecting.journal import Journal

ON_EACH_SIDE = {side: next(f"p{i}" for i in itertools.count() if split_of(f"p{i}") == side) for side in SPLITS}
"""Ids of one person in each split."""


@pytest.fixture(scope="session")
def conditions() -> Conditions:
    return Conditions(FUSED_BUNDLE / bundles.FEATURES)


@pytest.fixture
def seen(faces: NDArray[np.float32]) -> Callable[..., Measured]:
    """Makes the measurements of different pictures."""
    numbers = itertools.count(1)

    def make(brightness: float = 0.5, face: int = 0) -> Measured:
        number = next(numbers)
        return Measured(
            picture=np.full((8, 8, 3), number % 256, np.uint8),
            landmarks=faces[face] + np.float32(number / 8),
            presence=0.9,
            brightness=brightness,
            sharpness=0.01,
            group=number,
        )

    return make


def files_of(journal: Path) -> list[Path]:
    """The files of a journal: its database and, while it is open or after a kill, the log."""
    return sorted(journal.parent.glob(f"{journal.name}*"))


def kill(journal: Journal) -> None:
    """Leave the files as a program does that is killed now."""
    left = {path: path.read_bytes() for path in files_of(journal._path)}
    journal._database.close()
    for path, data in left.items():
        path.write_bytes(data)
    journal._lock.close()


@contextmanager
def no_room_for(journal: Journal) -> Iterator[None]:
    """Make writes fail that would enlarge the journal."""
    size = max(path.stat().st_size for path in files_of(journal._path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small disk."""
    folder.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # a failed write may still have it open
