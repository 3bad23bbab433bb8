"""Start-up and memory of the daemon, measured on a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import edge
from edge.commands.bench.stages import FPS, HEIGHT, WIDTH
from edge.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

DAEMON_S = 8.0
"""Time for which the daemon runs after its first event, before its memory is read."""
IMPORT_RUNS = 3
"""Processes whose import time is measured; the median counts."""
KIB = 1024

_IMPORT_TIME = """
import time
start = time.perf_counter()
import edge.commands.run, edge.daemon.loop, edge.daemon.pipeline, edge.face_mesh.litert
from edge.interpreter import runtime_name
runtime_name()
print(time.perf_counter() - start)
"""
"""Program that loads what `emotion-edge run` loads, and prints how long that took, in s."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process with one face in view, in MB of 10^6 bytes."""

    private: float
    """Pages that no other process shares (unique set size): what the system gets back when the process ends."""
    resident: float
    """All pages in memory, with the code of libraries that others may share."""
    peak: float
    """The most that was resident since the start."""


def import_time_s() -> float:
    """How long a new process takes to import what the daemon imports, in s."""
    runs = []
    for _ in range(IMPORT_RUNS):
        done = subprocess.run(
            _python("-c", _IMPORT_TIME), env=_environment(), capture_output=True, text=True, check=True
        )
        runs.append(float(done.stdout))
    return statistics.median(runs)


def daemon(frames: Sequence[NDArray[np.uint8]], config: Path | None, model: Path | None) -> tuple[float, Memory]:
    """Run the daemon on a video.

    Args:
        frames: uint8[480, 640, 3], with a face.
        config: the settings file, absolute; None: the default.
        model: folder of the model bundle, absolute; None: that of the settings.

    Returns:
        Time from start to first event, in s, and its memory.

    Raises:
        UnavailableError: it ends before its first event.
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "face.avi"
        _write_clip(clip, frames)
        return _watch(clip, config, model)


def memory(pid: int, root: Path = Path("/")) -> Memory:
    """Memory of a process (proc_pid_smaps(5), proc_pid_status(5))."""
    totals = _counts(root / f"proc/{pid}/smaps_rollup")
    return Memory(
        private=totals["Private_Clean"] + totals["Private_Dirty"],
        resident=totals["Rss"],
        peak=_counts(root / f"proc/{pid}/status")["VmHWM"],
    )


def _counts(file: Path) -> dict[str, float]:
    """The sizes in a file of /proc, in MB."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return {
        words[0].rstrip(":"): int(words[1]) * KIB / 1e6
        for words in lines
        if len(words) == 3 and words[2] == "kB"  # noqa: PLR2004  name, number, unit
    }


def _write_clip(clip: Path, frames: Sequence[NDArray[np.uint8]]) -> None:
    import cv2

    # As many frames as the daemon can read, however few were measured before.
    count = round(2 * DAEMON_S * FPS)
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for i in range(count):
        writer.write(cv2.cvtColor(frames[i * len(frames) // count], cv2.COLOR_RGB2BGR))
    writer.release()


def _watch(clip: Path, config: Path | None, model: Path | None) -> tuple[float, Memory]:
    # Nothing listens on the discard port, so this also is a start without a broker.
    command = _python("-m", "edge", "run", "--camera", f"video:{clip}", "--mqtt", "mqtt://127.0.0.1:9")
    for option, path in (("--config", config), ("--model", model)):
        command += [option, str(path)] if path else []
    started = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(command, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101  it was asked for
        for line in process.stderr:
            lines.append(line.strip())
            if ": new " in line:
                break
        else:
            raise UnavailableError(f"the daemon ended before its first event: {' / '.join(lines[-2:])}")
        first_event_s = time.monotonic() - started
        time.sleep(DAEMON_S)
        found = memory(process.pid)
        process.terminate()
        process.communicate()
    return first_event_s, found


def _python(*arguments: str) -> list[str]:
    """A command that runs this very package, whatever lies in the folder where the user is."""
    return [sys.executable, "-P", *arguments]


def _environment() -> dict[str, str]:
    package = str(Path(edge.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}
