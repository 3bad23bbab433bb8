"""The course of a simulation: every step measures something."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from edge.fleet.reader import read
from edge.messages.topics import DISCOVERY, Namespace
from edge.mqtt.subscriber import Subscriber
from tests.benchmarks.fleet_sim.counter import Everything, Moment
from tests.benchmarks.fleet_sim.fleet import Fleet

if TYPE_CHECKING:
    import argparse

    from tests.benchmarks.fleet_sim.broker import Broker

SETTLE_S = 5.0
"""Time between the last connection and the first measurement."""


class Simulation:
    """The steps of a simulation; each adds its figures."""

    def __init__(self, args: argparse.Namespace, broker: Broker) -> None:
        self.figures: dict[str, float] = {"devices": args.devices}
        self._args = args
        self._broker = broker
        self._fleet = Fleet(broker.settings, args.devices, args.seed)
        self._empty_mb = broker.rss_mb

    def run(self) -> None:
        try:
            self._connect()
            self._work()
            self._status()
            self._reconnect()
        finally:
            self._fleet.stop()
            progress("")

    def _connect(self) -> None:
        progress("starting")
        started, cpu_s = self._fleet.start(), self._broker.cpu_s
        seconds = self._wait_for_all("connecting")[-1] - started
        devices = self._fleet.devices
        self._add(
            connect_s=seconds,
            connects_per_s=devices / seconds,
            connect_cpu_ms=1000 * (self._broker.cpu_s - cpu_s) / devices,
        )

    def _work(self) -> None:
        everything = Everything(self._broker)
        everything.start()
        self._sleep(SETTLE_S, "settling")
        first = self._moment(everything)
        self._sleep(self._args.seconds, "measuring")
        last = self._moment(everything)
        everything.ended.set()
        everything.join()
        seconds, cpu_s = last.at - first.at, last.cpu_s - first.cpu_s
        messages, payload = last.received - first.received, last.published_bytes - first.published_bytes
        self._add(
            messages_per_s=messages / seconds,
            payload_kb_per_s=payload / seconds / 1000,
            network_kb_per_s=(last.network_bytes - first.network_bytes) / seconds / 1000,
            delivered_percent=100 * (last.received_bytes - first.received_bytes) / payload,
            broker_cpu_percent=100 * cpu_s / seconds,
            broker_cpu_us_per_message=1e6 * cpu_s / messages,
            broker_mb=self._broker.rss_mb,
            broker_kb_per_device=1000 * (self._broker.rss_mb - self._empty_mb) / self._fleet.devices,
        )

    def _status(self) -> None:
        progress("emotion-edge status")
        command = [sys.executable, "-m", "edge", "status", "--json", "--config", str(self._broker.client_config)]
        started, cpu_s = time.monotonic(), self._broker.cpu_s
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self._add(status_s=time.monotonic() - started, status_broker_cpu_s=self._broker.cpu_s - cpu_s)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self._add(status_online=sum(bool(row["online"] and row["model"]) for row in rows))
        found, _ = read(self._broker.address, "emotion", [], wait_s=10.0)
        retained = [payload for payloads in found.values() for payload in payloads.values()]
        announced = self._announced(list(found))
        self._add(
            retained=len(retained) + len(announced),
            retained_kb_per_device=sum(map(len, retained)) / len(found) / 1000,
            announced_kb_per_device=sum(map(len, announced)) / len(found) / 1000,
        )

    def _announced(self, devices: list[str]) -> list[bytes]:
        """Announcements that the broker retains for Home Assistant."""
        prefix = self._broker.settings.discovery
        if not prefix:
            return []
        payloads: list[bytes] = []
        with Subscriber(self._broker.address) as subscriber:
            subscriber.subscribe([Namespace("emotion", device, prefix).path(DISCOVERY) for device in devices])
            while not subscriber.answered or len(payloads) < len(devices):
                payloads += [message.payload for message in subscriber.receive(0.1)]
        return payloads

    def _reconnect(self) -> None:
        self._broker.kill()
        killed = time.monotonic()
        self._sleep(self._args.outage, "the broker is away")
        self._broker.start()
        started = time.monotonic()
        # A device may have noticed sooner than this process that the broker answers.
        since = [max(0.0, at - started) for at in self._wait_for_all("reconnecting", after=killed)]
        busiest = max(sum(at <= other < at + 1 for other in since) for at in since)
        self._add(
            outage_s=self._args.outage,
            half_again_s=since[len(since) // 2],
            all_again_s=since[-1],
            busiest_second_connects=busiest,
            reconnect_cpu_ms=1000 * self._broker.cpu_s / len(since),
        )

    def _wait_for_all(self, what: str, after: float = 0.0) -> list[float]:
        while len(since := [at for at in self._fleet.connected_since() if at >= after]) < self._fleet.devices:
            progress(f"{what}: {len(since)} of {self._fleet.devices}")
            time.sleep(0.1)
        return since

    def _moment(self, everything: Everything) -> Moment:
        """The next moment."""
        known = len(everything.moments)
        while len(everything.moments) == known:
            if not everything.is_alive():
                sys.exit("fleet_sim: the broker has closed the connection of the subscriber to everything")
            time.sleep(0.05)
        return everything.moments[known]

    def _sleep(self, seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            progress(f"{what}: {left:.0f} s left")
            time.sleep(min(left, 1.0))

    def _add(self, **figures: float) -> None:
        self.figures |= figures


def progress(line: str) -> None:
    """Redraw the line of progress on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
