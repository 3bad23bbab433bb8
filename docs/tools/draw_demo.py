"""Draws docs/images/demo.webp: the built-in demo, its face mesh, and the resulting events.

    make docs/images/demo.webp

It runs the daemon with its preview and a broker for one loop of the demo. Pictures, meshes and probabilities come from
the preview, and events from a subscriber. Each appears at the time at which it arrived.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.camera.demo.script import LOOP_S
from edge.messages.topics import EVENT, Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BROKER_PORT = 18831
DEVICE = "livingroom"
EVENTS = Namespace("emotion", DEVICE).path(EVENT)
FPS = 10
"""Frames per second of the animation, the rate at which the preview sends updates."""
QUALITY = 45
"""Quality of the WebP encoder, 0 to 100."""

PICTURE = 480, 360
SIDE_WIDTH = 330
ROWS, ROW = 6, 25
"""Number of visible events, and the height of one, px."""
MARGIN = 16
WIDTH = PICTURE[0] + SIDE_WIDTH
HEIGHT = PICTURE[1] + MARGIN + 24 + ROWS * ROW

PAPER, INK, PALE, ACCENT, TRACK = (255, 255, 255), (31, 35, 40), (120, 128, 136), (9, 105, 218), (234, 238, 242)
"""Colours as RGB."""
MESH = (120, 255, 160)


@dataclass(frozen=True)
class Moment:
    """A `view` event of the preview, with its time, s since the first."""

    at: float
    view: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """An MQTT message, with its time, s since the first view."""

    at: float
    topic: str
    payload: dict[str, Any]


def main(path: Path) -> None:
    """Record one loop of the demo and draw it."""
    url = f"mqtt://127.0.0.1:{BROKER_PORT}"
    with _broker(), _subscribed() as received, _running(url) as page:
        start, lines, moments = _watch(page)
    events = [Event(at - start, topic, payload) for at, topic, payload in received]
    times = [moment.at for moment in moments]
    frames = [_frame(moment, lines, [event for event in events if event.at <= moment.at]) for moment in moments]
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    animation.durations = np.rint(1000 * np.diff([*times, times[-1] + 1 / FPS])).astype(int).tolist()
    animation.loop_count = 0
    cv2.imwriteanimation(str(path), animation, (cv2.IMWRITE_WEBP_QUALITY, QUALITY))
    print(f"{path}: {len(frames)} frames, {len(events)} events, {path.stat().st_size / 1e6:.2f} MB")


@contextlib.contextmanager
def _broker() -> Iterator[None]:
    """Run mosquitto, which supports MQTT 5, so that the daemon needs no fallback."""
    broker = subprocess.Popen(["mosquitto", "-p", str(BROKER_PORT)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", BROKER_PORT), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        broker.terminate()
        broker.wait(10)


@contextlib.contextmanager
def _running(url: str) -> Iterator[str]:
    """Run the daemon on the demo, and yield the address of its preview."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "emotion-edge.toml"
        settings.write_text(f'[device]\nname = "{DEVICE}"\n[mqtt]\ndiscovery = ""\n', encoding="utf-8")
        command = [sys.executable, "-m", "edge", "run", "--config", str(settings), "--camera", "demo", "--mqtt", url]
        command += ["--preview", "127.0.0.1:0", "--preview-picture"]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = program.stdout.readline() if program.stdout is not None else ""
            address = re.search(r"http://(\S+?)/?$", line.strip())
            if address is None:
                raise SystemExit("draw_demo: the daemon printed no address of its preview")
            yield address[1]
        finally:
            program.terminate()
            program.wait(10)


