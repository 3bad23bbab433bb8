"""The last minutes: which expression the nearest face showed, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN_S = 300.0
"""Span of time that the timeline covers."""
ENTRIES_MAX = 1000
"""Maximum number of entries. With the default of `dwell_s` there are never more than 500."""

Entry: TypeAlias = str | Literal[False] | None
"""An expression; False: the camera was off; None: no face was in view."""


class Timeline:
    """Written by one thread and read by another: readers get a tuple that is never modified."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty.

        Args:
            clock: monotonic s.
        """
        self._clock = clock
        self._entries: tuple[tuple[float, Entry], ...] = ()

    def append(self, entry: Entry) -> None:
        """Add an entry that begins now, unless it equals the current one."""
        now, entries = self._clock(), self._entries
        if entries and entries[-1][1] == entry:
            return
        self._entries = (*self._recent(now)[1 - ENTRIES_MAX :], (now, entry))

    def history(self) -> list[tuple[float, Entry]]:
        """The entries with their age, s, the oldest first."""
        now = self._clock()
        return [(round(now - since, 2), entry) for since, entry in self._recent(now)]

    def _recent(self, now: float) -> tuple[tuple[float, Entry], ...]:
        """The entries within the span, and the one that was current when the span began."""
        entries = self._entries
        first = next((i for i, (since, _) in enumerate(entries) if since > now - SPAN_S), len(entries))
        return entries[max(first - 1, 0) :]
