"""Draws docs/images/pipeline.svg: the path of a frame through the rooms of edge/, and the threads that process it.

make docs/images/pipeline.svg
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1000, 348
STEP_WIDTH, STEP_HEIGHT, STEP_Y = 116, 74, 76
BOX_Y = 246
GAP = (WIDTH - 48 - 6 * STEP_WIDTH) / 5
INK, PALE, LINE, PAPER, CARD = "#1f2328", "#59636e", "#8c959f", "#ffffff", "#f6f8fa"
PURE, ADAPTER = "#0969da", "#bc4c00"


@dataclass(frozen=True)
class Step:
    """A room on the path: what it does, and the value that it passes on."""

    room: str
    does: tuple[str, str]
    value: str
    shape: str
    colour: str


STEPS = (
    Step("camera", ("captures frames,", "keeps the newest"), "Frame", "uint8[H, W, 3]", ADAPTER),
    Step("face_mesh", ("detects and", "tracks faces"), "Face", "float32[478, 3] px", PURE),
    Step("classifier", ("pose, crop,", "int8 network"), "Reading", "probabilities[8]", PURE),
    Step("expression", ("smoothing,", "hysteresis, dwell"), "Change", "new, update, end", PURE),
    Step("messages", ("JSON payloads", "with schemas"), "payload", "bytes", PURE),
    Step("mqtt", ("no event is", "delivered twice"), "", "", ADAPTER),
)


def main(path: Path) -> None:
    """Write the SVG file."""
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" role="img" '
            'aria-label="A frame passes through camera, face mesh, classifier, expression, messages and MQTT">'
        ),
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{PAPER}"/>',
    ]
    for first, last, name, what in (
        (0, 0, "thread camera", "live cameras only"),
        (1, 4, "main thread: daemon.loop", "one frame at a time; owns tracks, expressions, baseline, shadow"),
        (5, 5, "thread mqtt", "owns the session"),
    ):
        parts += _band(first, last, name, what)
    for index, step in enumerate(STEPS):
        parts += _step(index, step)
    parts += _beside()
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _left(index: float) -> float:
    return 24 + index * (STEP_WIDTH + GAP)


def _text(
    x: float, y: float, text: str, *, size: int = 13, colour: str = INK, weight: int = 400, at: str = "middle"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{at}">{escape(text)}</text>'
    )


def _band(first: int, last: int, name: str, what: str) -> list[str]:
    """Draw the thread that runs the steps from `first` to `last`."""
    x, width = _left(first) - 14, _left(last) + STEP_WIDTH - _left(first) + 28
    return [
        f'<rect x="{x:.1f}" y="58" width="{width:.1f}" height="152" rx="10" fill="{CARD}" stroke="#d1d9e0"/>',
        _text(x + width / 2, 178, name, weight=600),
        _text(x + width / 2, 196, what, size=12, colour=PALE),
    ]


def _step(index: int, step: Step) -> list[str]:
    x = _left(index)
    middle = x + STEP_WIDTH / 2
    parts = [
        (
            f'<rect x="{x:.1f}" y="{STEP_Y}" width="{STEP_WIDTH}" height="{STEP_HEIGHT}" rx="8" fill="{PAPER}" '
            f'stroke="{step.colour}" stroke-width="2"/>'
        ),
        _text(middle, STEP_Y + 24, step.room, size=15, colour=step.colour, weight=600),
        _text(middle, STEP_Y + 44, step.does[0], size=12),
        _text(middle, STEP_Y + 60, step.does[1], size=12),
    ]
    if step.value:
        start, end = x + STEP_WIDTH, _left(index + 1)
        parts += [
            _arrow(start + 3, STEP_Y + 37, end - 4, STEP_Y + 37),
            _text((start + end) / 2, 28, step.value, weight=600),
            _text((start + end) / 2, 45, step.shape, size=12, colour=PALE),
            f'<path d="M{(start + end) / 2:.1f} 50 V{STEP_Y + 31}" stroke="{LINE}" stroke-dasharray="2 3"/>',
        ]
    return parts


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<path d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}" stroke="{LINE}" stroke-width="2" fill="none" '
        'marker-end="url(#head)"/>'
    )


def _box(index: float, title: str, lines: tuple[str, ...]) -> list[str]:
    """Draw a box below the steps, left-aligned with the step `index`."""
    x, width = _left(index) - 14, 1.5 * (STEP_WIDTH + GAP) - 16
    parts = [f'<rect x="{x:.1f}" y="{BOX_Y}" width="{width:.1f}" height="92" rx="8" fill="{PAPER}" stroke="#d1d9e0"/>']
    parts.append(_text(x + 12, BOX_Y + 23, title, weight=600, at="start"))
    parts += [
        _text(x + 12, BOX_Y + 43 + 17 * n, line, size=12, colour=PALE, at="start") for n, line in enumerate(lines)
    ]
    return parts


def _beside() -> list[str]:
    """Draw the rooms beside the path, and the queues between threads."""
    below = 214
    loop, mqtt = _left(1) + 20, _left(5) + STEP_WIDTH / 2
    return [
        *_box(0, "bundle, device", ("verified models;", "temperature, voltage,", "systemd, LED, journal")),
        *_box(
            1.5,
            "preview, in its own thread",
            ("the live page;", "costs nothing while", "nobody has it open"),
        ),
        *_box(
            3,
            "outbox: main thread to mqtt",
            ("a bounded queue of events,", "the newest of other messages;", "the loop never waits"),
        ),
        *_box(
            4.5,
            "inbox: mqtt to main thread",
            ("at most 16 commands;", "the loop answers them", "between two frames"),
        ),
        _arrow(loop, BOX_Y - 4, loop, below),
        _arrow(_left(2) + STEP_WIDTH / 2, below, _left(2) + STEP_WIDTH / 2, BOX_Y - 4),
        _arrow(_left(4) + STEP_WIDTH / 2, below, _left(4) + STEP_WIDTH / 2, BOX_Y - 4),
        _arrow(mqtt, below, mqtt, BOX_Y - 4),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
