"""Messages for `emotion-edge watch`, made by the daemon's code, and arbitrary payloads of other clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import strategies as st

from edge.messages import payloads
from edge.messages.payloads import WallClock
from edge.values import Change, Shown

NOW = datetime(2025, 3, 14, 15, 9, 26, tzinfo=UTC)
CLOCK = WallClock(NOW.timestamp(), synchronised=True)
CHANGE = Change(3, "happiness", "neutral", 0.87, 0.0, 4.0)
FACE = Shown(3, "happiness", 0.87, 0.0, {"happiness": 0.87}, 100.0)

KEYS = [
    "schema", "type", "time", "faces", "track", "confidence", "expression", "fps", "model", "in_use", "id", "versions",
    "emotion_edge", "problem", "shadow", "position", "distance_m",
]  # fmt: skip
anything = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
).map(lambda value: json.dumps(value).encode())
"""Arbitrary payloads: bytes, and JSON with keys of our messages."""


def event(change: Change) -> bytes:
    return payloads.encode(payloads.event(change, run="r", seq=1, clock=CLOCK, model="m"))


def state(*faces: Shown, at: float = 0.0) -> bytes:
    return payloads.encode(payloads.state(faces, at=at, clock=CLOCK))


def compared(*pairs: tuple[str, str], models: tuple[str, str] = ("m2", "m1"), at: float = 0.0) -> bytes:
    """State of a shadow; each pair has the expressions of the bundle in use and of the shadow for faces 1, 2, ..."""
    sides = zip(*pairs, strict=True) if pairs else ((), ())
    in_use, shadow = ([Shown(i, label, 0.9, 0.0) for i, label in enumerate(side, 1)] for side in sides)
    return payloads.encode(payloads.shadow_state(shadow, in_use, models=models, at=at, clock=CLOCK))


SAME, OTHER = ("neutral", "neutral"), ("neutral", "sadness")