@contextlib.contextmanager
def _subscribed() -> Iterator[list[tuple[float, str, dict[str, Any]]]]:
    """Subscribe to events, and yield a growing list of their times, topics and payloads."""
    received: list[tuple[float, str, dict[str, Any]]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: received.append(
        (time.monotonic(), message.topic, json.loads(message.payload))
    )
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", BROKER_PORT)
    client.loop_start()
    client.subscribe(EVENTS, qos=EVENT.qos)
    subscribed.wait(10)
    try:
        yield received
    finally:
        client.disconnect()
        client.loop_stop()


def _watch(page: str) -> tuple[float, dict[str, list[list[int]]], list[Moment]]:
    """Read the event stream of the preview for one loop of the demo.

    Returns:
        The start (s, monotonic), the lines of the mesh, and the views.
    """
    connection = http.client.HTTPConnection(page)
    connection.request("GET", "/events")
    response = connection.getresponse()
    lines: dict[str, list[list[int]]] = {}
    moments: list[Moment] = []
    start, name = 0.0, ""
    while not moments or moments[-1].at < LOOP_S:
        line = response.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == "hello":
            lines = json.loads(line.removeprefix("data: "))["lines"]
        elif line.startswith("data: ") and name == "view":
            now = time.monotonic()
            start = start or now
            if not moments or now - start - moments[-1].at >= 0.9 / FPS:
                moments.append(Moment(now - start, json.loads(line.removeprefix("data: "))))
    connection.close()
    return start, lines, moments


def _frame(moment: Moment, lines: dict[str, list[list[int]]], events: Sequence[Event]) -> NDArray[np.uint8]:
    """uint8[HEIGHT, WIDTH, 3], RGB."""
    canvas = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    data = np.frombuffer(base64.b64decode(moment.view["picture"]), np.uint8)
    jpeg = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    picture = np.asarray(cv2.resize(jpeg, PICTURE, interpolation=cv2.INTER_AREA), np.uint8)
    for face in moment.view["faces"]:
        if face["points"]:
            _mesh(picture, np.array(face["points"], np.float64).reshape(-1, 2) / 10_000 * PICTURE, lines)
    canvas[: PICTURE[1], : PICTURE[0]] = picture
    _side(canvas, moment.view)
    y = PICTURE[1] + MARGIN + 12
    _text(canvas, f"$ mosquitto_sub -t '{EVENTS}'", MARGIN, y, PALE, size=15)
    for row, event in enumerate(events[-ROWS:]):
        _event(canvas, y + 26 + ROW * row, event)
    return canvas


def _mesh(picture: NDArray[np.uint8], points: NDArray[np.float64], lines: dict[str, list[list[int]]]) -> None:
    for group, thickness in (("fine", 1), ("bold", 1), ("irises", 1)):
        for line in lines[group]:
            track = np.rint(points[line] * 16).astype(np.int32)
            cv2.polylines(picture, [track], group == "irises", MESH, thickness, cv2.LINE_AA, 4)


def _side(canvas: NDArray[np.uint8], view: dict[str, Any]) -> None:
    """Draw the expression of the nearest face and all probabilities."""
    left = PICTURE[0] + MARGIN
    face = next(iter(view["faces"]), None)
    _text(canvas, face["expression"] if face else "no face", left, 40, INK, size=26, weight=600)
    for row, (label, share) in enumerate(face["probabilities"].items() if face else ()):
        y = 84 + 33 * row
        _text(canvas, label, left, y, INK if face and label == face["expression"] else PALE, size=16)
        start, end = left + 100, WIDTH - MARGIN
        cv2.rectangle(canvas, (start, y - 11), (end, y), TRACK, -1)
        if share * (end - start) >= 1:
            cv2.rectangle(canvas, (start, y - 11), (start + round(share * (end - start)), y), ACCENT, -1)


def _event(canvas: NDArray[np.uint8], y: int, event: Event) -> None:
    """Draw the main part of a payload."""
    shown = {key: event.payload[key] for key in ("type", "track", "expression", "previous", "confidence")}
    _text(canvas, f"{event.payload['time'][11:19]}", MARGIN, y, PALE, size=14)
    _text(canvas, f"{json.dumps(shown)[:-1]}, ...}}", MARGIN + 76, y, INK, size=14)


FONT = cv2.FontFace("sans")


def _text(
    canvas: NDArray[np.uint8], text: str, x: int, y: int, colour: tuple[int, int, int], *, size: int, weight: int = 400
) -> None:
    cv2.putText(canvas, text, (x, y), colour, FONT, size, weight)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
