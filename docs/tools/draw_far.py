"""Draws docs/images/far.png: the demo's person at one, three and five metres, and what is read there.

    make docs/images/far.png

The person is as large as a Camera Module 3 shows somebody at that distance at 1280x720. Search, face mesh, classifier
and expression machine run on the picture as in the daemon, until a face is shown.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from edge.bundle import bundle as bundles
from edge.camera.demo.face import Expression
from edge.camera.demo.portrait import Portrait, Pose
from edge.camera.optics import LENSES
from edge.classifier.reader import Reader
from edge.expression import ExpressionMachine
from edge.face_mesh.distance import PUPILS, PUPILS_M, Places
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.face_mesh.models import cache_folder, find
from edge.settings import Settings
from edge.values import Frame, bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.values import Face, Shown

WIDTH, HEIGHT, FPS = 1280, 720, 15.0
BUNDLE = Path("model/fused")
METRES = (1.0, 3.0, 5.0)
LIMIT_S = 10.0
LOWEST = 345
"""Row of the portrait at which it ends, px: it stands on the lower edge of the picture."""
FACE_ROW = 120


def main(path: Path) -> None:
    """Draw the picture."""
    figure, axes = plt.subplots(2, len(METRES), figsize=(12, 5.6), height_ratios=(9, 8))
    for column, metres in enumerate(METRES):
        rgb, face, shown = seen(metres)
        x, y, width, height = bounding_box(face.landmarks)
        whole, near = axes[0][column], axes[1][column]
        whole.imshow(rgb)
        whole.add_patch(plt.Rectangle((x, y), width, height, fill=False, edgecolor="#00d26a", linewidth=1.5))
        assert face.place is not None  # noqa: S101  the field of view is known
        whole.set_title(f"{metres:g} m: face of {height:.0f} px", fontsize=11)
        side = max(60, round(1.8 * height))
        left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
        near.imshow(rgb[top : top + side, left : left + side], interpolation="nearest")
        near.plot(face.landmarks[:, 0] - left, face.landmarks[:, 1] - top, ".", color="#00d26a", markersize=0.8)
        near.set_title(f"{shown.expression} {shown.confidence:.2f}, {face.place.distance_m:.1f} m away", fontsize=11)
        for each in (whole, near):
            each.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def seen(metres: float) -> tuple[NDArray[np.uint8], Face, Shown]:
    """The picture, uint8[720, 1280, 3], of somebody who smiles at a distance; the face in it, and what is shown."""
    settings, models = Settings(), find([cache_folder()])
    bundle = bundles.load(BUNDLE)
    portrait = Portrait(WIDTH, HEIGHT)
    smile = Expression()
    (large,) = LiteRTFaceMesh(settings.mesh, models).still(portrait.draw(Pose(size=1.5), smile))
    pupils = float(np.linalg.norm(np.subtract(*large.landmarks[list(PUPILS), :2])))
    fov = LENSES["imx708"]
    wanted = PUPILS_M * WIDTH / 2 / math.tan(math.radians(fov / 2)) / metres
    size = 1.5 * wanted / pupils
    pose = Pose(x=0.62, y=max(0.4, 1 - (LOWEST - FACE_ROW) * size / 480), size=size)
    rgb = portrait.draw(pose, smile)
    rng = np.random.default_rng(0)
    mesh, reader, places = LiteRTFaceMesh(settings.mesh, models), Reader(), Places()
    machine = ExpressionMachine(bundle.labels, settings.expression)
    for i in range(round(LIMIT_S * FPS)):
        noise = rng.normal(0, 2, (HEIGHT, WIDTH, 1))
        frame = Frame(np.clip(rgb + noise, 0, 255).astype(np.uint8), i / FPS, field_of_view=fov)
        faces = mesh.process(frame)
        machine.step(reader.read(bundle.classifier, faces, frame.rgb), frame.captured_at)
        found = places(faces, frame.size, fov, frame.captured_at)
        if i > FPS and machine.shown():
            return frame.rgb, replace(faces[0], place=found[0]), machine.shown()[0]
    raise SystemExit(f"no face is found at {metres:g} m")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
