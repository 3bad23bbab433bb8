"""`emotion-edge bench`: speed and memory on this machine, as ratios measured in one run."""

from __future__ import annotations

import json
import logging
import statistics
from typing import TYPE_CHECKING, Any

from edge.classifier.features import CROP_INPUT
from edge.cli import add_settings_arguments, load_settings
from edge.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import argparse

    from edge.bundle.bundle import Bundle
    from edge.commands.bench.stages import Stopwatch

_log = logging.getLogger(__name__)

MIN_FRAMES = 60
"""Minimum number of frames: two blocks, see `stages.BLOCK`."""

READING = "features + classifier + expression / mesh"
TARGETS = {
    "mesh / bare landmark model": 1.3,
    READING: 0.05,
    "one face, searching for more / not searching": 1.2,
    "second face / first": 0.85,
    "still face / moving face": 0.4,
    "no face / one face": 0.25,
    "whole loop / mediapipe alone": 0.75,
    "imports of the daemon, s": 1.0,
    "first event after start, s": 2.0,
    "private memory of the daemon, MB": 75.0,
    "resident memory of the daemon, MB": 130.0,
    "peak of resident memory, MB": 150.0,
}
"""Upper limit of each figure."""
READING_WITH_CROP = 0.25
"""Upper limit of `READING` for a bundle that reads a crop of the picture."""
CLASSIFIER = "classifier / bare landmark model"
CLASSIFIER_TARGET = 0.2
"""Upper limit for every bundle."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = "example: emotion-edge bench --json"
    add_settings_arguments(parser, model=True)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--frames", type=int, default=300, help="frames per stage (default: %(default)s)")
    parser.add_argument(
        "--mediapipe",
        action="store_true",
        help="compare with the mediapipe package, which reports usage to its maker: disconnect the network first",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.frames < MIN_FRAMES:
        raise UsageError(f"--frames {args.frames}: at least {MIN_FRAMES} are needed")
    import cv2

    from edge.bundle.locate import Installation
    from edge.commands.bench import process, stages

    cv2.setNumThreads(1)
    settings = load_settings(args)
    installation = Installation.of(settings)
    found = [bundle for _, bundle in installation.at_hand()]
    if isinstance(found[0], ConfigError):
        raise found[0]
    bundles = [bundle for bundle in found if not isinstance(bundle, ConfigError)]
    models = installation.mesh_models()
    _log.info("drawing %d frames", args.frames)
    frames, empty = stages.pictures(args.frames)
    _log.info("measuring each stage on one face")
    stopwatch, classifiers = stages.one_face(settings, bundles, models, frames, mediapipe=args.mediapipe)
    _log.info("measuring other scenes: nobody, a face at rest, two faces")
    rooms = stages.scenes(settings, bundles[0], models, frames, empty)
    _log.info("measuring the daemon")
    first_event_s, memory = process.daemon(frames, args.config, args.model)
    figures = {
        **_ratios(stopwatch, rooms),
        "imports of the daemon, s": process.import_time_s(),
        "first event after start, s": first_event_s,
        "private memory of the daemon, MB": memory.private,
        "resident memory of the daemon, MB": memory.resident,
        "peak of resident memory, MB": memory.peak,
    }
    targets = {**TARGETS, READING: READING_WITH_CROP} if CROP_INPUT in bundles[0].inputs else TARGETS
    report = {
        **_report({**stopwatch.table(), **rooms.table()}, figures, targets),
        "bundles": [_compared(bundle, classifiers, stopwatch.cpu("bare landmark model")) for bundle in bundles],
    }
    print(json.dumps(report) if args.json else _text(report))
    return 0


def _ratios(stopwatch: Stopwatch, rooms: Stopwatch) -> dict[str, float]:
    # The state is published once a second, so a frame bears only its share of that.
    messages_ms = sum(stopwatch.cpu_ms["messages"]) / len(stopwatch.cpu_ms["mesh"])
    loop_ms = stopwatch.cpu("mesh", "features + classifier", "expression") + messages_ms
    # The search works in some frames and a face at rest is measured in some, so means count here.
    mean = {name: statistics.fmean(values) for name, values in rooms.cpu_ms.items()}
    alone = sum(statistics.fmean(stopwatch.cpu_ms[name]) for name in ("mesh", "features + classifier", "expression"))
    ratios = {
        "mesh / bare landmark model": stopwatch.cpu("mesh") / stopwatch.cpu("bare landmark model"),
        READING: stopwatch.cpu("features + classifier", "expression") / stopwatch.cpu("mesh"),
        "one face, searching for more / not searching": mean["one face"] / alone,
        "second face / first": (mean["two faces"] - mean["one face"]) / mean["one face"],
        "still face / moving face": mean["still face"] / mean["one face"],
        "no face / one face": mean["no face"] / mean["one face"],
    }
    if "mediapipe alone" in stopwatch.cpu_ms:
        ratios["whole loop / mediapipe alone"] = loop_ms / stopwatch.cpu("mediapipe alone")
    return ratios


def _compared(bundle: Bundle, classifiers: Stopwatch, landmark_model_ms: float) -> dict[str, Any]:
    """What one of several bundles costs."""
    cpu_ms = classifiers.cpu(str(bundle.folder))
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


def _report(
    stages: dict[str, dict[str, float]], figures: dict[str, float], targets: dict[str, float]
) -> dict[str, Any]:
    from edge.device import system
    from edge.device.versions import library_versions

    return {
        "machine": system.machine(),
        "versions": library_versions(),
        "stages": stages,
        "figures": {name: _judged(value, targets[name]) for name, value in figures.items()},
    }


def _text(report: dict[str, Any]) -> str:
    from edge.commands.bench.stages import HEIGHT, WIDTH

    lines = [f"{report['machine']}, {report['versions']['runtime']}, {WIDTH}x{HEIGHT}", ""]
    lines.append(f"{'stage':44}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>9}")
    for stage, row in report["stages"].items():
        lines.append(f"{stage:44}{row['p50_ms']:9.3f}{row['p95_ms']:9.3f}{row['cpu_ms']:9.3f}")
    lines += ["", f"{'figure':44}{'value':>9}{'at most':>9}"]
    lines += [_figure(name, row) for name, row in report["figures"].items()]
    lines += ["", f"bundles, the one in use first: {CLASSIFIER}"]
    for row in report["bundles"]:
        lines.append(_figure(f"{row['id']}, {row['network_bytes'] / 1000:.0f} kB", row[CLASSIFIER]))
    return "\n".join(lines)


def _figure(name: str, row: dict[str, Any]) -> str:
    return f"{name:44}{row['value']:9.3f}{row['at_most']:9.2f}{'' if row['ok'] else '  over'}"
