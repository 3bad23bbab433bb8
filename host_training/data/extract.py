"""Pictures -> rows of the keypoint table, with the daemon's own face mesh, on every core or on a cluster.

Measurements are kept in a folder until the table is written, so that a run that was stopped can resume.
"""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import sys
import threading
import time
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from edge.errors import ConfigError, EdgeError, UnavailableError
from edge.face_mesh import STILL_VERSION, open_face_mesh
from edge.face_mesh.models import MEMBERS, cache_folder, find
from edge.settings import MeshSettings
from edge.values import LANDMARKS
from host_training.data import cluster as dask_cluster
from host_training.data.conditions import light
from host_training.data.keypoints import MESH, Table
from host_training.data.labels import LABELS
from host_training.data.parts import Parts
from host_training.data.source import ImageFile, fingerprint
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.face_mesh import FaceMesh
    from edge.face_mesh.models import MeshModels
    from host_training.data.source import Row, Source

CHUNK = 64
"""Pictures that a worker gets at a time, and that a kill may cost: about a second of work."""
NAMED = 5
"""Unreadable pictures that are named; the others are only counted."""
UNREADABLE = "the picture cannot be read"

MEASURED = ("reason", "group", "presence", "brightness", "sharpness", "landmarks")
"""Measurements of a picture: why it cannot be read, or empty; and columns of `Table`."""

_of_thread = threading.local()
"""Face mesh of each worker thread: an interpreter serves one thread, and a Dask worker has several."""


def measure(
    source: Source, models: MeshModels, *, parts: Path, workers: int = -1, cluster: str | None = None
) -> tuple[Table, Counter[str]]:
    """Find the face in every picture.

    Args:
        source: the data set.
        models: the mesh models, verified.
        parts: folder for the finished parts of the job; parts that are there already are not measured again. The
            caller removes it, with `parts.remove`, once the table has been written.
        workers: processes on this machine; -1: one for each core.
        cluster: a Dask scheduler to use instead, such as `tcp://host:8786`. Its workers look for image files at the
            same absolute paths, and for the mesh models in the same folder or in their own cache.

    Returns:
        The table, with its rows in the order of the source and an empty split if the source gives none.
        How many pictures were left out, by reason.

    Raises:
        SourceError: two rows have the same source, or no picture can be read.
        OutputError: `parts` cannot be written.
        UnavailableError: no TFLite interpreter is installed, workers died, or the cluster does not answer.
        ConfigError: a cluster's worker lacks the mesh models, or has another version of the measurement.
    """
    _check_names(source)
    chunks = {number: source.rows[at : at + CHUNK] for number, at in enumerate(range(0, len(source.rows), CHUNK))}
    with Parts(parts, _description(source)) as store:
        done = {}
        for number, rows in chunks.items():
            part = store.load(number)
            if part is not None and _is_of(rows, part):
                done[number] = part
        folder = models.folder.absolute()  # a worker may run in another directory
        jobs = [(number, rows, folder, STILL_VERSION) for number, rows in chunks.items() if number not in done]
        start = sum(len(chunks[number]) for number in done)
        with tqdm(total=len(source.rows), initial=start, desc="measuring faces", unit=" pictures") as bar:
            for number, measured in _fan_out(jobs, workers, cluster):
                if cluster:
                    _check_readable(chunks[number], measured)
                store.save(number, measured)
                done[number] = measured
                bar.update(len(chunks[number]))
    return _table(source, [done[number] for number in chunks])


def _check_names(source: Source) -> None:
    """Refuse names that a table cannot hold, before the work and not after it."""
    twice = [name for name, count in Counter(row.source for row in source.rows).items() if count > 1]
    if twice:
        raise SourceError(f"{source.name}: {twice[0]!r} occurs twice")
    for row in source.rows:
        try:
            f"{row.source}{row.subject}".encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{row.source!r}: the name is not in UTF-8; rename the file") from error


def _description(source: Source) -> dict[str, Any]:
    """Description of the job: which pictures are measured, and how."""
    digest = hashlib.sha256()
    for row in source.rows:
        digest.update(repr((row.source, _identity(row))).encode())
    return {
        "data_set": source.name,
        "pictures": len(source.rows),
        "sha256": digest.hexdigest(),
        "chunk": CHUNK,
        "mesh": MEMBERS,
        "extraction": STILL_VERSION,
    }


def _identity(row: Row) -> tuple[Any, ...]:
    """Values that change when the picture changes."""
    picture = row.picture
    if not isinstance(picture, ImageFile):
        return picture.values.shape, hashlib.sha256(np.ascontiguousarray(picture.values)).digest()
    try:
        status = picture.path.stat()
    except (OSError, ValueError):  # the worker reports what is wrong with it
        return str(picture.path), picture.box
    return str(picture.path), picture.box, status.st_size, status.st_mtime_ns


