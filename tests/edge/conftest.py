"""Fixtures for the tests of the daemon: the real models, frames of the demo, and clips if they are available."""

from __future__ import annotations

import itertools
import json
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
from tests.support.media import path_of
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge.values import Face, Reading

REPOSITORY = Path(__file__).parents[2]

INTERPRETER = (
    "camera/",
    "face_mesh/",
    "classifier/",
    "bundle/test_bundle.py",
    "daemon/test_pipeline.py",
)
"""Rooms and files whose tests are marked `interpreter`, because they process models and arrays."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests before they are selected by their marks."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(INTERPRETER):
            item.add_marker("interpreter")


@pytest.fixture(scope="session")
def models() -> MeshModels:
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.fail(f"{error} (make test fetches them)")


@pytest.fixture(scope="session")
def landmark_bundle() -> Path:
    """Folder of the released bundle that reads landmarks only."""
    for manifest in sorted(released().glob(f"*/{bundles.MANIFEST}")):
        if json.loads(manifest.read_text())["inputs"] == ["landmarks"]:
            return manifest.parent
    return pytest.fail(f"no bundle in {released()} reads landmarks only")


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of a picture or clip of tests.support.media. Skips the test if it is a foreign one that is missing."""
    folder = tmp_path_factory.mktemp("media")
    return lambda name: path_of(name, folder)


@pytest.fixture(scope="session")
def demo() -> Callable[[float, float, float], Iterator[Frame]]:
    """Frames of the demo between two times, s, at a rate."""
    camera = DemoCamera(CameraSettings(width=640, height=480))

    def frames(start: float, end: float, fps: float = 15.0) -> Iterator[Frame]:
        for i in range(round((end - start) * fps)):
            at = start + i / fps
            yield Frame(camera.draw(at), at)

    return frames


@pytest.fixture(scope="session")
def demo_readings(models, demo) -> list[tuple[float, Sequence[Face], Sequence[Reading]]]:
    """One loop of the demo at 15 frames/s: capture time, faces, and readings of the fused bundle for each frame."""
    clock = itertools.count(0.0, 0.002).__next__  # each look of the search costs the same on every machine
    mesh, classifier = LiteRTFaceMesh(MeshSettings(), models, cpu_clock=clock), bundles.load(FUSED_BUNDLE).classifier
    found: list[tuple[float, Sequence[Face], Sequence[Reading]]] = []
    for frame in demo(0, LOOP_S):
        faces = mesh.process(frame)
        found.append((frame.captured_at, faces, classifier.read(faces, frame.rgb)))
    return found
