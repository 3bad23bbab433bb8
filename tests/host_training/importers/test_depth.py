from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.errors import ConfigError
from host_training.data import keypoints, parquet
from host_training.importers import depth

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def turned(faces: NDArray[np.float32], times: int, seed: int):
    """Each face many times over, its head turned by up to half a right angle, at other sizes and places."""
    rng = np.random.default_rng(seed)
    copies = []
    for face in np.repeat(faces, times, axis=0):
        yaw, pitch, roll = rng.uniform(-0.4, 0.4, 3)
        about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        centred = face - face.mean(axis=0)
        copies.append(centred @ about_y @ about_x @ about_z * rng.uniform(0.5, 3) + rng.uniform(0, 500, 3))
    return np.array(copies, np.float32)


def recovered(depths: NDArray[np.float32], truth: NDArray[np.float32]):
    """Share of the variance within each face, in units of its size, that is told."""
    truth = truth - truth.mean(axis=1, keepdims=True)
    size = truth.std(axis=1, keepdims=True)
    return 1 - np.square((depths - truth) / size).mean()


def test_the_depth_of_turned_heads_is_recovered(golden: NDArray[np.float32]):
    learned = depth.Depth.fit(turned(golden, 40, seed=0))
    faces = turned(golden, 5, seed=1)

    assert recovered(learned(faces[:, :, :2]), faces[:, :, 2]) > 0.98
    always_the_same = np.tile(learned.mean_depth, (len(faces), 1))
    assert recovered((always_the_same / np.ptp(always_the_same)).astype(np.float32), faces[:, :, 2]) < 0.9


def test_does_not_depend_on_size_position_or_roll(golden: NDArray[np.float32]):
    learned = depth.Depth.fit(turned(golden, 10, seed=0))
    face = golden[:1, :, :2]
    quarter = np.array([[0, 1], [-1, 0]], np.float32)

    np.testing.assert_allclose(learned(face @ quarter * 4 + 100), learned(face) * 4, rtol=1e-3, atol=1e-2)


@pytest.mark.skipif(not depth.PUBLISHED.is_file(), reason=f"there is no {depth.PUBLISHED}")
def test_the_published_table_tells_the_depth_of_the_golden_faces(golden: NDArray[np.float32]):
    depths = depth.learned(depth.PUBLISHED)(golden[:, :, :2])

    assert recovered(depths, golden[:, :, 2]) > 0.99


def test_only_measured_training_faces_are_learned_from(depth_table: Path):
    learned, expected = depth.learned(depth_table), depth.Depth.fit(parquet.read(depth_table).landmarks[:16])

    np.testing.assert_allclose(learned.mean_depth, expected.mean_depth)


def test_a_table_without_a_face_to_learn_from_is_refused(tmp_path: Path, depth_table: Path):
    path = tmp_path / "table.parquet"
    parquet.write(keypoints.take(parquet.read(depth_table), np.array([16, 17, 18])), path)

    with pytest.raises(ConfigError, match="no training face"):
        depth.learned(path)


def test_a_missing_table_says_where_to_get_it(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no\.parquet.* is missing; take it from a checkout"):
        depth.learned(tmp_path / "no.parquet")
