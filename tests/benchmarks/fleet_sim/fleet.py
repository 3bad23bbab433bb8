"""Processes with simulated devices in them, seen from outside."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from edge.bundle import bundle as bundles
from tests.benchmarks.fleet_sim.device import START_MAX_S, simulate
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

    from edge.settings import MqttSettings

PROCESSES = os.cpu_count() or 1
"""Processes that share the devices. A device costs more here than at its broker: two cores don't suffice for 3,000."""


class Fleet:
    """Processes with devices in them."""

    def __init__(self, settings: MqttSettings, devices: int, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        processes = min(PROCESSES, devices)
        info = device_info()
        self._start = context.Barrier(processes + 1)
        self._parts: list[tuple[Any, SynchronizedArray[float]]] = []
        for i in range(processes):
            names = [f"pi-{number:05}" for number in range(i, devices, processes)]
            since = context.Array("d", len(names))
            process = context.Process(
                target=simulate, args=(settings, names, info, seed, since, self._start), daemon=True
            )
            self._parts.append((process, since))
        self.devices = devices

    def start(self) -> float:
        """Let all devices connect at once; returns the time, s, monotonic."""
        for process, _ in self._parts:
            process.start()
        self._start.wait(START_MAX_S)
        return time.monotonic()

    def connected_since(self) -> list[float]:
        """When the connected devices connected, s, monotonic, sorted."""
        for process, _ in self._parts:
            if process.exitcode is not None:
                sys.exit("fleet_sim: a process with simulated devices died; see above")
        return sorted(at for _, since in self._parts for at in since[:] if at)

    def stop(self) -> None:
        for process, _ in self._parts:
            process.terminate()
            process.join()


def device_info() -> dict[str, Any]:
    """Fields of the `Info` of a real device with the default bundle, without its name."""
    from edge.device.versions import library_versions

    manifest = json.loads((FUSED_BUNDLE / bundles.MANIFEST).read_text())
    return {
        "versions": library_versions(),
        "model_id": manifest["id"],
        "model_name": manifest["id"],
        "metrics": manifest["provenance"]["metrics"],
        "camera": "picamera2:0",
        "labels": manifest["labels"],
    }
