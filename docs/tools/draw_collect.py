"""Draws docs/images/collect.png: the page of `emotion-train collect camera` while it records the built-in demo.

The code of the command records into a temporary table, and Chromium takes the screenshots: make docs/images/collect.png
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from chromium import Chromium

from edge.bundle.bundle import FEATURES
from edge.bundle.locate import Installation
from edge.camera.demo.camera import DemoCamera
from edge.daemon.signals import Signals
from edge.face_mesh import open_face_mesh
from edge.preview import Preview
from edge.settings import MeshSettings, Settings
from host_training.collecting import session
from host_training.collecting.collector import PERIOD_S, Collector
from host_training.collecting.measuring import MAX_FACES, Conditions, measure
from host_training.collecting.store import Store
from host_training.data.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.camera import Camera
    from edge.face_mesh import FaceMesh

HEIGHT = 1100
SCREENS = ((960, "light", False), (360, "dark", True))
"""A desktop and a phone: width in CSS px, theme, whether it is mobile."""
GAP = 24
PEOPLE = ("p01", "p02", "p03")
MOMENTS = {"happiness": (0.0, 2.8), "neutral": (3.6, 6.9), "surprise": (7.5, 9.8), "sadness": (12.5, 14.8)}
"""Expressions of the demo, with start and end, s."""
RECORDED_S = 2.4
"""Time of the recording, shorter than the smile at the beginning of the demo."""


def main(path: Path) -> None:
    """Record some people, start recording another one, and draw the page."""
    settings = Settings()
    installation = Installation.of(settings)
    conditions = Conditions(installation.bundle / FEATURES)
    demo = DemoCamera(settings.camera)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_face_mesh(MeshSettings(max_faces=MAX_FACES), installation.mesh_models())) as mesh,
        Store(Path(folder) / "table.parquet", conditions, say=print) as store,
    ):
        for number, subject in enumerate(PEOPLE):
            for label, (start, end) in list(MOMENTS.items())[: len(MOMENTS) - number]:
                take = store.new_take(subject, "monday", LABELS.index(label))
                for second in np.arange(start + number / 20, end, PERIOD_S):
                    rgb = cv2.convertScaleAbs(demo.draw(second), alpha=0.5 if number and second % 2 < 1 else 1.0)
                    measured = measure(mesh, np.asarray(rgb, np.uint8))
                    if not isinstance(measured, str):
                        store.add(take, measured)
        collector = Collector(store, subject="p04", session="monday", consent=True, pictures=False, say=print)
        with (
            contextlib.closing(Preview("127.0.0.1:0", device="livingroom", panel=collector)) as preview,
            contextlib.closing(Chromium(HEIGHT)) as browser,
        ):
            screens = []
            for width, theme, mobile in SCREENS:
                browser.open(preview.url, width, theme, mobile=mobile)
                with _recording(DemoCamera(settings.camera), mesh, preview, collector):
                    time.sleep(RECORDED_S)
                    screens.append(browser.screenshot())
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    cv2.imwrite(str(path), np.hstack([screens[0], gap, screens[1]]))


@contextlib.contextmanager
def _recording(camera: Camera, mesh: FaceMesh, preview: Preview, collector: Collector) -> Iterator[None]:
    """Record a smile in the background."""
    signals = Signals()
    loop = threading.Thread(target=session.run, args=(camera, mesh, preview, collector, signals))
    collector.perform({"do": "label", "label": LABELS.index("happiness")})
    collector.perform({"do": "record", "subject": "p04", "session": "monday", "consent": True})
    loop.start()
    try:
        yield
    finally:
        signals.stop = True
        loop.join()
        collector.perform({"do": "undo"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
