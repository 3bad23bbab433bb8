"""Notifications to systemd: start, reload, status, watchdog and end.

They go through systemd-python where it is installed (python3-systemd, which has no wheel), else to the socket that it
would use. Without systemd they go nowhere.
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


FEEDS_PER_TIMEOUT = 4
"""Notifications within one timeout of the watchdog. sd_watchdog_enabled(3) recommends two; four leave room for late
frames."""


class Systemd:
    """Notifies systemd about this process (sd_notify(3)), if NOTIFY_SOCKET is set."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the timeout of the watchdog.

        Args:
            clock: monotonic s.
        """
        self._clock = clock
        self._feed_s = _watchdog_s() / FEEDS_PER_TIMEOUT
        self._fed_at = float("-inf")
        self._status = ""
        self._started = False

    def ready(self) -> None:
        """Notify that the start is complete."""
        self._started = True
        _notify("READY=1")

    def reloading(self) -> None:
        """Notify that a reload begins; `reloaded` ends it."""
        # systemd 253 and later need the time, to tell one reload from another.
        _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """Notify that the reload is complete. Before `ready` nothing is sent: it would end the start, too."""
        if self._started:
            _notify("READY=1")

    def stopping(self) -> None:
        """Notify that the end has begun."""
        _notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows. It is sent only when it changes."""
        if text != self._status:
            self._status = text
            _notify("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """Feed the watchdog, as often as it needs at most."""
        if self._feed_s and self._clock() - self._fed_at >= self._feed_s:
            self._fed_at = self._clock()
            _notify("WATCHDOG=1")


def _notify(state: str) -> None:
    """Send a notification. A failure is logged and has no other effect."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        if (found := library("systemd.daemon")) is not None:
            found.notify(state)
        else:
            # A leading @ stands for the null byte of an abstract address.
            datagram("\0" + address[1:] if address.startswith("@") else address, state.encode(errors="replace"))
    except OSError as error:
        log.debug("%s could not be sent to systemd at %s: %s", state, address, error)


def _watchdog_s() -> float:
    """Timeout of the watchdog, s; 0: this process has none."""
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
