"""`emotion-edge bench`: speed and memory on this machine, as ratios measured in one run."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge.classifier.features import CROP_INPUT
from edge.cli import add_settings_arguments, load_settings
from edge.errors import ConfigError, UnavailableError, UsageError
from edge.settings import CameraSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.expression import ExpressionMachine
    from edge.face_mesh.models import MeshModels
    from edge.settings import Settings
    from edge.values import Face

Result = TypeVar("Result")

WIDTH, HEIGHT, FPS = 640, 480, 15.0
WARM_UP = 10
"""Frames that are not counted: the first ones fill caches."""
BLOCK = 30
"""Frames of one backend before the other has its turn, so that both meet the same moods of the machine."""
DAEMON_S = 8.0
LEAST_FRAMES = 2 * BLOCK

PRESENT_S, ABSENT_AT_S = 21.0, 23.6
"""While the demo's person is in view, and when nobody is: see `edge.camera.demo.script`."""

READING = "features + classifier + expression / mesh"
TARGETS = {
    "mesh / bare landmark model": 1.3,
    READING: 0.05,
    "no face / one face, at 15 fps": 0.25,
    "whole loop / mediapipe alone": 0.8,
    "memory of the daemon, MB": 120.0,
    "first event after start, s": 2.0,
}
"""Where each figure should stay below."""
READING_WITH_CROP = 0.25
"""What `READING` may be for a bundle that reads a crop of the picture."""
CLASSIFIER = "classifier / bare landmark model"
CLASSIFIER_TARGET = 0.2
"""Of any bundle."""


