"""What the tests of the daemon share: the real models, the demo's frames, the clips where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.bundle import bundle as bundles
from edge.bundle.locate import released
from edge.camera.demo.camera import DemoCamera
from edge.camera.demo.script import LOOP_S
from edge.errors import ConfigError
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.face_mesh.models import MeshModels, cache_folder, find
from edge.settings import CameraSettings, MeshSettings
from edge.values import Frame
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge.values import Face, Reading

REPOSITORY = Path(__file__).parents[2]
MEDIA = Path(os.environ.get("EMOTION_EDGE_MEDIA", REPOSITORY.parent / "shared" / "data" / "media"))

INTERPRETER = (
    "camera/",
    "face_mesh/",
    "classifier/",
    "bundle/test_bundle.py",
    "daemon/test_pipeline.py",
)
"""Rooms and files whose tests are marked `interpreter`: models and arrays are their matter."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them before tests are chosen by their marks."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(INTERPRETER):
            item.add_marker("interpreter")


@pytest.fixture(scope="session")
def models() -> MeshModels:
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.fail(f"{error} (make test does it)")


@pytest.fixture(scope="session")
def landmark_bundle() -> Path:
    """Folder of a bundle of the checkout that reads landmarks alone."""
    for manifest in sorted(released().glob(f"*/{bundles.MANIFEST}")):
        if json.loads(manifest.read_text())["inputs"] == ["landmarks"]:
            return manifest.parent
    return pytest.fail(f"no bundle in {released()} reads landmarks alone")


@pytest.fixture(scope="session")
def media() -> Callable[[str], Path]:
    """The path of a test picture or clip; those are not everybody's to pass on, so they may be missing."""

    def path(name: str) -> Path:
        if not (MEDIA / name).exists():
            pytest.skip(f"{name} is not here (EMOTION_EDGE_MEDIA names the folder of clips)")
        return MEDIA / name

    return path


@pytest.fixture(scope="session")
def demo() -> Callable[[float, float, float], Iterator[Frame]]:
    """Frames of the demo from one second of its script to another, at some rate."""
    camera = DemoCamera(CameraSettings(width=640, height=480))

    def frames(start: float, end: float, fps: float = 15.0) -> Iterator[Frame]:
        for i in range(round((end - start) * fps)):
            at = start + i / fps
            yield Frame(camera.draw(at), at)

    return frames


@pytest.fixture(scope="session")
def demo_readings(models, demo) -> list[tuple[float, Sequence[Face], Sequence[Reading]]]:
    """A round of the demo, 15 frames a second: when each was, the faces on it, and what the fused bundle reads."""
    mesh, classifier = LiteRTFaceMesh(MeshSettings(), models), bundles.load(FUSED_BUNDLE).classifier
    found = []
    for frame in demo(0, LOOP_S):
        faces = mesh.process(frame)
        found.append((frame.captured_at, faces, classifier.read(faces, frame.rgb)))
    return found
