"""Processor time of each stage of the loop, on pictures of the demo."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edge.errors import UnavailableError
from edge.settings import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.expression import ExpressionMachine
    from edge.face_mesh.models import MeshModels
    from edge.settings import Settings
    from edge.values import Face

Result = TypeVar("Result")

WIDTH, HEIGHT, FPS = 640, 480, 15.0
WARM_UP = 10
"""Frames that are not counted, because they fill caches."""
BLOCK = 30
"""Frames of one backend before the other has its turn, so that a busy moment of the machine meets both."""
SCENES = ("one face", "two faces", "still face", "no face")
"""What the loop is measured on with the search going on."""
PRESENT_S, ABSENT_AT_S = 21.0, 23.6
"""Time for which the demo's person is in view, and a time without a person, s; see `edge.camera.demo.script`."""


class Stopwatch:
    """Wall and processor time of named stages; the latter is that of the whole process, helper threads included."""

    def __init__(self) -> None:
        self.wall_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.cpu_ms: defaultdict[str, list[float]] = defaultdict(list)

    def time(self, stage: str, work: Callable[..., Result], *args: Any) -> Result:
        """Call `work` with `args` and add its time to a stage."""
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        result = work(*args)
        self.cpu_ms[stage].append((time.process_time_ns() - cpu) / 1e6)
        self.wall_ms[stage].append((time.perf_counter_ns() - wall) / 1e6)
        return result

    def cpu(self, *stages: str) -> float:
        """Median processor time of some stages together, in ms per frame."""
        return sum(statistics.median(self.cpu_ms[stage]) for stage in stages)

    def table(self) -> dict[str, dict[str, float]]:
        """By stage: p50 and p95 of the wall time, and the mean processor time, in ms."""
        return {
            stage: {
                "p50_ms": round(statistics.median(values), 3),
                "p95_ms": round(statistics.quantiles(values, n=20)[-1], 3),
                "cpu_ms": round(statistics.fmean(self.cpu_ms[stage]), 3),
            }
            for stage, values in self.wall_ms.items()
        }


