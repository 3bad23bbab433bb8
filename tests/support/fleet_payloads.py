"""Payloads of a device, made by the daemon's own code."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from edge.fleet.status import STATUS_TOPICS
from edge.messages import payloads as messages
from edge.messages.payloads import ONLINE, Health, Info, Percentiles, WallClock
from edge.messages.topics import Namespace
from edge.values import Shown

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from edge.messages.topics import Topic

NOW = datetime.now().astimezone()
"""Time to which all ages are relative."""

MODEL = "ferplus-fused-5431e2e7"


def info(
    device: str = "pi",
    model: str | None = MODEL,
    problem: str | None = None,
    shadow: str | None = None,
    shadow_problem: str | None = None,
) -> bytes:
    versions = {"emotion_edge": "0.5.0", "python": "3.13.5"}
    labels = ["neutral", "happiness"]
    values = Info(device, versions, model, None, {"accuracy": 0.84}, "demo", labels, problem, shadow, shadow_problem)
    return messages.encode(messages.info(values))


def health(
    model: str = MODEL,
    fps: float = 14.9,
    target_fps: float = 15.0,
    *,
    temperature_c: float | None = 58.4,
    throttled: bool | None = False,
    under_voltage: bool | None = False,
    age_s: float = 0.0,
) -> bytes:
    ages, latencies = Percentiles(41.0, 58.0), Percentiles(31.0, 38.0)
    values = Health(
        fps, target_fps, ages, latencies, temperature_c, throttled, under_voltage, 89.0, 0, 0, 0, 60.0, "litert", model
    )
    return messages.encode(messages.health(values, at=0.0, clock=clock(age_s)))


def state(expression: str | None = "happiness", *, paused: bool = False, age_s: float = 0.0) -> bytes:
    shown = [] if expression is None else [Shown(1, expression, 0.87, -3.0, {expression: 0.87}, 100.0)]
    return messages.encode(messages.state(shown, at=0.0, clock=clock(age_s), paused=paused))


def clock(age_s: float) -> WallClock:
    """A clock that was this much behind when the tests started."""
    return WallClock(NOW.timestamp() - age_s, synchronised=True)


def device_payloads(**replaced: bytes) -> dict[Topic, bytes]:
    """The retained payloads of a healthy device; `replaced` has others by the name of their topic."""
    payloads = {"availability": ONLINE, "info": info(), "health": health(), "state": state(), **replaced}
    return {topic: payloads[topic.name] for topic in STATUS_TOPICS}


def publish(client: Client, device: str, payloads: dict[Topic, bytes], base: str = "emotion") -> None:
    """Publish as the daemon does, and wait until the broker has everything."""
    names = Namespace(base, device)
    for topic, payload in payloads.items():
        client.publish(names.path(topic), payload, topic.qos, topic.retained)
    client.publish("test/flush", b"", 1).wait_for_publish(10)
