"""Pictures -> rows of the keypoint table, with the edge's own face mesh on every core."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from edge.face_mesh import open_face_mesh
from edge.settings import MeshSettings
from edge.values import LANDMARKS
from host_training.keypoints import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge.face_mesh import FaceMesh
    from edge.mesh_models import MeshModels
    from edge.values import Face

AXES_OF_COLOUR = 3
CHUNK = 64
"""Pictures that go to a worker at a time: about a second of work."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set before it is measured: what every importer returns."""

    name: str
    pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    """N pictures, uint8[H, W] grey or uint8[H, W, 3] RGB, one face each."""
    votes: NDArray[np.uint8]
    """uint8[N, 10] in the order of `votes.COLUMNS`."""
    split: NDArray[np.str_]
    """str[N], each one of `keypoints.SPLITS`."""
    group: NDArray[np.int32]
    """int32[N]: -1, or the group of byte-equal pictures."""
    row: NDArray[np.int32]
    """int32[N]: place in the data set."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows that were left out, by reason."""


def measure(source: Source, models: MeshModels, *, workers: int = -1) -> Table:
    """Find the face in every picture.

    Args:
        source: the data set.
        models: the mesh models, verified.
        workers: processes; -1: one for each core.

    Returns:
        The table, its rows in the order of the source.

    Raises:
        UnavailableError: no TFLite interpreter is installed.
    """
    pictures = source.pictures
    count = len(pictures)
    landmarks = np.full((count, LANDMARKS, 3), np.nan, np.float32)
    presence = np.zeros(count, np.float32)
    starts = range(0, count, CHUNK)
    jobs = (delayed(_measure_chunk)(pictures[start : start + CHUNK], models) for start in starts)
    done = Parallel(n_jobs=workers, return_as="generator")(jobs)
    with tqdm(total=count, desc="measuring faces", unit=" pictures") as bar:
        for start, faces in zip(starts, done, strict=True):
            for row, face in enumerate(faces, start):
                if face is not None:
                    landmarks[row], presence[row] = face.landmarks, face.presence
            bar.update(len(faces))
    return Table(
        source=np.array([f"{source.name}/{row}" for row in source.row.tolist()], np.str_),
        split=source.split,
        group=source.group,
        votes=source.votes,
        presence=presence,
        landmarks=landmarks,
    )


def _measure_chunk(pictures: Sequence[NDArray[np.uint8]], models: MeshModels) -> list[Face | None]:
    """The largest face of each picture, or None."""
    mesh = _mesh(models)
    channels = (picture if picture.ndim == AXES_OF_COLOUR else picture[:, :, None] for picture in pictures)
    found = (mesh.still(np.ascontiguousarray(np.broadcast_to(p, (*p.shape[:2], 3)))) for p in channels)
    return [faces[0] if faces else None for faces in found]


@cache
def _mesh(models: MeshModels) -> FaceMesh:
    """The mesh of a worker process, loaded once, with the device's own settings."""
    cv2.setNumThreads(1)  # the workers share the cores among themselves
    return open_face_mesh(MeshSettings(max_faces=1), models)