class Stopwatch:
    """Wall and CPU time of named stages; CPU is that of the whole process, helper threads included."""

    def __init__(self) -> None:
        self.wall_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.cpu_ms: defaultdict[str, list[float]] = defaultdict(list)

    def time(self, stage: str, work: Callable[..., Result], *args: Any) -> Result:
        """Do `work` on `args` and note what it took."""
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        result = work(*args)
        self.cpu_ms[stage].append((time.process_time_ns() - cpu) / 1e6)
        self.wall_ms[stage].append((time.perf_counter_ns() - wall) / 1e6)
        return result

    def cpu(self, *stages: str) -> float:
        """Median CPU time of some stages together, in ms a frame."""
        return sum(statistics.median(self.cpu_ms[stage]) for stage in stages)

    def table(self) -> dict[str, dict[str, float]]:
        """Per stage: p50 and p95 of the wall time and the mean CPU time, in ms."""
        return {
            stage: {
                "p50_ms": round(statistics.median(values), 3),
                "p95_ms": round(statistics.quantiles(values, n=20)[-1], 3),
                "cpu_ms": round(statistics.fmean(self.cpu_ms[stage]), 3),
            }
            for stage, values in self.wall_ms.items()
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = "example: emotion-edge bench --json"
    add_settings_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--frames", type=int, default=300, help="frames a stage (default: %(default)s)")
    parser.add_argument(
        "--mediapipe",
        action="store_true",
        help="compare with the mediapipe package, which reports usage to its maker: take the network from it",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.frames < LEAST_FRAMES:
        raise UsageError(f"--frames {args.frames}: at least {LEAST_FRAMES} are needed")
    import cv2

    from edge.bundle.locate import Installation

    cv2.setNumThreads(1)
    settings = load_settings(args)
    installation = Installation.of(settings)
    found = [bundle for _, bundle in installation.at_hand()]
    if isinstance(found[0], ConfigError):
        raise found[0]
    at_hand = [bundle for bundle in found if not isinstance(bundle, ConfigError)]
    models = installation.mesh_models()
    faces, empty = _pictures(args.frames)
    stopwatch, in_turn = _one_face(settings, at_hand, models, faces, mediapipe=args.mediapipe)
    _no_face(settings, models, empty, stopwatch)
    first_event_s, rss_mb = _whole_daemon(faces, args.config)
    # The state is published once a second, so a frame bears only its share of that.
    said_ms = sum(stopwatch.cpu_ms["messages"]) / len(stopwatch.cpu_ms["mesh"])
    loop_ms = stopwatch.cpu("mesh", "features + classifier", "expression") + said_ms
    ratios = {
        "mesh / bare landmark model": stopwatch.cpu("mesh") / stopwatch.cpu("bare landmark model"),
        READING: stopwatch.cpu("features + classifier", "expression") / stopwatch.cpu("mesh"),
        # Most frames without a face cost nothing, so their mean counts and not their median.
        "no face / one face, at 15 fps": statistics.fmean(stopwatch.cpu_ms["no face"]) / loop_ms,
        "memory of the daemon, MB": rss_mb,
        "first event after start, s": first_event_s,
    }
    if args.mediapipe:
        ratios["whole loop / mediapipe alone"] = loop_ms / stopwatch.cpu("mediapipe alone")
    targets = {**TARGETS, READING: READING_WITH_CROP} if CROP_INPUT in at_hand[0].inputs else TARGETS
    report = {
        **_report(stopwatch, ratios, targets),
        "bundles": [_compared(bundle, in_turn, stopwatch.cpu("bare landmark model")) for bundle in at_hand],
    }
    print(json.dumps(report) if args.json else _text(report))
    return 0


def _pictures(count: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Frames of the demo with its face in view, uint8[480, 640, 3], and one without a face."""
    from edge.camera.demo.camera import DemoCamera

    # Drawn beforehand: the demo's own cost is not the daemon's.
    demo = DemoCamera(CameraSettings(width=WIDTH, height=HEIGHT))
    return [demo.draw(PRESENT_S * i / count) for i in range(count)], demo.draw(ABSENT_AT_S)


def _one_face(
    settings: Settings,
    at_hand: Sequence[Bundle],
    models: MeshModels,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    mediapipe: bool,
) -> tuple[Stopwatch, Stopwatch]:
    """Every stage of the loop on a followed face, the bare model beside it, and mediapipe in turn.

    The loop runs with the first bundle; the second stopwatch has each one's classifier, by folder, on the same faces.
    """
    from edge.expression import ExpressionMachine
    from edge.face_mesh import open_face_mesh
    from edge.face_mesh.litert import LiteRTFaceMesh
    from edge.values import Frame

    # One face is what the others are compared on; the look-out for more costs what `no face` does.
    mesh_settings = dataclasses.replace(settings.mesh, max_faces=1)
    mesh = LiteRTFaceMesh(mesh_settings, models)
    other = None
    if mediapipe:
        other = open_face_mesh(dataclasses.replace(mesh_settings, backend="mediapipe"), models)
    bundle = at_hand[0]
    stopwatch, in_turn = Stopwatch(), Stopwatch()
    machine = ExpressionMachine(bundle.labels, settings.expression)
    for at in range(0, len(pictures), BLOCK):
        block = [Frame(rgb, i / FPS) for i, rgb in enumerate(pictures[at : at + BLOCK], start=at)]
        seen: list[tuple[Sequence[Face], NDArray[np.uint8]]] = []
        for i, frame in enumerate(block, start=at):
            watch = Stopwatch() if i < WARM_UP else stopwatch
            found = watch.time("mesh", mesh.process, frame)
            seen.append((found, frame.rgb))
            readings = watch.time("features + classifier", bundle.classifier.read, found, frame.rgb)
            watch.time("expression", machine.step, readings, frame.captured_at)
            if i % round(FPS * settings.mqtt.state_interval_s or 1) == 0:
                watch.time("messages", _encoded_state, machine, frame.captured_at)
            if not found and watch is stopwatch:
                raise UnavailableError("the face mesh lost the demo's face, so there is nothing to measure")
        # In turns of their own, so that each finds the caches as it would alone.
        for i in range(len(block)):
            watch = Stopwatch() if i < 1 else stopwatch
            watch.time("bare landmark model", mesh.landmarker.invoke_again)
        _classifiers(at_hand, seen, in_turn)
        if other is not None:
            for i, frame in enumerate(block, start=at):
                watch = Stopwatch() if i < WARM_UP else stopwatch
                watch.time("mediapipe alone", other.process, frame)
    if other is not None:
        other.close()
    return stopwatch, in_turn


def _classifiers(
    at_hand: Sequence[Bundle], seen: Sequence[tuple[Sequence[Face], NDArray[np.uint8]]], in_turn: Stopwatch
) -> None:
    for bundle in at_hand:
        for i, (faces, rgb) in enumerate(seen):
            watch = Stopwatch() if i < 1 else in_turn
            watch.time(str(bundle.folder), bundle.classifier.read, faces, rgb)


def _encoded_state(machine: ExpressionMachine, now: float) -> bytes:
    from edge.messages import payloads

    clock = payloads.WallClock(0.0, synchronised=True)
    return payloads.encode(payloads.state(machine.shown(), at=now, clock=clock))


def _no_face(settings: Settings, models: MeshModels, rgb: NDArray[np.uint8], stopwatch: Stopwatch) -> None:
    from edge.face_mesh.litert import LiteRTFaceMesh
    from edge.values import Frame

    mesh = LiteRTFaceMesh(settings.mesh, models)
    for i in range(300):
        frame = Frame(rgb, i / FPS)
        if stopwatch.time("no face", mesh.process, frame):
            raise UnavailableError("the face mesh sees a face in the empty demo picture")


def _whole_daemon(pictures: Sequence[NDArray[np.uint8]], config: str | None) -> tuple[float, float]:
    """Seconds from start to first event, and resident MB with one face, of the real daemon on a video."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "face.avi"
        _write_clip(clip, pictures)
        return _watch_daemon(clip, config)


def _write_clip(clip: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    import cv2

    # As many frames as the daemon can look at, however few were measured before.
    count = round(2 * DAEMON_S * FPS)
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for i in range(count):
        writer.write(cv2.cvtColor(pictures[i * len(pictures) // count], cv2.COLOR_RGB2BGR))
    writer.release()


def _watch_daemon(clip: Path, config: str | None) -> tuple[float, float]:
    from edge.device import system

    # Nothing listens on the discard port, so this also is a start without a broker.
    command = [sys.executable, "-m", "edge", "run", "--camera", f"video:{clip}", "--mqtt", "mqtt://127.0.0.1:9"]
    if config:
        command += ["--config", config]
    started = time.monotonic()
    first_event_s = None
    lines = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as daemon:
        assert daemon.stderr is not None  # noqa: S101  it was asked for
        for line in daemon.stderr:
            lines.append(line.strip())
            if ": new " in line:
                first_event_s = time.monotonic() - started
                break
        if first_event_s is None:
            raise UnavailableError(f"the daemon ended before its first event: {' / '.join(lines[-2:])}")
        time.sleep(DAEMON_S)
        rss_mb = system.rss_mb(daemon.pid)
        daemon.terminate()
        daemon.communicate()
    return first_event_s, rss_mb or 0.0


def _compared(bundle: Bundle, in_turn: Stopwatch, landmark_model_ms: float) -> dict[str, Any]:
    """What one of several bundles costs."""
    cpu_ms = in_turn.cpu(str(bundle.folder))
    return {
        "folder": str(bundle.folder),
        "id": bundle.id,
        "inputs": bundle.inputs,
        "network_bytes": bundle.network_bytes,
        "cpu_ms": round(cpu_ms, 3),
        CLASSIFIER: _judged(cpu_ms / landmark_model_ms, CLASSIFIER_TARGET),
    }


def _judged(value: float, at_most: float) -> dict[str, Any]:
    return {"value": round(value, 3), "at_most": at_most, "ok": value <= at_most}


def _report(stopwatch: Stopwatch, ratios: dict[str, float], targets: dict[str, float]) -> dict[str, Any]:
    from edge.device import system
    from edge.device.versions import library_versions

    return {
        "machine": system.machine(),
        "versions": library_versions(),
        "stages": stopwatch.table(),
        "figures": {name: _judged(value, targets[name]) for name, value in ratios.items()},
    }


def _text(report: dict[str, Any]) -> str:
    lines = [f"{report['machine']}, {report['versions']['runtime']}, {WIDTH}x{HEIGHT}", ""]
    lines.append(f"{'stage':44}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>9}")
    for stage, row in report["stages"].items():
        lines.append(f"{stage:44}{row['p50_ms']:9.3f}{row['p95_ms']:9.3f}{row['cpu_ms']:9.3f}")
    lines += ["", f"{'figure':44}{'value':>9}{'at most':>9}"]
    lines += [_figure(name, row) for name, row in report["figures"].items()]
    lines += ["", f"bundles at hand, the one in use first: {CLASSIFIER}"]
    for row in report["bundles"]:
        lines.append(_figure(f"{row['id']}, {row['network_bytes'] / 1000:.0f} kB", row[CLASSIFIER]))
    return "\n".join(lines)


def _figure(name: str, row: dict[str, Any]) -> str:
    return f"{name:44}{row['value']:9.3f}{row['at_most']:9.2f}{'' if row['ok'] else '  over'}"
