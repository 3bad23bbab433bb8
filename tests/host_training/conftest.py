"""A small table of real faces, and a bundle trained on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from host_training.data import keypoints
from host_training.data.keypoints import MESH, SPLITS, Table
from host_training.data.votes import COLUMNS, LABELS
from host_training.training import train
from host_training.training.settings import TrainSettings, load
from host_training.training.train import Origin

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "faces.npz"
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
    found = np.isfinite(points[:, 0, 0])
    count = len(found)
    return Table(
        data_set=np.full(count, "tiny"),
        source=np.arange(count).astype(np.str_),
        split=np.array(split),
        subject=np.full(count, ""),
        group=np.arange(count, dtype=np.int64),
        label=np.array(votes).argmax(axis=1).astype(np.int8),
        votes=np.array(votes),
        mesh=np.full(count, MESH),
        presence=found.astype(np.float32),
        brightness=np.where(found, rng.uniform(0, 1, count), np.nan).astype(np.float32),
        sharpness=np.where(found, rng.uniform(0, 0.1, count), np.nan).astype(np.float32),
        landmarks=points,
    )


@pytest.fixture(scope="session")
def settings() -> TrainSettings:
    return load(
        None,
        {
            "name": "tiny",
            "network.hidden": [24, 16],
            "optimiser.epochs": 15,
            "optimiser.batch": 32,
            "optimiser.patience": 15,
        },
    )


@pytest.fixture(scope="session")
def origin() -> Origin:
    return Origin(Path("tiny.parquet"), "emotion-train train --table tiny.parquet --out emotion")


@pytest.fixture(scope="session")
def bundle_folder(
    table: Table, settings: TrainSettings, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("model") / "emotion"
    train.run(table, settings, folder, origin)
    return folder


@pytest.fixture
def changed(table: Table):
    """The table with some of its columns replaced."""

    def change(**columns: Any) -> Table:
        return dataclasses.replace(table, **columns)

    return change
