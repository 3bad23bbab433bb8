"""`emotion-edge status`: show all devices in one table, from what their broker retains."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edge.cli import add_settings_arguments, load_settings
from edge.errors import UsageError
from edge.terminal import as_shown

if TYPE_CHECKING:
    import argparse

    from edge.fleet.status import DeviceStatus

log = logging.getLogger(__name__)

WAIT_S = 3.0
"""Default of --wait, s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge status --mqtt mqtt://homeassistant.local\n"
        "         emotion-edge status --json livingroom kitchen"
    )
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("device", nargs="*", metavar="DEVICE", help="name of a device (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line and device")
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="S",
        help=f"seconds of silence after which the broker is assumed to have sent everything (default: {WAIT_S:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if a named device has reported nothing."""
    from edge.fleet.reader import read
    from edge.fleet.status import device_status
    from edge.fleet.table import table
    from edge.mqtt.address import BrokerAddress, check_base, check_device

    if not args.wait > 0:
        raise UsageError(f"--wait must be above 0 s, not {args.wait:g}")
    mqtt = load_settings(args).mqtt
    address = BrokerAddress.of(mqtt)
    found, complete = read(
        address, check_base(mqtt.base), [check_device(name) for name in args.device], wait_s=args.wait
    )
    rows = [device_status(device, payloads) for device, payloads in sorted(found.items())]
    if args.json:
        lines = [json.dumps(asdict(row)) for row in rows]
    else:
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        colour = terminal and not os.environ.get("NO_COLOR")
        lines = table(list(map(_as_shown, rows)), now=datetime.now().astimezone(), colour=colour) if rows else []
    for line in lines:
        print(line)
    if not complete:
        log.warning("%s did not send everything within %g s: try again with a longer --wait", address, args.wait)
    elif not rows:
        log.warning("%s retains nothing of a device under %s/ that %s may read", address, mqtt.base, address.user)
    return int(any(not row.known for row in rows))


def _as_shown(row: DeviceStatus) -> DeviceStatus:
    """A row whose texts have the width that they will have on this terminal."""
    texts: dict[str, Any] = {key: as_shown(text) for key, text in asdict(row).items() if isinstance(text, str)}
    return replace(row, **texts)
