"""A small table of real faces, and a bundle trained on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from host_training import keypoints
from host_training.keypoints import SPLITS, Table
from host_training.settings import TrainSettings
from host_training.votes import COLUMNS, LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "model" / "emotion" / "golden.npz"
COPIES = {"train": 12, "validation": 6, "test": 6}


@pytest.fixture(scope="session")
def faces() -> NDArray[np.float32]:
    """float32[16, 478, 3] px: real landmarks, two faces of each label, in the order of the labels."""
    with np.load(GOLDEN) as golden:
        return golden["landmarks"]


@pytest.fixture(scope="session")
def table(measured: Table, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A small table as it comes from its file."""
    path = tmp_path_factory.mktemp("table") / "tiny.parquet"
    keypoints.write(measured, path)
    return keypoints.read(path)


@pytest.fixture(scope="session")
def measured(faces: NDArray[np.float32]) -> Table:
    """Every face many times over, each time a little different; one of each split was not found."""
    rng = np.random.default_rng(0)
    landmarks, votes, split = [], [], []
    for name in SPLITS:
        for index in np.repeat(np.arange(len(faces)), COPIES[name]):
            size = np.ptp(faces[index][:, 0])
            landmarks.append(faces[index] * rng.uniform(0.5, 2) + rng.normal(0, 0.005 * size, (478, 3)))
            vote = np.zeros(len(COLUMNS), np.uint8)
            vote[index * len(LABELS) // len(faces)] = 8
            vote[LABELS.index("neutral")] += 2
            votes.append(vote)
            split.append(name)
        landmarks[-1] = np.full((478, 3), np.nan)
    points = np.array(landmarks, np.float32)
    return Table(
        source=np.array([f"tiny/{row}" for row in range(len(split))]),
        split=np.array(split),
        group=np.full(len(split), -1, np.int32),
        votes=np.array(votes),
        presence=np.isfinite(points[:, 0, 0]).astype(np.float32),
        landmarks=points,
    )


@pytest.fixture(scope="session")
def settings() -> TrainSettings:
    return TrainSettings(name="tiny", hidden=(24, 16), epochs=15, batch=32, patience=15)


@pytest.fixture(scope="session")
def bundle_folder(table: Table, settings: TrainSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from host_training import train

    folder = tmp_path_factory.mktemp("model") / "emotion"
    train.run(table, settings, folder, table_path=Path("tiny.parquet"))
    return folder


@pytest.fixture
def changed(table: Table):
    """The table with some of its columns replaced."""

    def change(**columns: Any) -> Table:
        return dataclasses.replace(table, **columns)

    return change
