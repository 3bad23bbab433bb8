"""Draws the live page after five minutes of the built-in demo, at three sizes.

The daemon's code computes everything on it, with a broker on this machine, and Chromium takes the screenshots: make
docs/images/preview.png
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from chromium import Chromium

from edge.camera.demo.camera import DemoCamera
from edge.daemon.page import Page, device_state
from edge.daemon.pipeline import Pipeline
from edge.daemon.sensors import Sensors
from edge.expression import ExpressionMachine
from edge.mqtt.inbox import Inbox
from edge.mqtt.local_broker import ensure_broker
from edge.mqtt.publisher import Publisher
from edge.settings import CameraSettings, MqttSettings, PreviewSettings, Settings
from edge.values import Frame

if TYPE_CHECKING:
    from edge.values import Face, Shown

FPS = 5
END_S = 295.0
"""Time in the demo at which the face is surprised."""
SCREENS = (
    ("preview.png", 1280, 800, "light"),
    ("preview-large.png", 1920, 1080, "dark"),
    ("preview-phone.png", 390, 844, "dark"),
)
"""File, width and height in CSS px, theme."""
PHONE = 600
"""Width below which a screen is that of a phone, CSS px."""
WAIT_S = 3.0
"""Time after which the page has drawn everything."""


def main(folder: Path) -> None:
    """Play the demo, open the page and draw it."""
    times = [0.0]
    settings = Settings(
        camera=CameraSettings(source="demo"),
        mqtt=MqttSettings(url=f"mqtt://localhost:{_free_port()}"),
        preview=PreviewSettings(address="127.0.0.1:0"),
    )
    page = Page(settings.preview, "livingroom", Inbox(time.monotonic), clock=lambda: times[-1])
    publisher = Publisher(settings.mqtt, "livingroom")
    with (
        ensure_broker(settings.mqtt.url),
        contextlib.closing(page),
        contextlib.closing(Pipeline(settings)) as pipeline,
        contextlib.closing(Chromium(SCREENS[0][2])) as browser,
    ):
        publisher.start()
        frame, faces, shown = _play(pipeline, page, settings, times)
        sensors = Sensors(settings)
        sensors.step(0.0)
        for name, width, height, theme in SCREENS:
            browser.open(str(page.url), width, theme, height=height, mobile=width < PHONE)
            end = time.monotonic() + WAIT_S
            while time.monotonic() < end:
                state = device_state(settings, pipeline, sensors, publisher, problem=None, uptime_s=times[-1])
                page.show_state(state, times[-1])
                page.frame(frame, faces, lambda: shown, FPS)
                time.sleep(1 / FPS)
            cv2.imwrite(str(folder / name), browser.screenshot(), (cv2.IMWRITE_PNG_COMPRESSION, 9))
        publisher.stop()


def _play(
    pipeline: Pipeline, page: Page, settings: Settings, times: list[float]
) -> tuple[Frame, tuple[Face, ...], tuple[Shown, ...]]:
    """Play five minutes of the demo as fast as possible, and return the last frame, its faces and expressions."""
    demo = DemoCamera(settings.camera)
    machine = ExpressionMachine(pipeline.bundle.labels, settings.expression)
    for i in range(1, round(END_S * FPS)):
        times.append(i / FPS)
        frame = Frame(demo.draw(times[-1]), times[-1], field_of_view=demo.field_of_view)
        faces = pipeline.find(frame)
        if changes := machine.step(pipeline.read(faces, frame), times[-1]):
            page.changes(changes)
            page.shown(machine.shown(), paused=False)
    return frame, faces, machine.shown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
