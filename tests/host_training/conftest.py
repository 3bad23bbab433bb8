"""Small tables of real faces, one with drawings of them, and bundles trained on these."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from host_training import build as train
from host_training.build import Origin
from host_training.data import parquet
from host_training.data.crops import CropStore, build
from host_training.data.keypoints import MESH, SPLITS, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.landmark_sets import REGIONS
from host_training.data.source import Pixels, fingerprint
from host_training.training import quantise
from host_training.training.recipe import Recipe, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "support" / "faces.npz"
COPIES = {"train": 12, "validation": 6, "test": 6}
MARGIN = 20
"""px of a drawing round its face."""
DARK, BRIGHT = 50, 230


@pytest.fixture(scope="session", autouse=True)
def _two_trims() -> Iterator[None]:
    """Two attempts of quantising instead of four: each takes half a second of a training on so few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "TRIMS", quantise.TRIMS[1:3])
        yield


@pytest.fixture(scope="session")
def faces() -> NDArray[np.float32]:
    """float32[16, 478, 3] px: real landmarks, two faces of each label, in the order of the labels."""
    with np.load(GOLDEN) as golden:
        return golden["landmarks"]


@pytest.fixture(scope="session")
def table_file(measured: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table; tests that write beside it or change it take a copy, `table_path`."""
    path = tmp_path_factory.mktemp("table") / "tiny.parquet"
    parquet.write(measured, path)
    return path


@pytest.fixture
def table_path(table_file: Path, tmp_path: Path) -> Path:
    """A copy of the small table, alone in its folder."""
    return Path(shutil.copy(table_file, tmp_path))


@pytest.fixture(scope="session")
def table(table_file: Path) -> Table:
    """The small table as it comes from its file."""
    return parquet.read(table_file)


@pytest.fixture(scope="session")
def measured(faces: NDArray[np.float32]) -> Table:
    """Every face many times over, each time a little different; one of each split was not found."""
    rng = np.random.default_rng(0)
    landmarks, votes, split = [], [], []
    for name in SPLITS:
        for index in np.repeat(np.arange(len(faces)), COPIES[name]):
            size = np.ptp(faces[index][:, 0])
            landmarks.append(faces[index] * rng.uniform(0.5, 2) + rng.normal(0, 0.005 * size, (478, 3)))
            vote = np.zeros(len(VOTE_COLUMNS), np.uint8)
            vote[int(index) * len(LABELS) // len(faces)] = 8
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
def recipe() -> Recipe:
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
def bundle_folder(table: Table, recipe: Recipe, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "fused"
    train.run(table, recipe, folder, origin)
    return folder


@pytest.fixture(scope="session")
def store(measured: Table, tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    """The faces of the small table with other labels, and a drawing of each.

    There are eight labels. The landmarks tell one of four pairs; in the drawing brows and lips are dark or bright,
    which tells another pair and which of it. So each alone leaves two labels to choose from, and both together none.
    """
    rng = np.random.default_rng(0)
    face = np.concatenate([np.repeat(np.arange(16), COPIES[name]) for name in SPLITS])
    shape, lips = face // 4, rng.integers(0, 2, len(face))
    label, votes = (shape * 2 + lips).astype(np.int8), np.zeros_like(measured.votes)
    votes[np.arange(len(votes)), label] = 10
    landmarks, group = measured.landmarks.copy(), measured.group.copy()
    landmarks[:, :, :2] += MARGIN - landmarks[:, :, :2].min(axis=1, keepdims=True)
    pictures = {}
    for row in np.flatnonzero(measured.found).tolist():
        pictures[row] = Pixels(drawing(landmarks[row], bright_brows=shape[row] % 2 > 0, bright_lips=lips[row] > 0))
        group[row] = fingerprint(pictures[row].load())
    path = tmp_path_factory.mktemp("drawn") / "drawn.parquet"
    parquet.write(dataclasses.replace(measured, landmarks=landmarks, group=group, votes=votes, label=label), path)
    return build(parquet.read(path), pictures)


def drawing(landmarks: NDArray[np.float32], *, bright_brows: bool, bright_lips: bool) -> NDArray[np.uint8]:
    """uint8[H, W], grey: a plain face with its brows and lips."""
    points = landmarks[:, :2].round().astype(np.int32)
    picture = np.full(points.max(axis=0)[::-1] + MARGIN, 90, np.uint8)
    halves = [np.array(REGIONS["brows"])[:10], np.array(REGIONS["brows"])[10:]]
    parts = [(np.array(REGIONS["oval"]), 140)]
    parts += [(half, BRIGHT if bright_brows else DARK) for half in halves]
    parts += [(np.array(REGIONS["lips"]), BRIGHT if bright_lips else DARK)]
    for part, shade in parts:
        cv2.fillConvexPoly(picture, cv2.convexHull(points[part]), shade)
    return picture


@pytest.fixture(scope="session")
def both(recipe: Recipe) -> Recipe:
    """The recipe of a network that sees landmarks and crop, and learns in seconds."""
    crop: dict[str, Any] = {
        "size": 24,
        "channels": (8, 12),
        "batch": 8,
        "epochs": 6,
        "learning_rate": 0.01,
        "distorted": 0.3,
    }
    return dataclasses.replace(
        recipe, inputs=("landmarks", "crop"), crop=dataclasses.replace(recipe.crop, **crop, dropout=0.1)
    )


@pytest.fixture(scope="session")
def one_stage(both: Recipe) -> Recipe:
    """The same with a convolutional network of a single stage, which costs two thirds."""
    return dataclasses.replace(both, crop=dataclasses.replace(both.crop, channels=(16,), epochs=5, learning_rate=0.02))


@pytest.fixture(scope="session")
def both_folder(store: CropStore, both: Recipe, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that reads landmarks and crop."""
    folder = tmp_path_factory.mktemp("both") / "fused"
    train.run(store.table, both, folder, origin, store)
    return folder


@pytest.fixture(scope="session")
def crop_folder(store: CropStore, one_stage: Recipe, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that reads the crop alone."""
    folder = tmp_path_factory.mktemp("crop") / "fused"
    train.run(store.table, dataclasses.replace(one_stage, inputs=("crop",)), folder, origin, store)
    return folder


@pytest.fixture
def changed(table: Table):
    """The table with some of its columns replaced."""

    def change(**columns: Any) -> Table:
        return dataclasses.replace(table, **columns)

    return change
