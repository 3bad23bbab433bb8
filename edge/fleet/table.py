"""A fleet as a table for a terminal. Pure: rows in, lines out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from edge.messages.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.fleet.status import DeviceStatus

HEAD = ("DEVICE", "ONLINE", "VERSION", "MODEL", "FPS", "EXPRESSION", "TEMPERATURE", "THROTTLED", "LAST SEEN", "PROBLEM")

GAP = "  "
UNKNOWN = "-"

_BOLD, _DIM, _RED, _YELLOW = "1", "2", "31", "33"
"""SGR codes (ECMA-48)."""

_LINE_MAX = 200
"""Maximum number of characters of a problem."""

_MINUTE, _HOUR, _DAYS = 60, 3600, 48 * 3600


def table(rows: Sequence[DeviceStatus], *, now: datetime, colour: bool) -> list[str]:
    """Lines of an aligned table with its head, and below it the number of devices in each state.

    Args:
        rows: the devices, in the order in which they are shown.
        now: local time; other times are shown relative to it.
        colour: highlight what needs attention.
    """
    cells = [_cells(row, now) for row in rows]
    columns = len(HEAD) if any(row[-1] for row in cells) else len(HEAD) - 1
    widths = [max(map(len, column)) for column in zip(HEAD, *cells, strict=True)]
    lines = [_line(HEAD, widths[:columns], [_DIM] * columns if colour else [])]
    lines += [
        _line(row, widths[:columns], _colours(status) if colour else [])
        for row, status in zip(cells, rows, strict=True)
    ]
    return [*lines, "", _summary(rows)]


def _line(cells: Sequence[str], widths: Sequence[int], colours: Sequence[str]) -> str:
    # The last cell is not padded, so that no line ends with blanks.
    last = max(i for i, cell in enumerate(cells) if cell and i < len(widths))
    padded = [cells[i].ljust(widths[i] if i < last else 0) for i in range(last + 1)]
    codes = [*colours, *[""] * len(padded)]
    return GAP.join(f"\x1b[{code}m{cell}\x1b[0m" if code else cell for cell, code in zip(padded, codes, strict=False))


def _cells(row: DeviceStatus, now: datetime) -> tuple[str, ...]:
    """The cells of a row. The last measurements of an offline device are out of date, so they are not shown."""
    live = row.online is not False
    model = printable(row.model or UNKNOWN)
    fps = UNKNOWN if row.fps is None else f"{row.fps:.3g}"
    if row.target_fps is not None:
        fps += f"/{row.target_fps:.3g}"
    return (
        printable(row.device),
        {True: "yes", False: "no", None: "unknown"}[row.online],
        printable(row.version or UNKNOWN),
        f"{model} (shadow {printable(row.shadow)})" if row.shadow else model,
        fps if live else UNKNOWN,
        ("paused" if row.paused else printable(row.expression or UNKNOWN)) if live else UNKNOWN,
        f"{row.temperature_c:.3g} °C" if live and row.temperature_c is not None else UNKNOWN,
        _power(row) if live else UNKNOWN,
        _ago(row.last_seen, now),
        _problem(row),
    )


def _colours(row: DeviceStatus) -> list[str]:
    """SGR codes for the cells of a row."""
    live = row.online is not False
    codes = dict.fromkeys(HEAD, "" if live else _DIM)
    codes["DEVICE"] = _BOLD if live else ""
    if row.online is not True:
        codes["ONLINE"] = _RED
    if live and (row.throttled or row.under_voltage):
        codes["THROTTLED"] = _YELLOW
    codes["PROBLEM"] = _RED
    return list(codes.values())


def _power(row: DeviceStatus) -> str:
    if row.under_voltage:
        return "under-voltage"
    return UNKNOWN if row.throttled is None else "yes" if row.throttled else "no"


def _problem(row: DeviceStatus) -> str:
    if not row.known:
        return "it has reported nothing"
    found = [row.problem] if row.problem else []
    if row.shadow_problem:
        found.append(f"shadow: {row.shadow_problem}")
    if row.unreadable:
        found.append(f"unreadable: {', '.join(row.unreadable)}")
    return printable("; ".join(found), limit=_LINE_MAX)


def _ago(date: str | None, now: datetime) -> str:
    """How long ago; or the date, if that is long ago or, by a wrong clock, in the future."""
    if date is None:
        return UNKNOWN
    then = datetime.fromisoformat(date)
    age_s = (now - then).total_seconds()
    if not -_MINUTE < age_s < _DAYS:
        return date[:16].replace("T", " ") + " UTC"
    if age_s < _MINUTE:
        return f"{max(0.0, age_s):.0f} s ago"
    return f"{age_s / _MINUTE:.0f} min ago" if age_s < _HOUR else f"{age_s / _HOUR:.0f} h ago"


def _summary(rows: Sequence[DeviceStatus]) -> str:
    counts = (
        (sum(row.online is True for row in rows), "online"),
        (sum(row.online is False for row in rows), "offline"),
        (sum(row.online is None for row in rows), "unknown"),
        (sum(row.known and bool(_problem(row)) for row in rows), "with a problem"),
    )
    summary = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f"{len(rows):,} device{'s' * (len(rows) != 1)}: {summary}"
