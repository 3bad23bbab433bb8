"""Payloads of MQTT messages: values in, JSON out, as `schemas/*.json` beside this module describe it.

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

    from edge.values import Change, Place, Shown

Payload: TypeAlias = dict[str, Any]
"""A message as JSON types, before it is encoded."""

SCHEMA = 1
"""Version of the MQTT contract; every payload carries it."""

NONE = "none"
"""Expression if no face is in view."""

ONLINE = b"online"
OFFLINE = b"offline"
"""Payloads of `availability`: plain text, as Home Assistant expects it by default."""

BIG6_SET = "http://www.w3.org/TR/emotion-voc/xml#big6"
"""Category set of Ekman's six basic emotions: W3C, Vocabularies for EmotionML, section 2.1."""

BIG6 = frozenset({"anger", "disgust", "fear", "happiness", "sadness", "surprise"})
"""Labels that FER+ and big6 both have; neutral, contempt and uncertain have no name in big6."""

_DIGITS = 4
"""Decimals of every number: more than the precision of any of them."""

_DISTANCE_DIGITS = 2
"""Decimals of a distance in m."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """Turns monotonic times into dates."""

    offset_s: float
    """s, Unix time minus monotonic time."""

    synchronised: bool
    """Whether the system clock is set from a time server; a Raspberry Pi without network starts in the past."""

    def date(self, monotonic_s: float) -> str:
        """A monotonic time in seconds as a date in RFC 3339: UTC, with milliseconds, ends in Z."""
        date = datetime.fromtimestamp(monotonic_s + self.offset_s, UTC)
        return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median and 95th percentile of a duration in ms; None before the first measurement."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the daemon. Counters start with the program."""

    fps: float
    """Frames processed per second."""
    target_fps: float
    """Limit of the frame rate, frames/s: `camera.fps`, or less while the processor is hot."""
    frame_age_ms: Percentiles
    """Time from the capture of a frame to its result."""
    latency_ms: Percentiles
    """Time for the processing of a frame alone."""
    cpu_temperature_c: float | None
    throttled: bool | None
    under_voltage: bool | None
    """These three are None if the machine doesn't report them."""
    rss_mb: float
    """Resident memory in MB of 10^6 bytes."""
    dropped: int
    """Frames replaced by a newer one before they were processed."""
    queued: int
    """Events that wait for the broker."""
    lost_events: int
    """Events given up: too old, too many, or unconfirmed when a connection ended."""
    uptime_s: float
    mesh_backend: str
    model: str
    """Id of the bundle that was in use during the measurement."""
    dropped_commands: int = 0
    """Commands ignored: too many at once, or retained by the broker."""


@dataclass(frozen=True, slots=True)
class Info:
    """The software, model and camera of a device."""

    device: str
    versions: Mapping[str, str]
    """Versions by program or library: emotion_edge, python, runtime, numpy, opencv, ..."""
    model_id: str | None
    """None if no bundle is in use."""
    model_name: str | None
    metrics: Mapping[str, float]
    """Headline metrics of the model, as its bundle states them."""
    camera: str
    labels: Sequence[str]
    problem: str | None = None
    """One line on what is wrong, for instance why a bundle was refused; None if nothing is."""
    shadow: str | None = None
    """Id of the bundle that runs as the shadow; None if none does."""
    shadow_problem: str | None = None
    """One line on why the shadow that is set up doesn't run."""
    baseline: str | None = None
    """Date on which the neutral baseline in use was measured, RFC 3339, UTC; None if the model uses none."""


