"""Provisions, updates and rolls back a virtual Raspberry Pi by this project's own playbooks, and tells how that went.

    python -m tests.system.pi

Both systems of the Pi take part: Bookworm's Python 3.11 runs the product with the wheels that deployment sends, and a
whole Trixie is deployed to, from nothing to nothing. What a run that came to its end has printed is kept beside
this folder, in last-pi-run.txt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.errors import EdgeError, PermissionRefusedError, UnavailableError
from tests.support.broker import Listener, Mosquitto
from tests.system.device import REPOSITORY
from tests.system.pi import images, machine
from tests.system.pi.bookworm import Bookworm
from tests.system.pi.deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = Path(__file__).parents[1] / "last-pi-run.txt"
INTERRUPTED = 130


class StepFailedError(EdgeError):
    """A step failed, and that has been told."""


class Report:
    """What is printed, and kept in the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._started = time.monotonic()
        self._passed = 0

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)
        self._lines.append(line)

    def step(self, what: str, action: Callable[[], str]) -> None:
        """Do something that may fail, and tell what came of it and how long it took.

        Raises:
            StepFailedError: it failed.
        """
        print(f"                {what} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            said = action()
        # The last is what the broker of the tests gives up with.
        except (EdgeError, subprocess.SubprocessError, OSError, pytest.fail.Exception) as error:
            self.say(f"FAIL {time.monotonic() - started:5.0f} s    {what}: {error}")
            self.say(f"{self._passed} passed, 1 failed")
            raise StepFailedError from error
        self.say(f"PASS {time.monotonic() - started:5.0f} s    {what}: {said}")
        self._passed += 1

    def keep(self, path: Path) -> None:
        """Say how it ended, and write all that was said."""
        self.say(f"{self._passed} passed, 0 failed in {(time.monotonic() - self._started) / 60:.0f} min")
        path.write_text("\n".join([*self._lines, ""]))


def main() -> int:
    """Run it all; the exit status is 1 where a step failed, else one of sysexits.h."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_host()
        with images.alone(), ExitStack() as stack:
            images.translate()
            report = Report()
            report.say(f"make test-pi, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {revision()}")
            with_bookworm(report, stack)
            with_trixie(report, stack)
            report.keep(KEPT)
    except StepFailedError:
        return 1
    except EdgeError as error:
        print(f"test-pi: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("test-pi: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def check_host() -> None:
    """Look for what is needed.

    Raises:
        PermissionRefusedError: this is not root.
        UnavailableError: packages are missing.
    """
    if os.geteuid() != 0:
        raise PermissionRefusedError("only root may build a Debian and mount things in it: sudo make test-pi")
    if missing := images.missing_programs():
        raise UnavailableError(f"missing: apt install {' '.join(missing)}")


def revision() -> str:
    """Of this checkout; `-dirty` where files differ from it."""
    return images.run("git", "-C", REPOSITORY, "describe", "--always", "--dirty").strip()


def with_bookworm(report: Report, stack: ExitStack) -> None:
    """Import and run the product under Python 3.11 for arm64."""
    report.say("Bookworm for arm64, its programs translated by qemu one by one")
    root = images.debian(images.BOOKWORM)
    folder = stack.enter_context(images.scratch())
    (folder / "site").mkdir()
    (folder / "wheels").mkdir()
    bookworm = Bookworm(root, folder / "site")
    report.step("wheels for aarch64 and Python 3.11", lambda: bookworm.install(folder / "wheels"))
    report.step("they can be imported", bookworm.versions)
    report.step("the network reads its golden faces", bookworm.verify)
    report.step("a picture is read from end to end", bookworm.classify)


def with_trixie(report: Report, stack: ExitStack) -> None:
    """Deploy to a virtual Pi, change what it does, and take it all back."""
    report.say("Trixie for arm64, a virtual Pi under qemu-system")
    template = machine.built()
    folder = stack.enter_context(images.scratch())
    broker = Mosquitto(folder)
    broker.start()
    stack.callback(broker.kill)
    listener = stack.enter_context(Listener(broker.port, "emotion/#"))
    pi = machine.Machine(template, folder, broker_port=broker.port)
    stack.callback(pi.close)
    deployment = Deployment(pi, broker, listener, folder / "inventory.json")
    report.step("it wakes from memory", deployment.wake)
    report.step("make deploy, to a device that has never seen the product", deployment.from_nothing)
    report.step("events arrive", deployment.events)
    report.step("make deploy, a second time", deployment.again)
    report.step("make deploy-model, with the model for landmarks alone", deployment.other_model)
    report.step("make rollback", deployment.rollback)
    report.step("make deploy, with other settings: its camera is /dev/video0", deployment.other_camera)
    report.step("make status", deployment.status)
    report.step("make undeploy", deployment.undeploy)


if __name__ == "__main__":
    sys.exit(main())
