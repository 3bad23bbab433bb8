"""The loop: camera -> face mesh -> page, and rows where somebody at the page wants them."""

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
"""For a frame, and for somebody to look."""
AWAY_S = 15.0
"""After so long without anybody at the page nobody is recorded any more."""
RECENT = 30
"""Frames that the frame rate on the page is counted over."""


def run(camera: Camera, mesh: FaceMesh, preview: Preview, collector: Collector, signals: Signals) -> None:
    """Collect until a signal or the end of the source.

    Raises:
        EdgeError: see `Camera.read`.
    """
    looked = time.monotonic()
    seen: deque[float] = deque(maxlen=RECENT)
    while not signals.stop:
        now = time.monotonic()
        if preview.has_viewers:
            looked = now
        elif collector.recording and now - looked > AWAY_S:
            collector.stop("recording has stopped: nobody was at the page")
        elif not collector.recording and not camera.live:
            time.sleep(WAIT_S)  # what has an end waits for somebody to see it
            continue
        try:
            frame = camera.read(WAIT_S)
        except EndOfStreamError:
            collector.stop("recording has stopped: the source is at its end")
            return
        if frame is None or not (preview.has_viewers or collector.recording):
            continue
        faces = mesh.process(frame)
        seen.append(frame.captured_at)
        preview.show(frame, faces, _shown(faces), (len(seen) - 1) / max(seen[-1] - seen[0], 1e-6))
        asked = collector.due(frame.captured_at)
        if asked is not None:
            collector.add(asked, measure(mesh, frame.rgb))
            preview.refresh_panel()


def _shown(faces: Sequence[Face]) -> list[Shown]:
    """What the page needs in order to draw faces that nobody has read an expression in."""
    return [Shown(face.track_id, "", 0.0, 0.0) for face in faces]
