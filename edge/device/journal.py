"""The journal: log lines with their priority, and entries with fields of their own."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from edge.device.systemd import datagram, library

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels of logging as those of syslog(3); what is below is 7."""


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


def tell_journal(message: str, priority: int, extra: Mapping[str, str]) -> bool:
    """Write an entry with fields of its own to the journal; whether it was taken.

    Args:
        message: a line.
        priority: as in syslog(3).
        extra: the fields, by name, in capitals.
    """
    entry = {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": IDENTIFIER, **extra}
    try:
        if (found := library("systemd.journal")) is not None:
            found.send(message, **entry)
        else:
            datagram(JOURNAL, encoded({"MESSAGE": message, **entry}))
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


def _priority(record: logging.LogRecord) -> int:
    return next((priority for level, priority in _PRIORITIES if record.levelno >= level), 7)