def pictures(count: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Frames of the demo with its face in view, uint8[480, 640, 3], and one without a face."""
    from edge.camera.demo.camera import DemoCamera

    # Drawn beforehand: the demo's own cost is not the daemon's.
    demo = DemoCamera(CameraSettings(width=WIDTH, height=HEIGHT))
    return [demo.draw(PRESENT_S * i / count) for i in range(count)], demo.draw(ABSENT_AT_S)


def one_face(
    settings: Settings,
    bundles: Sequence[Bundle],
    models: MeshModels,
    frames: Sequence[NDArray[np.uint8]],
    *,
    mediapipe: bool,
) -> tuple[Stopwatch, Stopwatch]:
    """Measure every stage on a tracked face, in turn with the bare landmark model and the mediapipe package.

    The loop runs with the first bundle.

    Returns:
        The stages, and the classifier of each bundle by its folder, on the same faces.

    Raises:
        UnavailableError: the face mesh loses the demo's face.
    """
    from edge.expression import ExpressionMachine
    from edge.face_mesh import open_face_mesh
    from edge.face_mesh.litert import LiteRTFaceMesh
    from edge.values import Frame

    # One face and no search: what the other scenes are compared with.
    mesh_settings = dataclasses.replace(settings.mesh, max_faces=1)
    mesh = LiteRTFaceMesh(mesh_settings, models)
    other = None
    if mediapipe:
        other = open_face_mesh(dataclasses.replace(mesh_settings, backend="mediapipe"), models)
    bundle = bundles[0]
    stages, classifiers = Stopwatch(), Stopwatch()
    machine = ExpressionMachine(bundle.labels, settings.expression)
    for start in range(0, len(frames), BLOCK):
        block = [Frame(rgb, i / FPS) for i, rgb in enumerate(frames[start : start + BLOCK], start)]
        seen: list[tuple[Sequence[Face], NDArray[np.uint8]]] = []
        for i, frame in enumerate(block, start):
            watch = Stopwatch() if i < WARM_UP else stages
            found = watch.time("mesh", mesh.process, frame)
            seen.append((found, frame.rgb))
            readings = watch.time("features + classifier", bundle.classifier.read, found, frame.rgb)
            watch.time("expression", machine.step, readings, frame.captured_at)
            if i % round(FPS * settings.mqtt.state_interval_s or 1) == 0:
                watch.time("messages", _encoded_state, machine, frame.captured_at)
            if not found and watch is stages:
                raise UnavailableError("the face mesh lost the demo's face, so there is nothing to measure")
        # In turns of their own, so that each finds the caches as it would alone.
        for i in range(len(block)):
            watch = Stopwatch() if i < 1 else stages
            watch.time("bare landmark model", mesh.landmarker.invoke_again)
        _classify(bundles, seen, classifiers)
        if other is not None:
            for i, frame in enumerate(block, start):
                watch = Stopwatch() if i < WARM_UP else stages
                watch.time("mediapipe alone", other.process, frame)
    if other is not None:
        other.close()
    return stages, classifiers


def scenes(
    settings: Settings,
    bundle: Bundle,
    models: MeshModels,
    frames: Sequence[NDArray[np.uint8]],
    empty: NDArray[np.uint8],
) -> Stopwatch:
    """Measure the loop with the search going on, in a stage for each of `SCENES`, turn by turn.

    Args:
        settings: those of the mesh and the expressions count.
        bundle: reads the faces.
        models: of the mesh.
        frames: with a face that moves.
        empty: without a face.

    Raises:
        UnavailableError: the face mesh finds other faces than there are.
    """
    from edge.classifier.reader import Reader
    from edge.expression import ExpressionMachine
    from edge.face_mesh.litert import LiteRTFaceMesh
    from edge.values import Frame

    # Side by side, as wide as one picture, so that each face has the size of the single one.
    half = slice((WIDTH - WIDTH // 2) // 2, (WIDTH + WIDTH // 2) // 2)
    scenes = {
        "one face": list(frames),
        "two faces": [np.hstack([rgb[:, half], rgb[:, half]]) for rgb in frames],
        "still face": [frames[0]] * len(frames),
        "no face": [empty] * len(frames),
    }
    stages = Stopwatch()
    parts = {
        name: (LiteRTFaceMesh(settings.mesh, models), Reader(), ExpressionMachine(bundle.labels, settings.expression))
        for name in SCENES
    }
    expected = {"one face": 1, "two faces": 2, "still face": 1, "no face": 0}

    def turn(name: str, frame: Frame) -> int:
        mesh, reader, machine = parts[name]
        faces = mesh.process(frame)
        machine.step(reader.read(bundle.classifier, faces, frame.rgb), frame.captured_at)
        return len(faces)

    for start in range(0, len(frames), BLOCK):
        for name in SCENES:
            for i, rgb in enumerate(scenes[name][start : start + BLOCK], start):
                # The first second finds the faces and sees the room for the first time.
                watch = stages if i >= FPS else Stopwatch()
                found = watch.time(name, turn, name, Frame(rgb, i / FPS))
                if watch is stages and found != expected[name]:
                    raise UnavailableError(f"the face mesh finds {found} faces in the scene {name!r} of the demo")
    return stages


def _classify(
    bundles: Sequence[Bundle], seen: Sequence[tuple[Sequence[Face], NDArray[np.uint8]]], classifiers: Stopwatch
) -> None:
    for bundle in bundles:
        for i, (faces, rgb) in enumerate(seen):
            watch = Stopwatch() if i < 1 else classifiers
            watch.time(str(bundle.folder), bundle.classifier.read, faces, rgb)


def _encoded_state(machine: ExpressionMachine, now: float) -> bytes:
    from edge.messages import payloads

    clock = payloads.WallClock(0.0, synchronised=True)
    return payloads.encode(payloads.state(machine.shown(), at=now, clock=clock))
