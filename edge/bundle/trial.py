"""Tries a bundle on this device before it is used, in a separate process: golden faces, then a short workload.

An interpreter may crash on a crafted or damaged network, hang, or take all memory: that must not be the daemon's. The
daemon goes on meanwhile and holds the camera, so the work is pictures of the demo, drawn beforehand: face mesh and
classifier read them in short turns with the bundle in use and with the new one. What is compared is the time of the
processor per frame, which says how many frames a second it can do whatever else it is doing now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle import bundle as bundles
from edge.bundle.signature import refused
from edge.errors import ConfigError, EdgeError
from edge.face_mesh.models import MeshModels
from edge.settings import CameraSettings, MeshSettings
from edge.values import Frame

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle

TRIAL_S = 4.0
"""Default duration of the workload."""
LEAST_SHARE = 0.8
"""Minimum share of the frames per second of the bundle in use that a new one must reach."""
ANSWER_S = 120.0
"""Time allowed for start and end: a Raspberry Pi with an old SD card needs some seconds."""

NICE = 10
"""Niceness of the process: the daemon has priority, and both bundles wait alike."""
FPS, PICTURES = 15, 15
"""Frame rate and number of the pictures: one second of the demo's face."""
TURN, LEAST_TURNS = 3, 5
"""Frames in a row with one bundle, and the minimum number of such turns for each, however slow the machine is."""

_CHILD = "import sys; from edge.bundle import trial; sys.exit(trial.main(*sys.argv[1:]))"


def try_out(folder: Path, *, seconds: float = 0.0, mesh: Path | None = None, beside: Path | None = None) -> None:
    """Load a verified bundle in a separate process, and run the workload with it.

    Args:
        folder: of the bundle.
        seconds: duration of the workload; 0: golden faces alone.
        mesh: folder of the face mesh models.
        beside: the bundle in use, to compare with; None: no comparison.

    Raises:
        ConfigError: it does not pass, crashes, hangs, or is much slower than the one in use.
    """
    limit_s = ANSWER_S + seconds
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, folder, str(seconds), mesh or "", beside or ""],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=limit_s, check=False,
            # As the service has it; see there.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise refused(folder, f"its trial does not end within {limit_s:.0f} s") from error
    if done.returncode == -signal.SIGKILL:
        raise refused(folder, "its trial was killed, as happens where memory runs out")
    if done.returncode < 0:
        raise refused(folder, f"the interpreter crashes on it ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        reason = done.stdout.strip() or f"its trial ends with status {done.returncode}"
        raise ConfigError(reason)


def main(folder: str, seconds: str, mesh: str, beside: str) -> int:
    """What the process of its own does, see `try_out`: it says on stdout what is wrong; the exit status."""
    os.nice(NICE)
    with contextlib.suppress(OSError):
        # If memory runs out, this process goes, and not the daemon (proc_pid_oom_score_adj(5)).
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    try:
        bundle = bundles.load(Path(folder))
        if float(seconds):
            _work(bundle, _loaded(beside), MeshModels(Path(mesh)), float(seconds))
    except EdgeError as error:
        print(error)
        return error.exit_status
    except MemoryError:
        print(refused(Path(folder), "there is not enough memory for it"))
        return ConfigError.exit_status
    return 0


def _loaded(folder: str) -> Bundle | None:
    """The bundle in use; None: there is none, or it is damaged and so not worth protecting."""
    try:
        return bundles.load(Path(folder)) if folder else None
    except EdgeError:
        return None


def _work(bundle: Bundle, in_use: Bundle | None, models: MeshModels, seconds: float) -> None:
    spent = _cpu_s_per_frame([bundle] if in_use is None else [in_use, bundle], models, seconds)
    if in_use is not None and (share := spent[0] / spent[1]) < LEAST_SHARE:
        raise refused(
            bundle.folder,
            f"it reaches {100 * share:.0f} % of the frames per second of the one in use, {in_use.id}; "
            f"{100 * LEAST_SHARE:.0f} % is the least",
        )


def _cpu_s_per_frame(bundles_in_turn: list[Bundle], models: MeshModels, seconds: float) -> list[float]:
    """The median time of the processor for face mesh and classifier, in s, by bundle."""
    import cv2

    from edge.camera.demo.camera import DemoCamera
    from edge.face_mesh.litert import LiteRTFaceMesh

    cv2.setNumThreads(1)
    demo = DemoCamera(CameraSettings())
    pictures = [demo.draw(i / FPS) for i in range(PICTURES)]
    # One face, which is followed: the search for more costs the same with any bundle. And always this mesh: the
    # mediapipe package would report the trial to its maker, and is slower, which makes bundles look alike.
    mesh = LiteRTFaceMesh(MeshSettings(max_faces=1), models)
    frames = (Frame(pictures[i % PICTURES], i / FPS) for i in count())
    spent: list[list[float]] = [[] for _ in bundles_in_turn]
    until = time.monotonic() + seconds
    while len(spent[-1]) < TURN * LEAST_TURNS or time.monotonic() < until:
        for bundle, costs in zip(bundles_in_turn, spent, strict=True):
            for _ in range(TURN):
                frame = next(frames)
                started = time.process_time()
                faces = mesh.process(frame)
                bundle.classifier.read(faces, frame.rgb)
                costs.append(time.process_time() - started)
                if not faces:
                    raise refused(bundle.folder, "the face mesh sees no face in the pictures of its trial")
    return [statistics.median(costs) for costs in spent]
