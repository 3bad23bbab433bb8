"""Tables for tests that specify only the columns they need."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.keypoints import MESH, Table
from host_training.data.labels import VOTE_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table_of(landmarks: NDArray[np.float32], **columns: NDArray) -> Table:
    """Test rows with these landmarks, float32[N, 478, 3] px, and columns; all others are unknown."""
    count = len(landmarks)
    unknown = Table(
        data_set=np.full(count, "tiny"),
        source=np.arange(count).astype(np.str_),
        split=np.full(count, "test"),
        subject=np.full(count, ""),
        group=np.arange(count),
        label=np.zeros(count, np.int8),
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(count, MESH),
        presence=np.ones(count, np.float32),
        brightness=np.full(count, np.nan, np.float32),
        sharpness=np.full(count, np.nan, np.float32),
        landmarks=landmarks,
    )
    return dataclasses.replace(unknown, **columns)
