"""A clock that only `sleep` advances, and test files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.settings import CameraSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class ManualTime:
    """A clock and a sleep that advances it."""

    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def world() -> ManualTime:
    return ManualTime()


@pytest.fixture
def settings() -> CameraSettings:
    return CameraSettings(width=64, height=48, fps=10.0, stall_s=2.0, retry_max_s=4.0)


def write_clip(path: Path, *, frames: int = 40, fps: float = 20.0, codec: str = "MJPG") -> Path:
    """A clip of noise that becomes brighter, so that the mean of a frame identifies it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (96, 64))
    assert writer.isOpened()
    noise = np.random.default_rng(0).integers(0, 60, (64, 96, 3))
    for i in range(frames):
        writer.write((noise + 4 * i).clip(0, 255).astype(np.uint8))
    writer.release()
    return path


def cut(path: Path, share: float, folder: Path | None = None) -> Path:
    """The first part of a file, as a new file in the same folder, or in another."""
    data = path.read_bytes()
    short = (folder or path.parent) / f"{path.stem}-cut{path.suffix}"
    short.write_bytes(data[: int(len(data) * share)])
    return short
