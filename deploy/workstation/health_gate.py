"""Judges a roll-out by what the devices themselves say over MQTT, and prints a JSON object for each.

For the playbooks, on the workstation, once the devices have been told to load another model bundle:

    emotion-edge status --json > before.json        # before that
    python deploy/workstation/health_gate.py --before before.json --expect ferplus-fused-5431e2e7 livingroom kitchen

A device has taken the bundle over well when its `info` names it and no problem, and a `health` that was measured with
it has at least 0.8 of the frames per second of before. Exit status 0: all are judged, whatever the verdicts are.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli import INTERRUPTED, Parser, add_settings_arguments, load_settings
from edge.errors import DataError, EdgeError, NoInputError, UnavailableError, UsageError
from edge.fleet.reader import split
from edge.fleet.status import KINDS, DeviceStatus, Kind, device_status
from edge.mqtt.address import BrokerAddress, check_base, check_device
from edge.mqtt.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FPS_SHARE = 0.8
"""Of the frames per second before: what the trial on the device asks for as well."""

TIMEOUT_S = 60.0
"""Health comes a few seconds after a reload and then every 30 s, so there is a second one."""

RETRY_S = 1.0
"""Between two attempts to find a broker again that went away meanwhile."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a device said before the switch; None stands for what it did not tell."""

    model: str | None = None
    health_model: str | None = None
    """The bundle with which `fps` was measured."""
    problem: str | None = None
    fps: float | None = None
    target_fps: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one device."""

    device: str
    ok: bool
    reason: str
    """A sentence for a person."""
    fps: float | None
    """With the bundle that is expected; None: it has not told."""
    fps_before: float | None


class Judge:
    """Listens to one device until it can tell."""

    def __init__(self, device: str, before: Before, expected: str) -> None:
        """Nothing has been heard yet; `expected` is the id of the bundle that the device shall run."""
        self.device = device
        self._before = before
        self._expected = expected
        self._payloads: dict[Kind, bytes] = {}

    def hear(self, kind: Kind, payload: bytes, *, retained: bool) -> Verdict | None:
        """Take a message into account.

        Args:
            kind: last level of its topic.
            payload: of whatever content.
            retained: it may have been published before the switch.

        Returns:
            The verdict; None: it is not clear yet.
        """
        of_old = retained and not self._had_it and self._before.health_model == self._expected
        if not (kind == "health" and of_old):  # it ran that bundle before the one before
            self._payloads[kind] = payload
        now = device_status(self.device, self._payloads)
        if reason := self._why_not(now, kind, retained=retained):
            return self._verdict(reason, ok=False)
        if reason := self._why(now):
            return self._verdict(reason, ok=True)
        return None

    def give_up(self, waited_s: float) -> Verdict:
        """The verdict when time has run out: what is still missing."""
        now = device_status(self.device, self._payloads)
        if not now.known:
            reason = f"nothing was heard of it within {waited_s:g} s: check its name and its connection to the broker"
        elif now.online is not True:
            reason = "it is offline" if now.online is False else "it does not say whether it is online"
        elif now.model != self._expected:
            reason = f"it runs {now.model or 'an unknown model'}, not {self._expected}, after {waited_s:g} s"
        elif now.problem:
            reason = f"it says: {now.problem}"
        elif now.health_model != self._expected:
            reason = f"it runs {self._expected}, but has published no health with it within {waited_s:g} s"
        else:
            reason = self._too_slow(now.fps, now.target_fps)
        return self._verdict(reason, ok=False)

    def _why_not(self, now: DeviceStatus, kind: Kind, *, retained: bool) -> str:
        """Why there is no point in waiting after a message; empty: there is."""
        if kind == "availability" and now.online is False and not retained:
            return "it went offline"
        # A retained problem that is the one of before tells nothing of the switch.
        fresh = kind == "info" and not (retained and now.problem == self._before.problem)
        unchanged = self._had_it and now.model == self._expected
        return f"it says: {now.problem}" if now.problem and fresh and not unchanged else ""

    def _why(self, now: DeviceStatus) -> str:
        """Why it is well; empty: it is not, as yet."""
        if not now.online or now.model != self._expected:
            return ""
        if self._had_it:
            return f"it has run {self._expected} before"
        if now.problem or now.health_model != self._expected:
            return ""
        if now.paused:
            return f"it runs {self._expected}, and is paused"
        if not self._fast_enough(now.fps, now.target_fps):
            return ""
        before = "" if self._before.fps is None else f", {self._before.fps:.3g} before"
        return f"it runs {self._expected} at {now.fps:.3g} frames/s{before}"

    @property
    def _had_it(self) -> bool:
        return self._before.model == self._expected

    def _least_fps(self, target_fps: float | None) -> float | None:
        """What it must reach; None: nothing is known of before.

        A device that has got hot looks at fewer pictures by itself, which is no fault of the model.
        """
        before, target_before = self._before.fps, self._before.target_fps
        if before is None:
            return None
        cooler = min(1.0, target_fps / target_before) if target_fps is not None and target_before else 1.0
        return FPS_SHARE * before * cooler

    def _fast_enough(self, fps: float | None, target_fps: float | None) -> bool:
        least = self._least_fps(target_fps)
        return fps is not None and (fps > 0 if least is None else fps >= least)

    def _too_slow(self, fps: float | None, target_fps: float | None) -> str:
        least = self._least_fps(target_fps)
        reached = "an unknown number of" if fps is None else f"{fps:.3g}"
        if least is None:
            return f"it reaches {reached} frames/s with {self._expected}"
        before = f"{self._before.fps:.3g} before, so at least {least:.3g} was expected"
        return f"it reaches {reached} frames/s with {self._expected}; it had {before}"

    def _verdict(self, reason: str, *, ok: bool) -> Verdict:
        now = device_status(self.device, self._payloads)
        fps = now.fps if now.health_model == self._expected else None
        return Verdict(self.device, ok, " ".join(reason.split()), fps, self._before.fps)


def read_before(path: Path) -> dict[str, Before]:
    """What `emotion-edge status --json` wrote, by device.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it is not what that command writes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise NoInputError(f"{path} cannot be read ({reason}): write it with `emotion-edge status --json`") from None
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            values: dict[str, Any] = json.loads(line)
            found[str(values["device"])] = Before(
                values["model"],
                values["health_model"],
                values["problem"],
                _number(values["fps"]),
                _number(values["target_fps"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DataError(
                f"{path}, line {number}: not an object of `emotion-edge status --json`; write the file again"
            ) from None
    return found


def judge(address: BrokerAddress, base: str, judges: Iterable[Judge], timeout_s: float) -> Iterator[Verdict]:
    """Listen to the devices until each is judged, and give every verdict when it is clear.

    A broker that goes away meanwhile is looked for again.

    Args:
        address: the broker.
        base: as in mqtt.base.
        judges: one for each device.
        timeout_s: after so many seconds those that are left are judged by what is missing.

    Raises:
        UnavailableError: the broker is not there at the start, or no more at the end.
        PermissionRefusedError: it refuses the user, or does not let them subscribe.
    """
    undecided = {each.device: each for each in judges}
    deadline = time.monotonic() + timeout_s
    subscriber = Subscriber(address)
    while True:
        try:
            yield from _listen(subscriber, base, undecided, deadline)
            break
        except UnavailableError:
            subscriber = _connect_again(address, deadline)
    for each in undecided.values():
        yield each.give_up(timeout_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verdicts; one line and the exit status of sysexits.h where that is not possible."""
    try:
        args = _arguments(argv)
        mqtt = load_settings(args).mqtt
        address = BrokerAddress.of(mqtt)
        before = read_before(Path(args.before))
        devices = dict.fromkeys(map(check_device, args.device))
        judges = [Judge(device, before.get(device, Before()), args.expect) for device in devices]
        for verdict in judge(address, check_base(mqtt.base), judges, args.timeout):
            print(json.dumps(asdict(verdict)), flush=True)
    except EdgeError as error:
        print(f"health_gate.py: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _arguments(argv: Sequence[str] | None) -> Any:
    parser = Parser(description="Judge a roll-out by what the devices themselves say over MQTT.")
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument(
        "--before", required=True, metavar="FILE", help="what `emotion-edge status --json` printed before the switch"
    )
    parser.add_argument("--expect", required=True, metavar="ID", help="the model bundle that the devices shall run")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help=f"seconds to wait (default: {TIMEOUT_S:g})"
    )
    parser.add_argument("device", nargs="+", metavar="DEVICE", help="name of a device")
    args = parser.parse_args(argv)
    if not args.timeout > 0:
        raise UsageError(f"--timeout is {args.timeout:g}, but must be a number of seconds above 0")
    return args


def _listen(subscriber: Subscriber, base: str, undecided: dict[str, Judge], deadline: float) -> Iterator[Verdict]:
    """Verdicts from one connection, until all are given or the deadline (s, monotonic)."""
    with subscriber:
        subscriber.subscribe([f"{base}/{device}/{kind}" for device in undecided for kind in KINDS])
        while undecided and time.monotonic() < deadline:
            for message in subscriber.receive(0.2):
                if not (found := split(message.topic, base)) or found[0] not in undecided:
                    continue
                device, kind = found
                verdict = undecided[device].hear(kind, message.payload, retained=message.retained)
                if verdict is not None:
                    del undecided[device]
                    yield verdict


def _connect_again(address: BrokerAddress, deadline: float) -> Subscriber:
    while True:
        time.sleep(RETRY_S)
        try:
            return Subscriber(address)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


if __name__ == "__main__":
    sys.exit(main())
