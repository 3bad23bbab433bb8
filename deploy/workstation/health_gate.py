"""Checks a roll-out by what the devices themselves report over MQTT, and prints a JSON object for each.

The playbooks run it on the workstation, after the devices were told to load another model bundle:

    emotion-edge status --json > before.json        # before the switch
    python deploy/workstation/health_gate.py --before before.json --expect ferplus-fused-5431e2e7 livingroom kitchen

A device passes when its `info` names the bundle and no problem, and a `health` measured with it reports at least 0.8 of
the previous frames per second. Exit status 0 means that every device has a verdict, whatever it is.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli import INTERRUPTED, Parser, add_settings_arguments, load_settings
from edge.errors import DataError, EdgeError, NoInputError, UnavailableError, UsageError
from edge.fleet.reader import status_topic
from edge.fleet.status import STATUS_TOPICS, DeviceStatus, device_status
from edge.messages.topics import AVAILABILITY, HEALTH, INFO, Namespace
from edge.messages.untrusted import read_object
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edge.messages.topics import Topic

FPS_SHARE = 0.8
"""Share of the previous frames per second that a device must reach; the trial on the device demands the same."""

TIMEOUT_S = 60.0
"""Time to wait for a verdict: health comes a few seconds after a reload, and again every 30 s."""

RETRY_S = 1.0
"""Pause between attempts to reconnect to a broker that went away."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a device reported before the switch; None: it did not report it."""

    model: str | None = None
    health_model: str | None = None
    """The bundle with which `fps` was measured."""
    problem: str | None = None
    fps: float | None = None
    target_fps: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one device."""

    device: str
    ok: bool
    reason: str
    """One sentence for a person."""
    fps: float | None
    """Frames per second with the expected bundle; None: not reported."""
    fps_before: float | None


class HealthGate:
    """Collects what one device reports until there is a verdict."""

    def __init__(self, device: str, before: Before, expected: str) -> None:
        """Start without messages; `expected` is the id of the bundle that the device must run."""
        self.device = device
        self._before = before
        self._expected = expected
        self._payloads: dict[Topic, bytes] = {}

    def receive(self, topic: Topic, payload: bytes, *, retained: bool) -> Verdict | None:
        """Process a message.

        Args:
            topic: one of `STATUS_TOPICS`.
            payload: any content.
            retained: whether it is retained, and so may be older than the switch.

        Returns:
            The verdict; None: not yet clear.
        """
        stale = retained and not self._ran_it and self._before.health_model == self._expected
        if not (topic is HEALTH and stale):  # it ran that bundle before the previous one
            self._payloads[topic] = payload
        now = device_status(self.device, self._payloads)
        if reason := self._reason_to_fail(now, topic, retained=retained):
            return self._verdict(reason, ok=False)
        if reason := self._reason_to_pass(now):
            return self._verdict(reason, ok=True)
        return None

    def time_out(self, waited_s: float) -> Verdict:
        """The verdict after the time-out, which names what is missing."""
        now = device_status(self.device, self._payloads)
        if not now.known:
            reason = f"it reported nothing within {waited_s:g} s: check its name and its connection to the broker"
        elif now.online is not True:
            reason = "it is offline" if now.online is False else "it doesn't report whether it is online"
        elif now.model != self._expected:
            reason = f"it runs {now.model or 'an unknown model'}, not {self._expected}, after {waited_s:g} s"
        elif now.problem:
            reason = f"it reports: {now.problem}"
        elif now.health_model != self._expected:
            reason = f"it runs {self._expected}, but published no health with it within {waited_s:g} s"
        else:
            reason = self._too_slow(now.fps, now.target_fps)
        return self._verdict(reason, ok=False)

    def _reason_to_fail(self, now: DeviceStatus, topic: Topic, *, retained: bool) -> str:
        """Why the device fails after this message; empty: it may still pass."""
        if topic is AVAILABILITY and now.online is False and not retained:
            return "it went offline"
        # A retained problem that was there before says nothing about the switch.
        fresh = topic is INFO and not (retained and now.problem == self._before.problem)
        unchanged = self._ran_it and now.model == self._expected
        return f"it reports: {now.problem}" if now.problem and fresh and not unchanged else ""

    def _reason_to_pass(self, now: DeviceStatus) -> str:
        """Why the device passes; empty: it doesn't yet."""
        if not now.online or now.model != self._expected:
            return ""
        if self._ran_it:
            return f"it ran {self._expected} before"
        if now.problem or now.health_model != self._expected:
            return ""
        if now.paused:
            return f"it runs {self._expected}, and is paused"
        if not self._fast_enough(now.fps, now.target_fps):
            return ""
        before = "" if self._before.fps is None else f", {self._before.fps:.3g} before"
        return f"it runs {self._expected} at {now.fps:.3g} frames/s{before}"

    @property
    def _ran_it(self) -> bool:
        return self._before.model == self._expected

    def _min_fps(self, target_fps: float | None) -> float | None:
        """The frames per second that the device must reach; None: the previous rate is unknown.

        A hot device lowers its target rate, which is not the model's fault.
        """
        before, target_before = self._before.fps, self._before.target_fps
        if before is None:
            return None
        throttling = min(1.0, target_fps / target_before) if target_fps is not None and target_before else 1.0
        return FPS_SHARE * before * throttling

    def _fast_enough(self, fps: float | None, target_fps: float | None) -> bool:
        min_fps = self._min_fps(target_fps)
        return fps is not None and (fps > 0 if min_fps is None else fps >= min_fps)

    def _too_slow(self, fps: float | None, target_fps: float | None) -> str:
        min_fps = self._min_fps(target_fps)
        reached = "an unknown number of" if fps is None else f"{fps:.3g}"
        if min_fps is None:
            return f"it reaches {reached} frames/s with {self._expected}"
        before = f"{self._before.fps:.3g} before, so at least {min_fps:.3g} was expected"
        return f"it reaches {reached} frames/s with {self._expected}; it had {before}"

    def _verdict(self, reason: str, *, ok: bool) -> Verdict:
        now = device_status(self.device, self._payloads)
        fps = now.fps if now.health_model == self._expected else None
        return Verdict(self.device, ok, " ".join(reason.split()), fps, self._before.fps)


