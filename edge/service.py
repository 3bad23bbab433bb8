"""The daemon as a service: what it says to systemd and to the journal, and what signals ask of it.

Through systemd-python where it is installed (python3-systemd, which has no wheel), else through the two sockets
that it would use itself. Without systemd nothing is said, and the log goes to stderr as it always does.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

CHANGED = "3cba47f0229c4213af24a836b5c56602"
"""MESSAGE_ID of a face that came, changed its expression, or left: `journalctl MESSAGE_ID=...`."""
RELOADED = "738e1914fc034dedb042f5d0a9710ebd"
"""MESSAGE_ID of settings and bundle that were taken over while running."""
REFUSED = "13cd7a54e487473bbecaf74a12fc15cd"
"""MESSAGE_ID of settings or a bundle that were not; the ones before go on."""

IDENTIFIER = "emotion-edge"
"""SYSLOG_IDENTIFIER: the name that systemd gives the lines of our stderr."""

JOURNAL = "/run/systemd/journal/socket"
"""Where journald takes entries with fields of their own (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

FEED_SHARE = 4
"""The watchdog is fed this often within the time that it waits. sd_watchdog_enabled(3) recommends twice; a frame
comes when it comes, so twice as often again."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels of logging as those of syslog(3); what is below is 7."""


class Requests:
    """What signals ask of the loop, which looks at it between two frames.

    Plain attributes: a handler interrupts the thread that reads them, so a lock that this thread holds at that
    moment, as inside `threading.Event`, would never be released.
    """

    def __init__(self) -> None:
        self.stop = False
        """SIGTERM, SIGINT: end every face, say `offline`, leave."""
        self.reload = False
        """SIGHUP: read settings and bundle again."""

    def listen(self) -> None:
        """Take the signals. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        # In a terminal, SIGHUP says that the terminal has gone: nobody wants the camera to stay on then.
        if not os.isatty(0):
            signal.signal(signal.SIGHUP, lambda *_: setattr(self, "reload", True))


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

    def ready(self) -> None:
        """The start, or a reload, is over."""
        _notify("READY=1")

    def reloading(self) -> None:
        """Settings are read again; `ready` ends it."""
        # systemd 253 and later want to know when, to tell one reload from another.
        _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

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


class JournalHandler(logging.StreamHandler[Any]):
    """Log lines for a stderr that is the journal: with their priority (sd-daemon(3)) instead of its name.

    A record with fields (see `fields`) goes to journald itself, and to stderr only where that does not answer.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        extra: Mapping[str, str] | None = getattr(record, "journal", None)
        if extra is None or not tell_journal(record.getMessage(), _priority(record), extra):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Handler."""
        return "\n".join(f"<{_priority(record)}>{line}" for line in super().format(record).splitlines())


def stderr_is_journal() -> bool:
    """Whether stderr leads to the journal, as JOURNAL_STREAM tells (systemd.exec(5))."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or none at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def log_to_journal() -> None:
    """Send the log to the journal if stderr leads there."""
    if stderr_is_journal():
        level, handler = logging.getLogger().level, JournalHandler(sys.stderr)
        logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)


def fields(message_id: str, **values: object) -> dict[str, dict[str, str]]:
    """The `extra` of a log record that has fields of its own in the journal.

    Args:
        message_id: what kind of message it is, 32 hexadecimal digits.
        values: by name, in capitals.
    """
    return {"journal": {"MESSAGE_ID": message_id, **{name: str(value) for name, value in values.items()}}}


def _notify(state: str) -> None:
    """Tell systemd, if it listens; what becomes of that never is our problem."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        if (library := _library("systemd.daemon")) is not None:
            library.notify(state)
        else:
            # A leading @ stands for the null byte of the abstract namespace.
            _datagram("\0" + address[1:] if address.startswith("@") else address, state.encode())
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


def tell_journal(message: str, priority: int, extra: Mapping[str, str]) -> bool:
    """Write an entry with fields of its own to the journal; whether it was taken.

    Args:
        message: a line.
        priority: as in syslog(3).
        extra: the fields, by name, in capitals.
    """
    entry = {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": IDENTIFIER, **extra}
    try:
        if (library := _library("systemd.journal")) is not None:
            library.send(message, **entry)
        else:
            _datagram(JOURNAL, encoded({"MESSAGE": message, **entry}))
    except OSError:
        return False
    return True


def encoded(entry: Mapping[str, str]) -> bytes:
    """An entry as journald's native protocol has it: a value of several lines is preceded by its length.

    An entry larger than a datagram would have to travel in a file; ours are a hundredth of that.
    """
    parts = []
    for name, value in entry.items():
        data = value.encode()
        separator = b"\n" + len(data).to_bytes(8, "little") if b"\n" in data else b"="
        parts.append(name.encode() + separator + data + b"\n")
    return b"".join(parts)


def _datagram(address: str, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, address)


@functools.cache
def _library(name: str) -> Any:
    """A module of systemd-python; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _priority(record: logging.LogRecord) -> int:
    return next((priority for level, priority in _PRIORITIES if record.levelno >= level), 7)