def _is_of(rows: list[Row], part: dict[str, NDArray[Any]]) -> bool:
    return {name: len(values) for name, values in part.items()} == dict.fromkeys(MEASURED, len(rows))


def _fan_out(
    jobs: list[tuple[Any, ...]], workers: int, cluster: str | None
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield the number and the measurements of each chunk as it finishes."""
    if cluster:
        yield from dask_cluster.fan_out(cluster, _measure_chunk, jobs)
        return
    # max_nbytes=None: in files for memory mapping, the pictures would only be written once more.
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    # Workers that start now inherit the block: Ctrl-C reaches this process alone, which ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        results = parallel(delayed(_measure_for)(os.getpid(), *job) for job in jobs)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield from results
    except TerminatedWorkerError as error:
        raise UnavailableError(
            "a worker process died, perhaps for lack of memory: use fewer --workers; finished parts are kept"
        ) from error


def _measure_for(parent: int, *job: Any) -> tuple[int, dict[str, NDArray[Any]]]:
    _end_with(parent)
    return _measure_chunk(*job)


@cache
def _end_with(parent: int) -> None:
    """End this process when its parent is gone; a worker of joblib would wait forever for one that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.getpid() != parent:
        # Needed by a worker that joblib starts later to replace another: it has not inherited the block.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=watch, daemon=True).start()


def _measure_chunk(number: int, rows: list[Row], models: Path, version: int) -> tuple[int, dict[str, NDArray[Any]]]:
    """In a worker: the measurements of some pictures, an array for each of `MEASURED`."""
    if version != STILL_VERSION:
        raise ConfigError(
            f"{platform.node()} measures faces in another way than this machine; install the same version there"
        )
    mesh = _mesh(models)
    done = [_measure(row, mesh) for row in rows]
    return number, {name: np.array(values) for name, values in zip(MEASURED, zip(*done, strict=True), strict=True)}


def _measure(row: Row, mesh: FaceMesh) -> tuple[Any, ...]:
    landmarks, nan = np.full((LANDMARKS, 3), np.nan, np.float32), np.float32(np.nan)
    try:
        rgb = row.picture.load()
    except EdgeError as error:
        return " ".join(str(error).split()), np.int64(0), np.float32(0), nan, nan, landmarks
    faces = mesh.still(rgb)
    if not faces:
        return "", fingerprint(rgb), np.float32(0), nan, nan, landmarks
    face = faces[0]
    return "", fingerprint(rgb), np.float32(face.presence), *light(rgb, face.landmarks), face.landmarks


def _mesh(folder: Path) -> FaceMesh:
    """The mesh of this thread, loaded once, with the settings that devices use."""
    mesh: FaceMesh | None = getattr(_of_thread, "mesh", None)
    if mesh is None:
        cv2.setNumThreads(1)  # the workers share the cores among themselves
        try:
            mesh = open_face_mesh(MeshSettings(max_faces=1), find([folder, cache_folder()]))
        except ConfigError as error:
            raise ConfigError(f"{platform.node()}: {error}") from error
        _of_thread.mesh = mesh
    return mesh


def _check_readable(rows: list[Row], measured: dict[str, NDArray[Any]]) -> None:
    """Refuse to leave out a picture that only a worker's machine lacks."""
    for index in np.flatnonzero(measured["reason"] != ""):
        try:
            rows[index].picture.load()
        except EdgeError:
            continue
        raise UnavailableError(
            f"a worker of the cluster lacks a picture ({measured['reason'][index]}): "
            "the data set must be at the same path there"
        )


def _table(source: Source, chunks: list[dict[str, NDArray[Any]]]) -> tuple[Table, Counter[str]]:
    columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in MEASURED}
    read = columns["reason"] == ""
    bad = columns["reason"][~read].tolist()
    for reason in bad[:NAMED]:
        print(f"left out: {reason}", file=sys.stderr)
    if not read.any():
        raise SourceError(f"{source.name}: no picture can be read ({bad[0]})")
    rows = [row for row, kept in zip(source.rows, read, strict=True) if kept]
    table = Table(
        data_set=np.full(len(rows), source.name),
        source=np.array([row.source for row in rows], np.str_),
        split=np.array([row.split for row in rows], np.str_),
        subject=np.array([row.subject for row in rows], np.str_),
        group=columns["group"][read],
        label=np.array([-1 if row.label is None else LABELS.index(row.label) for row in rows], np.int8),
        votes=np.array([row.votes for row in rows], np.uint8),
        mesh=np.full(len(rows), MESH),
        presence=columns["presence"][read],
        brightness=columns["brightness"][read],
        sharpness=columns["sharpness"][read],
        landmarks=columns["landmarks"][read],
    )
    return table, Counter({UNREADABLE: len(bad)} if bad else {})