def read_before(path: Path) -> dict[str, Before]:
    """Read the output of `emotion-edge status --json`, by device.

    Raises:
        NoInputError: the file cannot be read.
        DataError: the file has other content.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise NoInputError(f"{path} cannot be read ({reason}); write it with `emotion-edge status --json`") from None
    found = {}
    for number, line in enumerate(lines, 1):
        values = read_object(line.encode())
        device = None if values is None else values.text("device")
        if values is None or device is None or not values.raw.keys() >= {each.name for each in fields(Before)}:
            raise DataError(
                f"{path}, line {number}: not what `emotion-edge status --json` prints; write the file again"
            )
        found[device] = Before(
            values.text("model"),
            values.text("health_model"),
            values.text("problem"),
            values.number("fps"),
            values.number("target_fps"),
        )
    return found


def verdicts(address: BrokerAddress, base: str, gates: Iterable[HealthGate], timeout_s: float) -> Iterator[Verdict]:
    """Subscribe to the devices until each has a verdict, and yield every verdict as soon as it is clear.

    Reconnects if the connection is lost.

    Args:
        address: the broker.
        base: as in mqtt.base.
        gates: one for each device.
        timeout_s: time, s, after which the verdicts of the remaining devices name what is missing.

    Raises:
        UnavailableError: the broker doesn't answer at the start, or at the end.
        PermissionRefusedError: the broker refuses the user or the subscription.
    """
    undecided = {gate.device: gate for gate in gates}
    deadline = time.monotonic() + timeout_s
    subscriber = Subscriber(address)
    while True:
        try:
            yield from _listen(subscriber, base, undecided, deadline)
            break
        except UnavailableError:
            subscriber = _reconnect(address, deadline)
    for gate in undecided.values():
        yield gate.time_out(timeout_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verdicts; print one line and return a status of sysexits.h if that is impossible."""
    try:
        args = _arguments(argv)
        mqtt = load_settings(args).mqtt
        address = BrokerAddress.of(mqtt)
        before = read_before(args.before)
        devices = dict.fromkeys(map(check_device, args.device))
        gates = [HealthGate(device, before.get(device, Before()), args.expect) for device in devices]
        for verdict in verdicts(address, check_base(mqtt.base), gates, args.timeout):
            print(json.dumps(asdict(verdict)), flush=True)
    except EdgeError as error:
        print(f"health_gate.py: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _arguments(argv: Sequence[str] | None) -> Any:
    parser = Parser(description="Check a roll-out by what the devices themselves report over MQTT.")
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument(
        "--before",
        required=True,
        type=Path,
        metavar="FILE",
        help="output of `emotion-edge status --json` from before the switch",
    )
    parser.add_argument("--expect", required=True, metavar="ID", help="the model bundle that the devices must run")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help=f"seconds to wait (default: {TIMEOUT_S:g})"
    )
    parser.add_argument("device", nargs="+", metavar="DEVICE", help="name of a device")
    args = parser.parse_args(argv)
    if not args.timeout > 0:
        raise UsageError(f"--timeout is {args.timeout:g}, but must be a number of seconds above 0")
    return args


def _listen(subscriber: Subscriber, base: str, undecided: dict[str, HealthGate], deadline: float) -> Iterator[Verdict]:
    """Verdicts from one connection, until every device has one or the deadline (s, monotonic) passes."""
    with subscriber:
        subscriber.subscribe([Namespace(base, device).path(topic) for device in undecided for topic in STATUS_TOPICS])
        while undecided and time.monotonic() < deadline:
            for message in subscriber.receive(0.2):
                found = status_topic(message.topic, base)
                if found is None or found[0] not in undecided:
                    continue
                device, topic = found
                verdict = undecided[device].receive(topic, message.payload, retained=message.retained)
                if verdict is not None:
                    del undecided[device]
                    yield verdict


def _reconnect(address: BrokerAddress, deadline: float) -> Subscriber:
    while True:
        time.sleep(RETRY_S)
        try:
            return Subscriber(address)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise


if __name__ == "__main__":
    sys.exit(main())
