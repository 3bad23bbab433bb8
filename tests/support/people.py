"""Samples of people who do not exist, with real landmarks.

PYTEST_DONT_REWRITE: it is a helper and a plugin at once, and pytest would complain that it came too late.
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
"""A person of each split."""


@pytest.fixture(scope="session")
def conditions() -> Conditions:
    return Conditions(FUSED_BUNDLE / bundles.FEATURES)


@pytest.fixture
def seen(faces: NDArray[np.float32]) -> Callable[..., Measured]:
    """Makes what is measured on one picture after another, no two the same."""
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
    """A journal's database and, while it is open or after a kill, its log."""
    return sorted(journal.parent.glob(f"{journal.name}*"))


def kill(journal: Journal) -> None:
    """Leave on the disk what a program leaves that is killed now."""
    left = {path: path.read_bytes() for path in files_of(journal._path)}
    journal._database.close()
    for path, data in left.items():
        path.write_bytes(data)
    journal._lock.close()


@contextmanager
def no_room_for(journal: Journal) -> Iterator[None]:
    """Let writes fail that would make the journal longer."""
    size = max(path.stat().st_size for path in files_of(journal._path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk that is easily full."""
    folder.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount the small disk that this fills")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # what failed to write may still have it open
