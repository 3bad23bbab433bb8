"""The events sent to the page: server-sent events (WHATWG HTML, 9.2) with JSON data."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.preview.contours import BOLD_LINES, FINE_LINES, IRISES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edge.preview.timeline import Entry
    from edge.values import Face, Shown

UNITS = 10_000
"""Width and height of the frame in the units of the coordinates sent: ten times as fine as the pixels of a phone."""

PICTURE_WIDTH = 640
"""Maximum width of the pictures sent, px."""
JPEG_QUALITY = 70
"""Quality of the JPEG pictures, 0..100."""

_DRAWN = sorted({point for line in (*FINE_LINES, *BOLD_LINES, *IRISES) for point in line})
"""Indices of the landmarks that are drawn. Only these are sent."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one moment, as the daemon passes it: references only, nothing is encoded yet."""

    size: tuple[int, int]
    """Width and height of the frame, px."""
    faces: Sequence[Face]
    shown: Sequence[Shown]
    """The nearest face first."""
    fps: float
    rgb: NDArray[np.uint8] | None = None
    """uint8[H, W, 3]; None unless the page shows the picture."""


def hello(*, page: str, device: str, picture: bool, panel: str | None, past: Sequence[tuple[float, Entry]]) -> bytes:
    """The first event of a connection.

    Args:
        page: version of the page.
        device: name of the device.
        picture: whether `view` events contain the picture.
        panel: which panel the page has, with `panel` events; None: none.
        past: see `Timeline.history`.
    """
    index = {point: i for i, point in enumerate(_DRAWN)}
    lines = {
        name: [[index[point] for point in line] for line in group]
        for name, group in (("fine", FINE_LINES), ("bold", BOLD_LINES), ("irises", IRISES))
    }
    values = {"page": page, "device": device, "picture": picture, "panel": panel, "past": past}
    return _event("hello", {**values, "lines": lines})


def heartbeat(*, paused: bool) -> bytes:
    """The heartbeat, which says whether the camera is off."""
    return _event("heartbeat", {"paused": paused})


def panel(state: Mapping[str, Any]) -> bytes:
    """The state of the panel."""
    return _event("panel", state)


def view(snapshot: Snapshot) -> bytes:
    """A snapshot. A face that is missing but held has no points."""
    width, height = snapshot.size
    scale = np.array((UNITS / width, UNITS / height), np.float32)
    points = {face.track_id: _points(face.landmarks, scale) for face in snapshot.faces}
    values: dict[str, Any] = {
        "width": width,
        "height": height,
        "fps": round(snapshot.fps, 1),
        "faces": [
            {
                "track": face.track_id,
                "expression": face.expression,
                "confidence": round(face.confidence, 3),
                "probabilities": {label: round(share, 3) for label, share in face.probabilities.items()},
                "distance_m": _distance(face),
                "points": points.get(face.track_id),
            }
            for face in snapshot.shown
        ],
    }
    if snapshot.rgb is not None and snapshot.rgb.size:
        values["picture"] = _jpeg(snapshot.rgb)
    return _event("view", values)


def _distance(face: Shown) -> float | None:
    """Distance from the camera in m, rounded; None: unknown."""
    known = None if face.place is None else face.place.distance_m
    return None if known is None else round(known, 1)


def _points(landmarks: NDArray[np.float32], scale: NDArray[np.float32]) -> list[int]:
    """x, y, x, y ... of the landmarks that are drawn, in `UNITS`."""
    units = np.nan_to_num(landmarks[_DRAWN, :2] * scale)
    points: list[int] = np.rint(units.clip(-UNITS, 2 * UNITS)).astype(np.int32).ravel().tolist()
    return points


def _jpeg(rgb: NDArray[np.uint8]) -> str:
    """The picture as JPEG in base64, at most `PICTURE_WIDTH` wide."""
    import cv2

    width = rgb.shape[1]
    if width > PICTURE_WIDTH:
        height = max(1, round(rgb.shape[0] * PICTURE_WIDTH / width))
        rgb = np.asarray(cv2.resize(rgb, (PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return base64.b64encode(data.tobytes()).decode("ascii")


def _event(name: str, values: Mapping[str, Any]) -> bytes:
    # json.dumps escapes line ends, so the data stay in one line.
    return f"event: {name}\ndata: {json.dumps(values, separators=(',', ':'))}\n\n".encode()
