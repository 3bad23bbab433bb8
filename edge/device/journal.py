"""systemd's journal: log lines with a priority, and entries with fields of their own."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from edge.device.systemd import datagram, library

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANGED = "3cba47f0229c4213af24a836b5c56602"
"""MESSAGE_ID of a face that appeared, changed its expression, or left: `journalctl MESSAGE_ID=...`."""
RELOADED = "738e1914fc034dedb042f5d0a9710ebd"
"""MESSAGE_ID of a reload."""
REFUSED = "13cd7a54e487473bbecaf74a12fc15cd"
"""MESSAGE_ID of a reload that was refused."""
IDENTIFIER = "emotion-edge"
"""SYSLOG_IDENTIFIER, equal to the one that systemd gives to the lines of our stderr."""
JOURNAL = "/run/systemd/journal/socket"
"""Socket of journald for entries with fields of their own (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels of logging and their priority in syslog(3); lower levels are 7."""


class JournalHandler(logging.StreamHandler[Any]):
    """Writes log lines to a stderr that leads to the journal, with their priority in front (sd-daemon(3)).

    A record with fields (see `fields`) goes to journald directly, and to stderr only if that fails.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        extra: Mapping[str, str] | None = getattr(record, "journal", None)
        if extra is None or not write_entry(record.getMessage(), _priority(record), extra):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Handler."""
        return "\n".join(f"<{_priority(record)}>{line}" for line in super().format(record).splitlines())


def stderr_is_journal() -> bool:
    """Whether stderr leads to the journal, which JOURNAL_STREAM identifies (systemd.exec(5))."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or missing
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def log_to_journal() -> None:
    """Send the log to the journal if stderr leads there."""
    if stderr_is_journal():
        level, handler = logging.getLogger().level, JournalHandler(sys.stderr)
        logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)


def fields(message_id: str, **values: object) -> dict[str, dict[str, str]]:
    """The `extra` for a log record that gets fields of its own in the journal.

    Args:
        message_id: kind of the message, 32 hexadecimal digits.
        values: fields by name, which is in capitals.
    """
    return {"journal": {"MESSAGE_ID": message_id, **{name: str(value) for name, value in values.items()}}}


def write_entry(message: str, priority: int, extra: Mapping[str, str]) -> bool:
    """Write an entry with fields of its own to the journal.

    Args:
        message: one line.
        priority: as in syslog(3).
        extra: fields by name, which is in capitals.

    Returns:
        Whether journald took it.
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
    """An entry in journald's native protocol, where the length of a value precedes it if it has several lines.

    An entry larger than a datagram would need a file; ours are a hundredth of that.
    """
    parts = []
    for name, value in entry.items():
        data = value.encode(errors="replace")
        separator = b"\n" + len(data).to_bytes(8, "little") if b"\n" in data else b"="
        parts.append(name.encode() + separator + data + b"\n")
    return b"".join(parts)


def _priority(record: logging.LogRecord) -> int:
    return next((priority for level, priority in _PRIORITIES if record.levelno >= level), 7)
