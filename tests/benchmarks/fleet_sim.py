"""Simulates a fleet against one real mosquitto on this machine, and measures what the fleet costs its broker.

    python -m tests.benchmarks.fleet_sim --devices 1000 --seconds 60

Every device is the daemon's own MQTT side (`edge.mqtt.publisher`: connection, last will, retained messages, backoff)
with the daemon's own messages; only the faces are drawn by lot, from a seed. In turn: all devices connect at once, as
after a power cut; a while of daily work, with one subscriber to everything; `emotion-edge status`; the broker is
killed, and started again.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import logging
import multiprocessing
import os
import random
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from edge.bundle import bundle as bundles
from edge.errors import EdgeError, UnavailableError
from edge.fleet.reader import read
from edge.messages import home_assistant
from edge.messages import payloads as messages
from edge.messages.payloads import Health, Info, Percentiles, WallClock
from edge.messages.topics import DISCOVERY, Namespace
from edge.mqtt.address import BrokerAddress
from edge.mqtt.inbox import Inbox
from edge.mqtt.publisher import Publisher
from edge.mqtt.subscriber import Received, Subscriber
from edge.settings import MqttSettings, load
from edge.values import Change, Shown
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.sharedctypes import SynchronizedArray
    from multiprocessing.synchronize import Barrier

ABSENT_S, PRESENT_S = 90.0, 30.0
"""Mean time without a face and with one, exponential: somebody is there for a quarter of the time."""

DWELL_S = 4.0
"""Mean time between two changes of expression of a face, exponential, beyond the half second of the daemon's own
dwell time. The demo, which was made to show many, has one every 2 to 3 s."""

DWELL_MIN_S = 0.5

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
"""How often each expression is the next; made up, with the order of FER+."""

SETTLE_S = 5.0
"""Between the last connection and the first measurement."""

START_MAX_S = 300.0
"""Until all processes are ready to connect: only a guard."""

PROCESSES = os.cpu_count() or 1
"""A device costs more here than at its broker: two cores were too few for 3,000."""

FDS_A_DEVICE = 5
"""A connection, both ends of a wake-up, and some to spare."""

STACK_BYTES = 256 * 1024
"""Of the thread that each device has."""

PUBLISHED_BYTES, NETWORK_BYTES = "$SYS/broker/publish/bytes/received", "$SYS/broker/bytes/received"
"""What mosquitto counts itself (mosquitto(8), broker status): bytes of payload, and bytes with all of MQTT. It also
counts messages, but of MQTT 5 clients not all."""


class Broker:
    """One mosquitto on loopback, without a log."""

    def __init__(self, folder: Path, clients: MqttSettings, *, tls: bool) -> None:
        """Start it.

        Args:
            folder: for its files.
            clients: of the devices; `settings` are the same with its own address.
            tls: whether it takes encrypted connections alone.
        """
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            sys.exit("fleet_sim: no mosquitto here: apt install mosquitto")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "sys_interval 1", "log_type none"]
        if tls:
            certificate, key = make_certificate(folder)
            lines += [f"certfile {certificate}", f"keyfile {key}"]
            self.settings = replace(clients, url=f"mqtts://localhost:{self.port}", ca_file=str(certificate))
        else:
            self.settings = replace(clients, url=f"mqtt://localhost:{self.port}")
        self.client_config = folder / "emotion-edge.toml"
        self.client_config.write_text(f"[mqtt]\nurl = '{self.settings.url}'\nca_file = '{self.settings.ca_file}'\n")
        if os.geteuid() == 0:  # otherwise it would become a user that may not read the folder
            lines.append("user root")
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, ""]))
        self._command = [program, "-c", str(config)]
        self.start()

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress.of(self.settings)

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.usage = psutil.Process(self._process.pid)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                sys.exit(f"fleet_sim: {' '.join(self._command)} ended with {self._process.returncode}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing saved, as in a power cut."""
        self._process.kill()
        self._process.wait()

    @property
    def cpu_s(self) -> float:
        times = self.usage.cpu_times()
        return times.user + times.system

    @property
    def rss_mb(self) -> float:
        return self.usage.memory_info().rss / 1e6


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key: ECDSA on P-256, the cheapest usual kind."""
    certificate, key = folder / "broker.crt", folder / "broker.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


# One device.


class Faces:
    """A face comes, changes its expression, and leaves, all at random times."""

    def __init__(self, lot: random.Random, now: float) -> None:
        self.shown: Shown | None = None
        self._lot = lot
        self._track = 0
        self._leaves_at = 0.0
        present = lot.random() < PRESENT_S / (ABSENT_S + PRESENT_S)
        self.next_at = now + (0.0 if present else lot.expovariate(1 / ABSENT_S))

    def step(self, now: float) -> Change:
        """What happens at `next_at`, which is now."""
        before = self.shown
        if before is not None and now >= self._leaves_at:
            self.shown = None
            self.next_at = now + self._lot.expovariate(1 / ABSENT_S)
            return Change(before.track_id, None, before.expression, before.confidence, now, now - before.since)
        if before is None:
            self._track += 1
            self._leaves_at = now + self._lot.expovariate(1 / PRESENT_S)
        others = {label: weight for label, weight in WEIGHTS.items() if before is None or label != before.expression}
        expression = self._lot.choices(list(others), list(others.values()))[0]
        shares = {label: self._lot.random() for label in WEIGHTS if label != "uncertain"}
        probabilities = {label: share / sum(shares.values()) for label, share in shares.items()}
        self.shown = Shown(self._track, expression, max(probabilities.values()), now, probabilities, 200.0)
        self.next_at = min(self._leaves_at, now + DWELL_MIN_S + self._lot.expovariate(1 / DWELL_S))
        previous, lasted = (None, 0.0) if before is None else (before.expression, now - before.since)
        return Change(self._track, expression, previous, self.shown.confidence, now, lasted)


class Device:
    """The daemon without camera and networks: it publishes what and when the daemon would."""

    def __init__(self, settings: MqttSettings, name: str, info: Info, lot: random.Random) -> None:
        self.publisher = Publisher(settings, name, Inbox(time.monotonic))
        self._settings = settings
        self._info = info
        self._model = info.model_id or ""
        self._lot = lot
        self._run = secrets.token_hex(4)
        self._seq = 0
        self._started = time.monotonic()
        self._clock = WallClock(time.time() - self._started, synchronised=True)
        self._faces = Faces(lot, self._started)
        self._state_at = float("inf")
        self._health_at = self._started + lot.uniform(0.0, settings.health_interval_s)

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
        """Do what is due; times are monotonic, in s."""
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
        lot = self._lot
        return Health(
            fps=lot.gauss(14.9, 0.1),
            target_fps=15.0,
            frame_age_ms=Percentiles(lot.gauss(60, 5), lot.gauss(90, 5)),
            latency_ms=Percentiles(lot.gauss(40, 4), lot.gauss(60, 5)),
            cpu_temperature_c=lot.gauss(60, 5),
            throttled=False,
            under_voltage=False,
            rss_mb=lot.gauss(95, 2),
            dropped=lot.randrange(10),
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
    """Be some devices, in a process of their own, until it is ended.

    Args:
        settings: of the broker.
        names: of the devices.
        info: what they say of themselves, but for the name.
        seed: the same gives the same faces.
        since: by device, when it was connected, s, monotonic; 0 while it is not.
        start: passed by all processes at once.
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
            elif since[i] <= publisher._worker.reconnect._down_since:  # also where it was back before this looked again
                since[i] = now
        time.sleep(0.05)


