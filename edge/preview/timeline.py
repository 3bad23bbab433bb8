"""The last minutes in a line: what the nearest face showed, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN_S = 300.0
"""How far back it reaches."""
ENTRIES_MAX = 1000
"""With `dwell_s` at its default there are never more than 500."""

Entry: TypeAlias = str | Literal[False] | None
"""An expression; False: the camera was off; None: nobody was in view."""


class Timeline:
    """Written by one thread, read by another: what is read is a tuple that nobody changes any more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing is known.

        Args:
            clock: monotonic s.
        """
        self._clock = clock
        self._entries: tuple[tuple[float, Entry], ...] = ()

    def note(self, entry: Entry) -> None:
        """From now on it is so."""
        now, entries = self._clock(), self._entries
        if entries and entries[-1][1] == entry:
            return
        self._entries = (*self._recent(now)[1 - ENTRIES_MAX :], (now, entry))

    def ago(self) -> list[tuple[float, Entry]]:
        """How many seconds ago what began, the oldest first."""
        now = self._clock()
        return [(round(now - since, 2), entry) for since, entry in self._recent(now)]

    def _recent(self, now: float) -> tuple[tuple[float, Entry], ...]:
        """The entries of the span, and the one before: what it was when the span began."""
        entries = self._entries
        first = next((i for i, (since, _) in enumerate(entries) if since > now - SPAN_S), len(entries))
        return entries[max(first - 1, 0) :]
