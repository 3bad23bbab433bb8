"""Small data sets, written as they are distributed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import pytest

from host_training.data import parquet
from host_training.data.keypoints import MESH, UNKNOWN_MESH, Table
from host_training.data.labels import VOTE_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"


class WritePicture(Protocol):
    def __call__(self, name: str, shade: int = 128, height: int = 8, width: int = 8) -> Path: ...


class WriteText(Protocol):
    def __call__(self, name: str, text: str) -> Path: ...


@pytest.fixture
def picture(tmp_path: Path) -> WritePicture:
    """Writes a picture of one shade of grey in the format that its name asks for."""

    def write(name: str, shade: int = 128, height: int = 8, width: int = 8) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((height, width), shade, np.uint8))
        return path

    return write


@pytest.fixture
def text(tmp_path: Path) -> WriteText:
    """Writes a text file."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def golden() -> NDArray[np.float32]:
    """float32[16, 478, 3] px: real landmarks."""
    with np.load(GOLDEN) as data:
        return data["landmarks"]


@pytest.fixture(scope="session")
def depth_table(golden: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keypoint table: the golden faces for training, and after them rows that depth must not be learned from."""
    flat = golden[:3] * np.array([1, 1, 0], np.float32)
    landmarks = np.concatenate([golden, flat])
    landmarks[16] = np.nan
    count = len(landmarks)
    path = tmp_path_factory.mktemp("depth") / "table.parquet"
    table = Table(
        data_set=np.full(count, "tiny"),
        source=np.arange(count).astype(np.str_),
        split=np.array([*["train"] * 17, "test", "train"]),
        subject=np.full(count, ""),
        group=np.arange(count),
        label=np.zeros(count, np.int8),
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.array([*[MESH] * 18, UNKNOWN_MESH]),
        presence=np.ones(count, np.float32),
        brightness=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        landmarks=landmarks,
    )
    parquet.write(table, path)
    return path
