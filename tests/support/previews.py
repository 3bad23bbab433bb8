"""Previews with frames of the demo through the real pipeline. They end with the test.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.camera.demo.camera import DemoCamera
from edge.daemon.pipeline import Pipeline
from edge.expression import ExpressionMachine
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.preview import Preview
from edge.settings import Settings, load
from edge.values import Frame
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edge.face_mesh.models import MeshModels
    from edge.values import Face, Shown

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - for servers that live for a second


class Recorder:
    """The panel of a device that has only just started, which keeps what viewers ask for."""

    kind: Final = "device"

    def __init__(self) -> None:
        self.actions: list[dict[str, Any]] = []

    def state(self) -> dict[str, Any]:
        return {"now": 0.0, "calibrating": False, "reply": None, "changes": []}

    def perform(self, action: Mapping[str, Any]) -> None:
        self.actions.append(dict(action))


@dataclasses.dataclass(frozen=True)
class Moment:
    """One frame of the demo, with its faces and expressions."""

    frame: Frame
    faces: Sequence[Face]
    shown: Sequence[Shown]


class Feeder:
    """The part of the daemon's loop that feeds a preview: demo camera, pipeline, expressions."""

    def __init__(self, preview: Preview, *, people: int = 1) -> None:
        settings = load(None, {"camera.source": "demo", "camera.fps": 6.0})
        self.preview = preview
        self._pipeline = Pipeline(settings)
        self._machine = ExpressionMachine(self._pipeline.bundle.labels, settings.expression)
        self._neighbour = DemoCamera(settings.camera) if people > 1 else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._pipeline.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            frame = self._pipeline.camera.read(0.2)
            if frame is None or self.preview.paused:
                continue
            if self._neighbour is not None:
                beside = self._neighbour.draw(frame.captured_at % 2)
                frame = dataclasses.replace(frame, rgb=np.hstack([frame.rgb[:, 100:-100], beside[:, 100:-100]]))
            faces = self._pipeline.find(frame)
            if self._machine.step(self._pipeline.read(faces, frame), frame.captured_at):
                self.preview.update_timeline(self._machine.shown())
            if self.preview.has_viewers:
                self.preview.show(frame, faces, self._machine.shown(), 6.0)


@pytest.fixture(scope="session")
def moment(models: MeshModels) -> Moment:
    """A moment at which the demo smiles."""
    settings, bundle = Settings(), bundles.load(FUSED_BUNDLE)
    frame = Frame(DemoCamera(settings.camera).draw(1.0), 1.0)
    faces = LiteRTFaceMesh(settings.mesh, models).process(frame)
    machine = ExpressionMachine(bundle.labels, settings.expression)
    machine.step(bundle.classifier.read(faces, frame.rgb), 1.0, still=True)
    return Moment(frame, faces, machine.shown())


@pytest.fixture
def serve() -> Iterator[Callable[..., Preview]]:
    """Start previews that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(address: str = "127.0.0.1:0", **options: Any) -> Preview:
            return stack.enter_context(contextlib.closing(Preview(address, **options)))

        yield start


@pytest.fixture
def feed() -> Iterator[Callable[..., Feeder]]:
    """Feed previews until the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(preview: Preview, **options: Any) -> Feeder:
            return stack.enter_context(contextlib.closing(Feeder(preview, **options)))

        yield start


def show(preview: Preview, moment: Moment, fps: float = 15.0) -> None:
    preview.show(moment.frame, moment.faces, moment.shown, fps)