# The fleet, seen from outside.


class Fleet:
    """Processes with devices in them."""

    def __init__(self, settings: MqttSettings, devices: int, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        processes = min(PROCESSES, devices)
        info = device_info()
        self._start = context.Barrier(processes + 1)
        self._parts: list[tuple[Any, SynchronizedArray[float]]] = []
        for i in range(processes):
            names = [f"pi-{number:05}" for number in range(i, devices, processes)]
            since = context.Array("d", len(names))
            process = context.Process(
                target=simulate, args=(settings, names, info, seed, since, self._start), daemon=True
            )
            self._parts.append((process, since))
        self.devices = devices

    def start(self) -> float:
        """Let all devices connect at once; when that was, s, monotonic."""
        for process, _ in self._parts:
            process.start()
        self._start.wait(START_MAX_S)
        return time.monotonic()

    def connected_since(self) -> list[float]:
        """When each device that is connected was, s, monotonic, in this order."""
        for process, _ in self._parts:
            if process.exitcode is not None:
                sys.exit("fleet_sim: a process with simulated devices died; see above")
        return sorted(at for _, since in self._parts for at in since[:] if at)

    def stop(self) -> None:
        for process, _ in self._parts:
            process.terminate()
            process.join()


def device_info() -> dict[str, Any]:
    """What a real device with the default bundle says of itself, but for its name."""
    from edge.device.versions import library_versions

    manifest = json.loads((FUSED_BUNDLE / bundles.MANIFEST).read_text())
    return {
        "versions": library_versions(),
        "model_id": manifest["id"],
        "model_name": manifest["id"],
        "metrics": manifest["provenance"]["metrics"],
        "camera": "picamera2:0",
        "labels": manifest["labels"],
    }


@dataclass(frozen=True, slots=True)
class Moment:
    """All counters at one time."""

    at: float
    """s, monotonic."""
    cpu_s: float
    """Of the broker."""
    received: int
    """Messages, by the subscriber to everything."""
    received_bytes: int
    """Their payloads."""
    published_bytes: int
    """Payloads that the broker has taken."""
    network_bytes: int
    """Everything that the broker has taken, MQTT's own part included."""


class Everything(threading.Thread):
    """The one subscriber to everything: counts messages until it is told to end."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(daemon=True)
        self.moments: list[Moment] = []
        """A new one whenever the broker tells its counters, which takes their place among the messages."""
        self.ended = threading.Event()
        self._broker = broker
        self._received = self._received_bytes = self._network_bytes = 0
        self._subscriber = Subscriber(broker.address)
        self._subscriber.subscribe([PUBLISHED_BYTES, NETWORK_BYTES, "emotion/#"])

    def run(self) -> None:
        # Without a broker there is nothing to count: who waits for the next moment sees that this has ended.
        with self._subscriber, contextlib.suppress(UnavailableError):
            while not self.ended.is_set():
                for message in self._subscriber.receive(0.2):
                    self._count(message)

    def _count(self, message: Received) -> None:
        if message.topic == NETWORK_BYTES:
            self._network_bytes = int(message.payload)
        elif message.topic == PUBLISHED_BYTES:
            counters = self._received, self._received_bytes, int(message.payload), self._network_bytes
            self.moments.append(Moment(time.monotonic(), self._broker.cpu_s, *counters))
        else:
            self._received += 1
            self._received_bytes += len(message.payload)


class Simulation:
    """The course of events; each step adds its figures."""

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
        self._sleep(self._args.seconds, "measuring daily work")
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
        heard, _ = read(self._broker.address, "emotion", [], wait_s=10.0)
        retained = [payload for payloads in heard.values() for payload in payloads.values()]
        announced = self._announced(list(heard))
        self._add(
            retained=len(retained) + len(announced),
            retained_kb_per_device=sum(map(len, retained)) / len(heard) / 1000,
            announced_kb_per_device=sum(map(len, announced)) / len(heard) / 1000,
        )

    def _announced(self, devices: list[str]) -> list[bytes]:
        """What the broker retains for Home Assistant."""
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
        # A device may have been quicker than this process to see that the broker answers.
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
        """The next one."""
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
    """Redraw one line, where somebody can see it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def table(figures: dict[str, float]) -> Iterator[str]:
    """Lines for a person."""
    f = figures
    rows = {
        "devices": f"{f['devices']:,.0f}",
        "all connect at once": f"within {f['connect_s']:.1f} s, {f['connects_per_s']:.0f}/s",
        "  broker CPU for each": f"{f['connect_cpu_ms']:.2f} ms",
        "messages in, and as many out to one subscriber": f"{f['messages_per_s']:.0f}/s",
        "  that arrived there": f"{f['delivered_percent']:.1f} %",
        "  payload": f"{f['payload_kb_per_s']:.0f} kB/s",
        "  payload and MQTT, into the broker": f"{f['network_kb_per_s']:.0f} kB/s",
        "  broker CPU": f"{f['broker_cpu_percent']:.1f} % of a core",
        "  broker CPU for each, in and out": f"{f['broker_cpu_us_per_message']:.0f} us",
        "broker memory": f"{f['broker_mb']:.1f} MB",
        "  for each device and what is retained of it": f"{f['broker_kb_per_device']:.1f} kB",
        "retained messages": f"{f['retained']:,.0f}",
        "  payload for each device": f"{f['retained_kb_per_device']:.2f} kB",
        "  and for Home Assistant": f"{f['announced_kb_per_device']:.2f} kB",
        "emotion-edge status": f"{f['status_s']:.1f} s, {f['status_online']:,.0f} online",
        "  broker CPU of that": f"{f['status_broker_cpu_s']:.2f} s",
        f"broker killed, and started again after {f['outage_s']:g} s": f"half are back after {f['half_again_s']:.1f} s",
        "  all are back": f"after {f['all_again_s']:.1f} s",
        "  in the busiest second": f"{f['busiest_second_connects']:.0f} connects",
        "  broker CPU for each of them": f"{f['reconnect_cpu_ms']:.2f} ms",
    }
    width = max(map(len, rows))
    return (f"{name:<{width}}  {value}" for name, value in rows.items())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet_sim", description="Measure what a simulated fleet costs its broker."
    )
    parser.add_argument("--devices", type=int, default=1000, metavar="N")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of daily work (default: 60)")
    parser.add_argument("--outage", type=float, default=20.0, metavar="S", help="without a broker (default: 20)")
    parser.add_argument("--tls", action="store_true", help="encrypt all connections")
    parser.add_argument(
        "--config", metavar="FILE", help="settings of the devices, of which [mqtt] counts, but for its url"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the faces (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as one object")
    args = parser.parse_args()
    if args.devices < 1 or args.seconds < 2 or args.outage < 0:
        parser.error("--devices must be at least 1, --seconds at least 2, --outage at least 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # with all that was started
    raise_limit(args.devices * FDS_A_DEVICE // PROCESSES + 1000, parser.error)
    try:
        settings = load(Path(args.config)).mqtt if args.config else MqttSettings()
    except EdgeError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), settings, tls=args.tls)
        try:
            simulation = Simulation(args, broker)
            simulation.run()
        finally:
            broker.kill()
    print(json.dumps(simulation.figures) if args.json else "\n".join(table(simulation.figures)))
    return int(simulation.figures["status_online"] != args.devices)


def raise_limit(files: int, error: Callable[[str], Any]) -> None:
    """Allow this process and its children that many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        error(f"so many devices need {files} open files, and {hard} are allowed: raise `ulimit -Hn`")
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


if __name__ == "__main__":
    sys.exit(main())
