"""What travels to the page: server-sent events (WHATWG HTML, 9.2) with JSON."""

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
"""Width and height of the picture in units of a coordinate that is sent; a phone has a tenth of the pixels."""

PICTURE_WIDTH = 640
"""px, at most, of a picture that is sent."""
JPEG_QUALITY = 70
"""0..100."""

_CHUNK = 160, 120
"""px by which the view of a recording grows."""

_DRAWN = sorted({point for line in (*FINE_LINES, *BOLD_LINES, *IRISES) for point in line})
"""Only these landmarks are sent."""


@dataclass(frozen=True, slots=True)
class Look:
    """One moment, as the daemon hands it over: references, nothing is computed yet."""

    size: tuple[int, int]
    """Width and height of the frame, px; 0, 0 in a recording."""
    faces: Sequence[Face]
    shown: Sequence[Shown]
    """The nearest face first."""
    fps: float
    rgb: NDArray[np.uint8] | None = None
    """uint8[H, W, 3], if the picture is to be shown."""


def hello(
    *, page: str, device: str, picture: bool, pause: bool, desk: bool, past: Sequence[tuple[float, Entry]]
) -> bytes:
    """The first event of a connection.

    Args:
        page: names the version of the page.
        device: its name.
        picture: whether the picture comes along.
        pause: whether the camera can be turned off from the page.
        desk: whether more can be done there, and `desk` events tell how far that is.
        past: see `Timeline.ago`.
    """
    place = {point: i for i, point in enumerate(_DRAWN)}
    lines = {
        name: [[place[point] for point in line] for line in group]
        for name, group in (("fine", FINE_LINES), ("bold", BOLD_LINES), ("irises", IRISES))
    }
    told = {"page": page, "device": device, "picture": picture, "pause": pause, "desk": desk, "past": past}
    return _event("hello", {**told, "lines": lines})


def beat(*, paused: bool) -> bytes:
    """A sign of life: whether the camera is off."""
    return _event("beat", {"paused": paused})


def desk(state: Mapping[str, Any]) -> bytes:
    """What a desk has to show."""
    return _event("desk", state)


class View:
    """Turns looks into events."""

    def __init__(self) -> None:
        self._size_of_recording = _CHUNK

    def event(self, look: Look) -> bytes:
        """The event of a moment; a face that is held though it is missing has no points."""
        width, height = look.size if min(look.size) > 0 else self._recording(look.faces)
        scale = np.array((UNITS / width, UNITS / height), np.float32)
        points = {face.track_id: _points(face.landmarks, scale) for face in look.faces}
        values: dict[str, Any] = {
            "width": width,
            "height": height,
            "fps": round(look.fps, 1),
            "faces": [
                {
                    "track": face.track_id,
                    "expression": face.expression,
                    "confidence": round(face.confidence, 3),
                    "probabilities": {label: round(share, 3) for label, share in face.probabilities.items()},
                    "points": points.get(face.track_id),
                }
                for face in look.shown
            ],
        }
        if look.rgb is not None and look.rgb.size:
            values["picture"] = _jpeg(look.rgb)
        return _event("view", values)

    def _recording(self, faces: Sequence[Face]) -> tuple[int, int]:
        """A size that holds all faces so far: a recording does not say how large its frames were."""
        for face in faces:
            farthest = np.nan_to_num(face.landmarks[:, :2].max(axis=0))
            chunks = max(1, *(int(-(-end // side)) for end, side in zip(farthest.tolist(), _CHUNK, strict=True)))
            self._size_of_recording = max(self._size_of_recording, (chunks * _CHUNK[0], chunks * _CHUNK[1]))
        return self._size_of_recording


def _points(landmarks: NDArray[np.float32], scale: NDArray[np.float32]) -> list[int]:
    """x, y, x, y ... of the landmarks that are drawn."""
    units = np.nan_to_num(landmarks[_DRAWN, :2] * scale)
    points: list[int] = np.rint(units.clip(-UNITS, 2 * UNITS)).astype(np.int32).ravel().tolist()
    return points


def _jpeg(rgb: NDArray[np.uint8]) -> str:
    """The picture in base64, no wider than a phone needs it."""
    import cv2

    width = rgb.shape[1]
    if width > PICTURE_WIDTH:
        height = max(1, round(rgb.shape[0] * PICTURE_WIDTH / width))
        rgb = np.asarray(cv2.resize(rgb, (PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return base64.b64encode(data.tobytes()).decode("ascii")


def _event(name: str, values: Mapping[str, Any]) -> bytes:
    # Without ensure_ascii=False no line end can get into the line.
    return f"event: {name}\ndata: {json.dumps(values, separators=(',', ':'))}\n\n".encode()
