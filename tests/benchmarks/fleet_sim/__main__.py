"""Simulates a fleet against one real mosquitto on this machine, and measures what the fleet costs its broker.

    python -m tests.benchmarks.fleet_sim --devices 1000 --seconds 60

Every device has the daemon's own publisher and messages; only the faces are random, from a seed. The course: all
devices connect at once, as after a power cut; they work for a while, with one subscriber to everything;
`emotion-edge status` runs; the broker is killed and started again.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError
from edge.settings import MqttSettings, load
from tests.benchmarks.fleet_sim.broker import Broker
from tests.benchmarks.fleet_sim.fleet import PROCESSES
from tests.benchmarks.fleet_sim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FDS_A_DEVICE = 5
"""File descriptors of a device: its connection, both ends of a socket pair, and some to spare."""


def table(figures: dict[str, float]) -> Iterator[str]:
    """The figures as lines for a person."""
    f = figures
    rows = {
        "devices": f"{f['devices']:,.0f}",
        "all connect at once": f"within {f['connect_s']:.1f} s, {f['connects_per_s']:.0f}/s",
        "  broker CPU for each": f"{f['connect_cpu_ms']:.2f} ms",
        "messages in, and out to one subscriber": f"{f['messages_per_s']:.0f}/s",
        "  delivered": f"{f['delivered_percent']:.1f} %",
        "  payload": f"{f['payload_kb_per_s']:.0f} kB/s",
        "  payload and overhead, into the broker": f"{f['network_kb_per_s']:.0f} kB/s",
        "  broker CPU": f"{f['broker_cpu_percent']:.1f} % of a core",
        "  broker CPU for each, in and out": f"{f['broker_cpu_us_per_message']:.0f} us",
        "broker memory": f"{f['broker_mb']:.1f} MB",
        "  for each device and its retained messages": f"{f['broker_kb_per_device']:.1f} kB",
        "retained messages": f"{f['retained']:,.0f}",
        "  payload for each device": f"{f['retained_kb_per_device']:.2f} kB",
        "  and for Home Assistant": f"{f['announced_kb_per_device']:.2f} kB",
        "emotion-edge status": f"{f['status_s']:.1f} s, {f['status_online']:,.0f} online",
        "  broker CPU for it": f"{f['status_broker_cpu_s']:.2f} s",
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
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="duration of the work (default: 60)")
    parser.add_argument("--outage", type=float, default=20.0, metavar="S", help="duration of the outage (default: 20)")
    parser.add_argument("--tls", action="store_true", help="encrypt all connections")
    parser.add_argument(
        "--config", metavar="FILE", help="settings of the devices; only [mqtt] is used, without its url"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the faces (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    args = parser.parse_args()
    if args.devices < 1 or args.seconds < 2 or args.outage < 0:
        parser.error("--devices must be at least 1, --seconds at least 2, --outage at least 0")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that everything that was started is stopped
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
    """Allow this process and its children to open that many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        error(f"this many devices need {files} open files, but the limit is {hard}: raise `ulimit -Hn`")
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


if __name__ == "__main__":
    sys.exit(main())