def event(change: Change, *, run: str, seq: int, clock: WallClock, model: str) -> Payload:
    """Payload for one change of one face.

    Args:
        change: the change.
        run: a text of its own for every start of the program; it makes `id` globally unique.
        seq: rises by one with each event of a run, so that subscribers notice gaps.
        clock: turns the time of the change into a date.
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
        "confidence": _probability(change.confidence),
        "duration_s": _at_least_0(change.duration_s),
        **_place(change.place),
        "model": model,
    }


def state(shown: Sequence[Shown], *, at: float, clock: WallClock, paused: bool = False) -> Payload:
    """Payload for the expressions shown now.

    Args:
        shown: the faces.
        at: the present time, s, monotonic.
        clock: turns times into dates.
        paused: the camera is closed, so it is unknown whether there is a face.
    """
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "paused": paused,
        "expression": _nearest(shown),
        "faces": [{**_face(face, clock), **_place(face.place)} for face in shown],
    }


def shadow_state(
    shadow: Sequence[Shown], in_use: Sequence[Shown], *, models: tuple[str, str], at: float, clock: WallClock
) -> Payload:
    """Payload for the expressions that a shadow would show, beside those shown.

    Args:
        shadow: the faces as the shadow reads them.
        in_use: the same faces as the bundle in use reads them.
        models: ids of shadow and bundle in use.
        at: time of the state that is published with it, s, monotonic.
        clock: turns times into dates.
    """
    expressions = {face.track_id: face.expression for face in in_use}
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "model": models[0],
        "expression": _nearest(shadow),
        "in_use": {"model": models[1], "expression": _nearest(in_use)},
        "faces": [{**_face(face, clock), "in_use": expressions.get(face.track_id, NONE)} for face in shadow],
    }


def health(values: Health, *, at: float, clock: WallClock) -> Payload:
    """Payload for the health of the daemon at the time `at`, s, monotonic."""
    return {
        "schema": SCHEMA,
        "time": clock.date(at),
        "fps": _at_least_0(values.fps),
        "target_fps": _at_least_0(values.target_fps),
        "frame_age_ms": _percentiles(values.frame_age_ms),
        "latency_ms": _percentiles(values.latency_ms),
        "cpu_temperature_c": _rounded(values.cpu_temperature_c),
        "throttled": values.throttled,
        "under_voltage": values.under_voltage,
        "rss_mb": _at_least_0(values.rss_mb),
        "dropped": values.dropped,
        "queued": values.queued,
        "lost_events": values.lost_events,
        "dropped_commands": values.dropped_commands,
        "uptime_s": _at_least_0(values.uptime_s),
        "mesh_backend": values.mesh_backend,
        "model": values.model,
    }


def info(values: Info) -> Payload:
    """Payload for the software, model and camera of a device."""
    metrics = {name: _rounded(value) for name, value in values.metrics.items()}
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
    """The expression in EmotionML's big6, under EmotionML's own keys; None if it has no name there."""
    return {"category_set": BIG6_SET, "category": expression} if expression in BIG6 else None


def encode(payload: Payload) -> bytes:
    """A payload as compact UTF-8 JSON; `?` replaces what UTF-8 cannot hold, such as the name of a file in Latin-1.

    Raises:
        ValueError: a number is not finite, which JSON can't express.
    """
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="replace")


def _face(face: Shown, clock: WallClock) -> Payload:
    return {
        "track": face.track_id,
        "expression": face.expression,
        "confidence": _probability(face.confidence),
        "since": clock.date(face.since),
        "probabilities": {label: _probability(value) for label, value in face.probabilities.items()},
    }


def _place(place: Place | None) -> Payload:
    if place is None:
        return {"position": None, "distance_m": None}
    distance_m = _rounded(place.distance_m)
    return {
        "position": {"x": _probability(place.x), "y": _probability(place.y)},
        "distance_m": None if distance_m is None else max(0.0, round(distance_m, _DISTANCE_DIGITS)),
    }


def _nearest(shown: Sequence[Shown]) -> str:
    """Expression of the largest face."""
    nearest = max(shown, key=lambda face: face.size, default=None)
    return NONE if nearest is None else nearest.expression


def _rounded(value: float | None) -> float | None:
    """A rounded number; None if it is unknown or not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def _at_least_0(value: float) -> float:
    """A rounded number, at least 0; 0 if it is not finite."""
    return max(0.0, _rounded(value) or 0.0)


def _probability(value: float) -> float:
    """A rounded number in 0..1; 0 if it is not finite."""
    return min(1.0, _at_least_0(value))


def _percentiles(values: Percentiles) -> Payload:
    return {"p50": _rounded(values.p50), "p95": _rounded(values.p95)}
