"""One simulated device: the daemon without camera and networks. Many of them share a process."""

from __future__ import annotations

import heapq
import logging
import random
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from edge.messages import home_assistant
from edge.messages import payloads as messages
from edge.messages.payloads import Health, Info, Percentiles, WallClock
from edge.mqtt.inbox import Inbox
from edge.mqtt.publisher import Publisher
from edge.values import Change, Place, Shown

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray
    from multiprocessing.synchronize import Barrier

    from edge.settings import MqttSettings

ABSENT_S, PRESENT_S = 90.0, 30.0
"""Mean times without a face and with one, s, exponential: somebody is there for a quarter of the time."""

DWELL_S = 4.0
"""Mean time between two changes of a face's expression, s, exponential, in addition to `DWELL_MIN_S`. The demo, which
is meant to show many, has one every 2 to 3 s."""

DWELL_MIN_S = 0.5
"""Minimum time between two changes, like the daemon's own dwell time."""

WEIGHTS = {
    "neutral": 50,
    "happiness": 20,
    "uncertain": 10,
    "surprise": 6,
    "sadness": 6,
    "anger": 5,
    "fear": 2,
    "disgust": 1,
}
"""Relative frequency of each expression: an assumption, in the order of FER+."""

START_MAX_S = 300.0
"""Time until all processes are ready to connect: only a guard against hanging."""

STACK_BYTES = 256 * 1024
"""Stack of a device's thread."""


class Faces:
    """A face comes, changes its expression, and leaves, all at random times."""

    def __init__(self, rng: random.Random, now: float) -> None:
        self.shown: Shown | None = None
        self._rng = rng
        self._track = 0
        self._leaves_at = 0.0
        present = rng.random() < PRESENT_S / (ABSENT_S + PRESENT_S)
        self.next_at = now + (0.0 if present else rng.expovariate(1 / ABSENT_S))

    def step(self, now: float) -> Change:
        """The change at `next_at`, which is now."""
        before = self.shown
        if before is not None and now >= self._leaves_at:
            self.shown = None
            self.next_at = now + self._rng.expovariate(1 / ABSENT_S)
            shown_s = now - before.since
            return Change(before.track_id, None, before.expression, before.confidence, now, shown_s, before.place)
        if before is None:
            self._track += 1
            self._leaves_at = now + self._rng.expovariate(1 / PRESENT_S)
        others = {label: weight for label, weight in WEIGHTS.items() if before is None or label != before.expression}
        expression = self._rng.choices(list(others), list(others.values()))[0]
        shares = {label: self._rng.random() for label in WEIGHTS if label != "uncertain"}
        probabilities = {label: share / sum(shares.values()) for label, share in shares.items()}
        place = Place(self._rng.random(), self._rng.random(), self._rng.uniform(0.5, 5.0))
        self.shown = Shown(self._track, expression, max(probabilities.values()), now, probabilities, 200.0, place)
        self.next_at = min(self._leaves_at, now + DWELL_MIN_S + self._rng.expovariate(1 / DWELL_S))
        previous, lasted = (None, 0.0) if before is None else (before.expression, now - before.since)
        return Change(self._track, expression, previous, self.shown.confidence, now, lasted, place)


class Device:
    """The daemon without camera and networks: it publishes the same messages at the same times."""

    def __init__(self, settings: MqttSettings, name: str, info: Info, rng: random.Random) -> None:
        self.publisher = Publisher(settings, name, Inbox(time.monotonic))
        self._settings = settings
        self._info = info
        self._model = info.model_id or ""
        self._rng = rng
        self._run = secrets.token_hex(4)
        self._seq = 0
        self._started = time.monotonic()
        self._clock = WallClock(time.time() - self._started, synchronised=True)
        self._faces = Faces(rng, self._started)
        self._state_at = float("inf")
        self._health_at = self._started + rng.uniform(0.0, settings.health_interval_s)

    def start(self) -> None:
        self.publisher.start()
        self.publisher.info(messages.info(self._info))
        settings = self._settings
        self.publisher.discovery(
            home_assistant.discovery(self._info.device, settings.base, self._info, settings.health_interval_s)
        )
        self._publish_state(time.monotonic())

    @property
    def due_at(self) -> float:
        return min(self._faces.next_at, self._state_at, self._health_at)

    def work(self, now: float) -> None:
        """Publish what is due at `now`, s, monotonic."""
        if now >= self._faces.next_at:
            self._seq += 1
            change = self._faces.step(now)
            self.publisher.event(
                messages.event(change, run=self._run, seq=self._seq, clock=self._clock, model=self._model), now
            )
            self._publish_state(now)
        elif now >= self._state_at:
            self._publish_state(now)
        if now >= self._health_at:
            self._health_at = now + self._settings.health_interval_s
            self.publisher.health(messages.health(self._health(now), at=now, clock=self._clock))
            self._publish_state(now)

    def _publish_state(self, now: float) -> None:
        shown = self._faces.shown
        self._state_at = float("inf") if shown is None else now + self._settings.state_interval_s
        self.publisher.state(messages.state([shown] if shown else [], at=now, clock=self._clock))

    def _health(self, now: float) -> Health:
        rng = self._rng
        return Health(
            fps=rng.gauss(14.9, 0.1),
            target_fps=15.0,
            frame_age_ms=Percentiles(rng.gauss(60, 5), rng.gauss(90, 5)),
            latency_ms=Percentiles(rng.gauss(40, 4), rng.gauss(60, 5)),
            cpu_temperature_c=rng.gauss(60, 5),
            throttled=False,
            under_voltage=False,
            rss_mb=rng.gauss(95, 2),
            dropped=rng.randrange(10),
            queued=self.publisher.queued,
            lost_events=self.publisher.lost,
            uptime_s=now - self._started,
            mesh_backend="litert",
            model=self._model,
        )


def simulate(
    settings: MqttSettings,
    names: list[str],
    info: dict[str, Any],
    seed: int,
    since: SynchronizedArray[float],
    start: Barrier,
) -> None:
    """Run devices in a process of their own, until it is terminated.

    Args:
        settings: MQTT settings.
        names: names of the devices.
        info: fields of their `Info`, without the name.
        seed: the same seed gives the same faces.
        since: by device, when it connected, s, monotonic; 0 while it isn't connected.
        start: barrier that lets all processes start at once.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.disable()
    threading.stack_size(STACK_BYTES)
    devices = [Device(settings, name, Info(device=name, **info), random.Random(f"{seed} {name}")) for name in names]
    start.wait(START_MAX_S)
    for device in devices:
        device.start()
    threading.Thread(target=_note_connections, args=(devices, since), daemon=True).start()
    due = [(device.due_at, i) for i, device in enumerate(devices)]
    heapq.heapify(due)
    while True:
        at, i = due[0]
        time.sleep(max(0.0, at - time.monotonic()))
        devices[i].work(time.monotonic())
        heapq.heapreplace(due, (devices[i].due_at, i))


def _note_connections(devices: list[Device], since: SynchronizedArray[float]) -> None:
    while True:
        now = time.monotonic()
        for i, device in enumerate(devices):
            publisher = device.publisher
            if not publisher.connected:
                since[i] = 0.0
            elif since[i] <= publisher._worker.reconnect._down_since:  # also if it was back before this looked again
                since[i] = now
        time.sleep(0.05)
