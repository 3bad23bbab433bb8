"""Provisions, updates and rolls back a virtual Raspberry Pi with this project's playbooks, and reports the results.

    python -m tests.system.pi

It covers both releases of Raspberry Pi OS: Bookworm's Python 3.11 runs the product with the wheels that deployment
sends, and a complete Trixie is a target of deployment, from the first installation to the removal. The output of the
last complete run is stored in tests/system/last-pi-run.txt.
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

LAST_RUN = Path(__file__).parents[1] / "last-pi-run.txt"
INTERRUPTED = 130


class StepFailedError(EdgeError):
    """A step failed, which has been reported."""


class Report:
    """Prints lines, and saves them at the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._started = time.monotonic()
        self._passed = 0

    def print(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)
        self._lines.append(line)

    def step(self, what: str, action: Callable[[], str]) -> None:
        """Run a step and report its result and its time.

        Raises:
            StepFailedError: the step failed.
        """
        print(f"                {what} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            result = action()
        # pytest.fail.Exception comes from `until`.
        except (EdgeError, subprocess.SubprocessError, OSError, pytest.fail.Exception) as error:
            self.print(f"FAIL {time.monotonic() - started:5.0f} s    {what}: {error}")
            self.print(f"{self._passed} passed, 1 failed")
            raise StepFailedError from error
        self.print(f"PASS {time.monotonic() - started:5.0f} s    {what}: {result}")
        self._passed += 1

    def save(self, path: Path) -> None:
        """Report the end, and write all lines to a file."""
        self.print(f"{self._passed} passed, 0 failed in {(time.monotonic() - self._started) / 60:.0f} min")
        path.write_text("\n".join([*self._lines, ""]))


def main() -> int:
    """Run all steps. The exit status is 1 if a step failed, else one of sysexits.h."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_host()
        with images.locked(), ExitStack() as stack:
            images.register_qemu()
            report = Report()
            report.print(f"make test-pi, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {revision()}")
            with_bookworm(report, stack)
            with_trixie(report, stack)
            report.save(LAST_RUN)
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
    """Check the requirements.

    Raises:
        PermissionRefusedError: the user is not root.
        UnavailableError: packages are missing.
    """
    if os.geteuid() != 0:
        raise PermissionRefusedError("building and mounting Debian needs root: sudo make test-pi")
    if missing := images.missing_programs():
        raise UnavailableError(f"missing: apt install {' '.join(missing)}")


def revision() -> str:
    """Revision of this checkout, with `-dirty` if files were changed."""
    return images.run("git", "-C", REPOSITORY, "describe", "--always", "--dirty").strip()


def with_bookworm(report: Report, stack: ExitStack) -> None:
    """Import and run the product under Python 3.11 for arm64."""
    report.print("Bookworm for arm64, with single programs emulated by qemu")
    root = images.debian(images.BOOKWORM)
    folder = stack.enter_context(images.scratch())
    (folder / "site").mkdir()
    (folder / "wheels").mkdir()
    bookworm = Bookworm(root, folder / "site")
    report.step("wheels for aarch64 and Python 3.11", lambda: bookworm.install(folder / "wheels"))
    report.step("imports", bookworm.versions)
    report.step("the bundle passes its self-test", bookworm.verify)
    report.step("a picture is classified", bookworm.classify)


def with_trixie(report: Report, stack: ExitStack) -> None:
    """Deploy to a virtual Pi, change it, and remove everything."""
    report.print("Trixie for arm64, a virtual Pi under qemu-system")
    template = machine.built()
    folder = stack.enter_context(images.scratch())
    broker = Mosquitto(folder)
    broker.start()
    stack.callback(broker.kill)
    listener = stack.enter_context(Listener(broker.port, "emotion/#"))
    pi = machine.Machine(template, folder, broker_port=broker.port)
    stack.callback(pi.close)
    deployment = Deployment(pi, broker, listener, folder / "inventory.json")
    report.step("resume from the snapshot", deployment.resume)
    report.step("make deploy, first installation", deployment.first)
    report.step("events", deployment.events)
    report.step("make deploy, again", deployment.again)
    report.step("make deploy-model, with the landmark model", deployment.other_model)
    report.step("make rollback", deployment.rollback)
    report.step("make deploy, with another camera: /dev/video0", deployment.other_camera)
    report.step("make status", deployment.status)
    report.step("make undeploy", deployment.undeploy)


if __name__ == "__main__":
    sys.exit(main())
