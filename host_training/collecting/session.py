"""The loop of collecting: camera -> face mesh -> page, and rows while a viewer of the page records."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from edge.errors import EndOfStreamError
from edge.values import Shown
from host_training.collecting.measuring import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.camera import Camera
    from edge.daemon.signals import Signals
    from edge.face_mesh import FaceMesh
    from edge.preview import Preview
    from edge.values import Face
    from host_training.collecting.collector import Collector

WAIT_S = 0.5
"""Time, in s, to wait for a frame or for a viewer."""
AWAY_S = 15.0
"""Time, in s, without a viewer after which recording stops."""
RECENT = 30
"""Number of frames over which the page's frame rate is measured."""


def run(camera: Camera, mesh: FaceMesh, preview: Preview, collector: Collector, signals: Signals) -> None:
    """Collect until a signal or the end of the source.

    Raises:
        EdgeError: see `Camera.read`.
    """
    watched = time.monotonic()
    captured: deque[float] = deque(maxlen=RECENT)
    while not signals.stop:
        now = time.monotonic()
        if preview.has_viewers:
            watched = now
        elif collector.recording and now - watched > AWAY_S:
            collector.stop("recording has stopped: nobody was watching the page")
        elif not collector.recording and not camera.live:
            time.sleep(WAIT_S)  # a finite source waits for a viewer
            continue
        try:
            frame = camera.read(WAIT_S)
        except EndOfStreamError:
            collector.stop("recording has stopped: the source has ended")
            return
        if frame is None or not (preview.has_viewers or collector.recording):
            continue
        faces = mesh.process(frame)
        captured.append(frame.captured_at)
        preview.show(frame, faces, _shown(faces), (len(captured) - 1) / max(captured[-1] - captured[0], 1e-6))
        ticket = collector.due(frame.captured_at)
        if ticket is not None:
            collector.add(ticket, measure(mesh, frame.rgb))
            preview.refresh_panel()


def _shown(faces: Sequence[Face]) -> list[Shown]:
    """What the page needs to draw faces without an expression."""
    return [Shown(face.track_id, "", 0.0, 0.0) for face in faces]
