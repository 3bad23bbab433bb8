"""The daemon as a service: what it says to systemd and to the journal, and what signals ask of it.

Through systemd-python where it is installed (python3-systemd, which has no wheel), else through the two sockets
that it would use itself. Without systemd nothing is said, and the log goes to stderr as it always does.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


FEED_SHARE = 4
"""The watchdog is fed this often within the time that it waits. sd_watchdog_enabled(3) recommends twice; a frame
comes when it comes, so twice as often again."""


class Systemd:
    """What systemd is told of this process (sd_notify(3)). Nothing is sent where NOTIFY_SOCKET is not set."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Find out what systemd wants.

        Args:
            clock: monotonic s.
        """
        self._clock = clock
        self._feed_s = _watchdog_s() / FEED_SHARE
        self._fed_at = float("-inf")
        self._status = ""
        self._started = False

    def ready(self) -> None:
        """The start is over."""
        self._started = True
        _notify("READY=1")

    def reloading(self) -> None:
        """Settings are read again; `reloaded` ends it."""
        # systemd 253 and later want to know when, to tell one reload from another.
        _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """The reload is over. During the start that goes unsaid: it would end the start as well."""
        if self._started:
            _notify("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        _notify("STOPPING=1")

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows; sent where it is another than before."""
        if text != self._status:
            self._status = text
            _notify("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """All is well; sent no more often than the watchdog needs."""
        if self._feed_s and self._clock() - self._fed_at >= self._feed_s:
            self._fed_at = self._clock()
            _notify("WATCHDOG=1")


def _notify(state: str) -> None:
    """Tell systemd, if it listens; what becomes of that never is our problem."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        if (found := library("systemd.daemon")) is not None:
            found.notify(state)
        else:
            # A leading @ stands for the null byte of the abstract namespace.
            datagram("\0" + address[1:] if address.startswith("@") else address, state.encode())
    except OSError as error:
        log.debug("systemd at %s was not told %s: %s", address, state, error)


def _watchdog_s() -> float:
    """How long the watchdog waits, in s; 0: there is none for this process."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        process = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return 0.0
    return microseconds / 1e6 if process == os.getpid() else 0.0


def datagram(address: str, data: bytes) -> None:
    """Send a datagram to a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, address)


@functools.cache
def library(name: str) -> Any:
    """A module of systemd-python; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
