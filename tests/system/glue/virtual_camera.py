"""Makes unmodified Picamera2 run on libcamera's virtual pipeline, and gives the pipeline the timing of a sensor.

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
"""While this file exists, the sensor delivers nothing, as with a loose cable."""

# The virtual pipeline has no raw stream, but Picamera2 requests one when it opens a camera.
_generate = libcamera.Camera.generate_configuration
_SUBSTITUTE = {libcamera.StreamRole.Raw: libcamera.StreamRole.Viewfinder}
libcamera.Camera.generate_configuration = lambda self, roles: _generate(
    self, [_SUBSTITUTE.get(role, role) for role in roles]
)

# Its buffers have separate planes for luma and chroma, which libcamera's own allocator supports.
_init = Picamera2.__init__


def _init_with_allocator(self: Picamera2, *arguments: object, **options: object) -> None:
    _init(self, *arguments, **options)
    self.allocator = LibcameraAllocator(self.camera)


Picamera2.__init__ = _init_with_allocator

# It delivers frames as fast as they are requested. A sensor has a clock: 30 frames/s, or FrameDurationLimits.
_start, _stop, _queue = libcamera.Camera.start, libcamera.Camera.stop, libcamera.Camera.queue_request


class _Sensor:
    """Passes requests to the camera at the sensor's rate."""

    def __init__(self) -> None:
        self.period_s = 1 / 30
        self.starts = 0
        self.requests: queue.Queue[tuple[int, libcamera.Camera, libcamera.Request]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True, name="sensor").start()

    def _run(self) -> None:
        due = 0.0
        while True:
            start, camera, request = self.requests.get()
            now = time.monotonic()
            due = max(due + self.period_s, now)
            time.sleep(due - now)
            while SILENT.exists():
                time.sleep(0.1)
            if start == self.starts:
                with contextlib.suppress(RuntimeError):  # the camera was stopped at this moment
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
libcamera.Camera.queue_request = lambda self, request: _sensor.requests.put((_sensor.starts, self, request))
