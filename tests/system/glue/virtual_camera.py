"""What unmodified Picamera2 needs to run on libcamera's virtual pipeline, and what makes that a camera.

Imported by one line at the end of picamera2/__init__.py.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from pathlib import Path
from typing import Any

import libcamera
from picamera2.allocators import LibcameraAllocator
from picamera2.picamera2 import Picamera2

SILENT = Path("/run/camera-is-silent")
"""While this file is there the sensor delivers nothing, as one with a loose cable does."""

# The virtual pipeline has no raw stream, and Picamera2 asks for one when it opens a camera.
_generate = libcamera.Camera.generate_configuration
_OTHER = {libcamera.StreamRole.Raw: libcamera.StreamRole.Viewfinder}
libcamera.Camera.generate_configuration = lambda self, roles: _generate(
    self, [_OTHER.get(role, role) for role in roles]
)

# Its buffers have a plane each for luma and chroma, which libcamera's own allocator knows how to make.
_init = Picamera2.__init__


def _init_with_allocator(self: Picamera2, *arguments: object, **options: object) -> None:
    _init(self, *arguments, **options)
    self.allocator = LibcameraAllocator(self.camera)


Picamera2.__init__ = _init_with_allocator

# It delivers as fast as it is asked. A sensor has a clock: 30 frames/s, or what FrameDurationLimits says.
_start, _stop, _queue = libcamera.Camera.start, libcamera.Camera.stop, libcamera.Camera.queue_request


class _Sensor:
    """Hands the requests to the camera at the sensor's own pace."""

    def __init__(self) -> None:
        self.period_s = 1 / 30
        self.starts = 0
        self.asked: queue.Queue[tuple[int, libcamera.Camera, libcamera.Request]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True, name="sensor").start()

    def _run(self) -> None:
        due = 0.0
        while True:
            start, camera, request = self.asked.get()
            now = time.monotonic()
            due = max(due + self.period_s, now)
            time.sleep(due - now)
            while SILENT.exists():
                time.sleep(0.1)
            if start == self.starts:
                with contextlib.suppress(RuntimeError):  # stopped this very moment
                    _queue(camera, request)


_sensor = _Sensor()


def _start_sensor(self: libcamera.Camera, controls: dict[libcamera.ControlId, Any] | None = None) -> None:
    for control, value in (controls or {}).items():
        if control.name == "FrameDurationLimits":
            _sensor.period_s = value[0] / 1e6
    _start(self, controls or {})


def _stop_sensor(self: libcamera.Camera) -> None:
    _sensor.starts += 1
    _stop(self)


libcamera.Camera.start, libcamera.Camera.stop = _start_sensor, _stop_sensor
libcamera.Camera.queue_request = lambda self, request: _sensor.asked.put((_sensor.starts, self, request))
