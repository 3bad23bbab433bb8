"""Draws docs/images/demo.png: the built-in demo, what the mesh measures in it, and the events that come of it.

Everything in the picture is computed by the code that the daemon runs: make docs/images/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge import bundle as bundles
from edge.camera.demo import DemoCamera
from edge.expression import ExpressionMachine
from edge.face_mesh import open_face_mesh
from edge.settings import Settings
from edge.values import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.values import Change, Shown

FPS = 15
MOMENTS_S = (2.0, 4.4, 9.0, 23.8)
"""Into the demo: smiling, turned away, surprised, gone."""
SIDE = 300
LINE = 26
INK, PALE, PAPER, ACCENT = (40, 40, 40), (150, 150, 150), (252, 252, 252), (30, 130, 230)


def main(path: Path) -> None:
    """Run the demo once and draw it."""
    settings = Settings()
    bundle = bundles.in_use(settings)
    mesh = open_face_mesh(settings.mesh, bundles.mesh_in_use(settings))
    machine = ExpressionMachine(bundle.labels, settings.expression)
    demo = DemoCamera(settings.camera)
    panels: list[NDArray[np.uint8]] = []
    events: list[tuple[float, Change]] = []
    for i in range(26 * FPS):
        now = i / FPS
        frame = Frame(demo.draw(now), now)
        faces = mesh.process(frame)
        events += [(now, change) for change in machine.step(bundle.classifier.read(faces, frame.rgb), now)]
        if len(panels) < len(MOMENTS_S) and now >= MOMENTS_S[len(panels)]:
            panels.append(_panel(frame.rgb, [face.landmarks for face in faces], machine.shown(), now))
    rows = np.full((LINE * (len(events) + 2), SIDE * len(panels), 3), PAPER, np.uint8)
    for n, (now, change) in enumerate(events):
        _event(rows, LINE * (n + 1) + 10, now, change)
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack([np.hstack(panels), rows]), cv2.COLOR_RGB2BGR))


def _panel(
    rgb: NDArray[np.uint8], landmarks: list[NDArray[np.float32]], shown: tuple[Shown, ...], now: float
) -> NDArray[np.uint8]:
    picture = rgb.copy()
    for points in landmarks:
        for x, y, _ in points:
            cv2.circle(picture, (round(float(x)), round(float(y))), 1, (120, 255, 160), -1, cv2.LINE_AA)
    half = picture.shape[0] // 2
    centre = picture.shape[1] // 2
    square = cv2.resize(picture[:, centre - half : centre + half], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    caption = np.full((112, SIDE, 3), PAPER, np.uint8)
    _text(caption, f"{now:.1f} s", 10, 22, PALE)
    if not shown:
        _text(caption, "nobody", 70, 22, INK)
    for face in shown[:1]:
        _text(caption, face.expression, 70, 22, INK)
        best = sorted(face.probabilities.items(), key=lambda item: -item[1])[:3]
        for n, (label, share) in enumerate(best):
            y = 48 + 24 * n
            _text(caption, label, 10, y, INK, size=0.45)
            cv2.rectangle(caption, (100, y - 10), (100 + round(180 * share), y), ACCENT, -1)
    return np.asarray(np.vstack([square, caption]), np.uint8)


def _event(rows: NDArray[np.uint8], y: int, now: float, change: Change) -> None:
    what = change.expression or f"left, was {change.previous}"
    _text(rows, f"{now:5.1f} s", 10, y, PALE)
    _text(rows, "emotion/livingroom/event", 90, y, PALE)
    _text(rows, change.kind, 340, y, INK)
    _text(rows, f"face {change.track_id}", 430, y, INK)
    _text(rows, what, 520, y, INK)
    if change.expression:
        _text(rows, f"{change.confidence:.0%}", 760, y, INK)


def _text(
    picture: NDArray[np.uint8], text: str, x: int, y: int, colour: tuple[int, int, int], *, size: float = 0.5
) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
