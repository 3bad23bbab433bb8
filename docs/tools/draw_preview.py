"""Draws docs/images/preview.png: the page of `emotion-edge run --preview` after five minutes of the built-in demo.

The daemon's code computes everything on it, and Chromium takes the screenshots: make docs/images/preview.png
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from chromium import Chromium

from edge.camera.demo.camera import DemoCamera
from edge.daemon.pipeline import Pipeline
from edge.expression import ExpressionMachine
from edge.preview import Preview
from edge.settings import CameraSettings, Settings
from edge.values import Frame

if TYPE_CHECKING:
    from edge.values import Face, Shown

FPS = 5
END_S = 295.0
"""Time in the demo at which the face is surprised."""
HEIGHT = 740
SCREENS = ((960, "light", False), (360, "dark", True))
"""A desktop and a phone: width in CSS px, theme, whether it is mobile."""
GAP = 24
WAIT_S = 3.0
"""Time after which the page has drawn everything."""


def main(path: Path) -> None:
    """Play the demo, open the page and draw it."""
    times = [0.0]
    with contextlib.closing(
        Preview("127.0.0.1:0", device="livingroom", on_pause=lambda _: None, clock=lambda: times[-1])
    ) as preview:
        frame, faces, shown = _play(preview, times)
        with contextlib.closing(Chromium(HEIGHT)) as browser:
            screens = []
            for width, theme, mobile in SCREENS:
                browser.open(preview.url, width, theme, mobile=mobile)
                end = time.monotonic() + WAIT_S
                while time.monotonic() < end:
                    preview.show(frame, faces, shown, FPS)
                    time.sleep(1 / FPS)
                screens.append(browser.screenshot())
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    cv2.imwrite(str(path), np.hstack([screens[0], gap, screens[1]]))


def _play(preview: Preview, times: list[float]) -> tuple[Frame, tuple[Face, ...], tuple[Shown, ...]]:
    """Play five minutes of the demo as fast as possible, and return the last frame, its faces and expressions."""
    settings = Settings(camera=CameraSettings(source="demo"))
    demo = DemoCamera(settings.camera)
    with contextlib.closing(Pipeline(settings)) as pipeline:
        machine = ExpressionMachine(pipeline.bundle.labels, settings.expression)
        for i in range(1, round(END_S * FPS)):
            times.append(i / FPS)
            frame = Frame(demo.draw(times[-1]), times[-1], field_of_view=demo.field_of_view)
            faces = pipeline.find(frame)
            if machine.step(pipeline.read(faces, frame), times[-1]):
                preview.update_timeline(machine.shown())
    return frame, faces, machine.shown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
