"""What is said over MQTT: values in, payloads out, each as `schemas/*.json` beside this module describes it.

Pure: no clock of its own, no I/O. No picture, crop, box or landmark is ever part of a payload.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.values import Change, Shown

Payload: TypeAlias = dict[str, Any]
"""A message as JSON types, before it is encoded."""

SCHEMA = 1
"""Version of the contract; every payload carries it."""

NONE = "none"
"""The expression where no face is."""

ONLINE = b"online"
OFFLINE = b"offline"
"""The two payloads of `availability`: plain text, because that is what Home Assistant expects by default."""

BIG6_SET = "http://www.w3.org/TR/emotion-voc/xml#big6"
"""Ekman's six basic emotions in the W3C's Vocabularies for EmotionML, section 2.1."""

BIG6 = frozenset({"anger", "disgust", "fear", "happiness", "sadness", "surprise"})
"""Labels with the same name in FER+ and in big6; neutral, contempt and uncertain have none there."""

_DIGITS = 4
"""Decimals of every number: finer than any of them is known."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """How monotonic times become dates."""

    offset_s: float
    """s, what has to be added to a monotonic time to make it a Unix time."""

    synchronised: bool
    """Whether the system clock is known to be right; a Raspberry Pi without network starts in the past."""

    def date(self, monotonic_s: float) -> str:
        """A monotonic time in seconds as RFC 3339: UTC, milliseconds, ends in Z."""
        date = datetime.fromtimestamp(monotonic_s + self.offset_s, UTC)
        return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median and 95th percentile of a duration in ms; None while nothing was measured."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """How the daemon is doing."""

    fps: float
    """Frames per second that were finished."""
    target_fps: float
    """Frames per second that may be looked at now: `camera.fps`, or less while the processor is hot."""
    frame_age_ms: Percentiles
    """From the capture of a frame to its result."""
    latency_ms: Percentiles
    """Processing alone."""
    cpu_temperature_c: float | None
    throttled: bool | None
    under_voltage: bool | None
    """These three are None where the machine does not tell."""
    rss_mb: float
    """Resident memory in MB of 10^6 bytes."""
    dropped: int
    """Frames that were replaced by a newer one before anyone looked at them."""
    queued: int
    """Events that wait for the broker."""
    lost_events: int
    """Events given up: too old, too many, or cut off with the connection."""
    uptime_s: float
    mesh_backend: str
    model: str
    """Id of the bundle that was in use all the while."""
    dropped_commands: int = 0
    """Messages on `command/#` that nobody looked at: too many, or kept by the broker."""


@dataclass(frozen=True, slots=True)
class Info:
    """What runs on this device."""

    device: str
    versions: Mapping[str, str]
    """Program or library to version: emotion_edge, python, runtime, numpy, opencv, ..."""
    model_id: str | None
    """None while no bundle is live."""
    model_name: str | None
    metrics: Mapping[str, float]
    """Headline measures of the model, as its bundle states them."""
    camera: str
    labels: Sequence[str]
    problem: str | None = None
    """One line, for instance why a bundle was refused; None when all is well."""
    shadow: str | None = None
    """Id of the bundle that runs as the shadow of the model; None: there is none."""
    shadow_problem: str | None = None
    """One line on why there is none, although there should be."""
    baseline: str | None = None
    """When the neutral face was measured from which the model counts, RFC 3339, UTC; None: it counts from none."""


def event(change: Change, *, run: str, seq: int, clock: WallClock, model: str) -> Payload:
    """One change of one face.

    Args:
        change: what happened.
        run: differs for every start of the program; makes `id` unique in the world.
        seq: rises by one from event to event of a run, so that a subscriber sees gaps.
        clock: dates the change.
        model: id of the bundle that decided.
    """
    expression = change.expression or NONE
    return {
        "schema": SCHEMA,
        "id": f"{run}-{seq}",
        "seq": seq,
        "time": clock.date(change.since),
        "clock_synchronised": clock.synchronised,
        "type": change.kind,
        "track": change.track_id,
        "expression": expression,
        "previous": change.previous or NONE,
        "vocabulary": vocabulary(expression),
        "confidence": _share(change.confidence),
        "duration_s": _amount(change.duration_s),
        "model": model,
    }


def state(shown: Sequence[Shown], *, at: float, clock: WallClock, paused: bool = False) -> Payload:
    """What is shown now, at the monotonic time `at` in s; `expression` is that of the nearest face.

    Paused means that the camera is closed, so that nobody knows whether there is a face.
    """
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "paused": paused,
        "expression": _nearest(shown),
        "faces": [_face(face, clock) for face in shown],
    }


def shadow_state(
    shadow: Sequence[Shown], in_use: Sequence[Shown], *, models: tuple[str, str], at: float, clock: WallClock
) -> Payload:
    """What a shadow would show, and what is shown.

    Args:
        shadow: the faces, by the bundle that runs as the shadow.
        in_use: the same faces, by the bundle in use.
        models: ids of the two bundles, in this order.
        at: s, monotonic; that of the state that is published at this moment.
        clock: dates it.
    """
    beside = {face.track_id: face.expression for face in in_use}
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "model": models[0],
        "expression": _nearest(shadow),
        "in_use": {"model": models[1], "expression": _nearest(in_use)},
        "faces": [{**_face(face, clock), "in_use": beside.get(face.track_id, NONE)} for face in shadow],
    }


def health(values: Health, *, at: float, clock: WallClock) -> Payload:
    """How the daemon is doing at the monotonic time `at` in s."""
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "fps": _amount(values.fps),
        "target_fps": _amount(values.target_fps),
        "frame_age_ms": _percentiles(values.frame_age_ms),
        "latency_ms": _percentiles(values.latency_ms),
        "cpu_temperature_c": _known(values.cpu_temperature_c),
        "throttled": values.throttled,
        "under_voltage": values.under_voltage,
        "rss_mb": _amount(values.rss_mb),
        "dropped": values.dropped,
        "queued": values.queued,
        "lost_events": values.lost_events,
        "dropped_commands": values.dropped_commands,
        "uptime_s": _amount(values.uptime_s),
        "mesh_backend": values.mesh_backend,
        "model": values.model,
    }


def info(values: Info) -> Payload:
    """What runs on this device."""
    metrics = {name: _known(value) for name, value in values.metrics.items()}
    model = {"id": values.model_id, "name": values.model_name or values.model_id, "metrics": metrics}
    return {
        "schema": SCHEMA,
        "device": values.device,
        "versions": dict(values.versions),
        "model": None if values.model_id is None else model,
        "camera": values.camera,
        "labels": list(values.labels),
        "problem": values.problem,
        "shadow": values.shadow,
        "shadow_problem": values.shadow_problem,
        "baseline": values.baseline,
    }


def vocabulary(expression: str) -> Payload | None:
    """The name of an expression in EmotionML's big6, with EmotionML's own keys; None where it has none."""
    return {"category_set": BIG6_SET, "category": expression} if expression in BIG6 else None


def encode(payload: Payload) -> bytes:
    """A payload as compact UTF-8 JSON.

    Raises:
        ValueError: a number is not finite; JSON has no word for that.
    """
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _face(face: Shown, clock: WallClock) -> Payload:
    return {
        "track": face.track_id,
        "expression": face.expression,
        "confidence": _share(face.confidence),
        "since": clock.date(face.since),
        "probabilities": {label: _share(share) for label, share in face.probabilities.items()},
    }


def _nearest(shown: Sequence[Shown]) -> str:
    """The expression of the largest face."""
    nearest = max(shown, key=lambda face: face.size, default=None)
    return NONE if nearest is None else nearest.expression


def _known(value: float | None) -> float | None:
    """A rounded number; None for what is unknown or not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def _amount(value: float) -> float:
    """A rounded number that is never negative; 0 for what is not finite."""
    return max(0.0, _known(value) or 0.0)


def _share(value: float) -> float:
    """A rounded number within 0..1; 0 for what is not finite."""
    return min(1.0, _amount(value))


def _percentiles(values: Percentiles) -> Payload:
    return {"p50": _known(values.p50), "p95": _known(values.p95)}
