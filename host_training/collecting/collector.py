"""The panel of the page for collecting: who it is, which expression, start, stop, undo."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edge.errors import EdgeError, OutputError, UsageError
from host_training.collecting.samples import checked_id
from host_training.data.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from host_training.collecting.samples import Measured, Take
    from host_training.collecting.store import Store

PERIOD_S = 0.2
"""Period between two rows: frames closer together are nearly copies."""

NO_LABEL = "choose an expression"
"""Note on the page while no expression is chosen."""
NO_CONSENT = "nothing is recorded without consent: ask the person, then tick the box"
"""Error message without consent."""


@dataclass(frozen=True, slots=True)
class Person:
    """The person in front of the camera."""

    subject: str
    session: str

    @classmethod
    def agreed(cls, subject: str, session: str, *, consent: bool) -> Person:
        """A person who has agreed to be recorded.

        Raises:
            UsageError: there is no consent, or an id is missing or invalid.
        """
        if not consent:
            raise UsageError(NO_CONSENT)
        return cls(checked_id("subject", subject), checked_id("session", session))


class Collector:
    """The panel of the page. The loop calls `due` and `add`, the server's thread `state` and `perform`."""

    kind: Final = "collect"

    def __init__(
        self,
        store: Store,
        *,
        subject: str,
        session: str,
        consent: bool,
        pictures: bool,
        say: Callable[[str], None],
    ) -> None:
        """Start without recording.

        Args:
            store: for the rows.
            subject: initial value of the page's field.
            session: initial value of the page's field.
            consent: initial value of the page's box.
            pictures: whether pictures are kept; the page says so beside the consent.
            say: is called with one-line messages about errors.
        """
        self._store = store
        self._given = {"subject": subject, "session": session, "consent": consent}
        self._pictures = pictures
        self._say = say
        self._lock = threading.Lock()
        self._person: Person | None = None
        """Person who is being recorded; None: no recording."""
        self._latest = ""
        """Subject who was recorded last."""
        self._label: int | None = None
        self._take: Take | None = None
        """Current take; None: it has no rows yet."""
        self._next = float("-inf")
        self._actions = 0
        """Number of actions so far."""
        self._note = ""

    def state(self) -> dict[str, Any]:
        """See `Panel`."""
        with self._lock:
            last = self._store.last_take()
            return {
                **self._given,
                "labels": LABELS,
                "pictures": self._pictures,
                "recording": self._person is not None,
                "label": self._label,
                "rows": self._store.rows(self._take) if self._take else 0,
                "undo": f"{LABELS[last.label]}, {self._store.rows(last)} rows of {last.subject}" if last else "",
                "note": self._note,
                "coverage": self._store.coverage.for_page(self._latest),
            }

    def perform(self, action: Mapping[str, Any]) -> None:
        """See `Panel`: `{"do": "record", "subject": ..., "session": ..., "consent": ...}`, `stop`, `undo`, or `label`.

        Raises:
            UsageError: the action is unknown, or impossible now.
            OutputError: the journal cannot be written.
        """
        with self._lock:
            self._actions += 1
            match action:
                case {"do": "record", "subject": str(subject), "session": str(session), "consent": bool(consent)}:
                    self._record(Person.agreed(subject, session, consent=consent))
                case {"do": "label", "label": int(label)} if 0 <= label < len(LABELS) and label is not True:
                    self._label, self._take, self._note = label, None, ""
                case {"do": "label"}:
                    raise UsageError(f"the expressions are 0 to {len(LABELS) - 1}")
                case {"do": "stop"}:
                    self._stop("")
                case {"do": "undo"}:
                    self._undo()
                case _:
                    raise UsageError("this page is from another version; reload it")

    def due(self, now: float) -> int | None:
        """A ticket for `add` if the frame of this moment, in s, is to be recorded; None if it is not."""
        with self._lock:
            if self._person is None or self._label is None or now < self._next:
                return None
            self._next = now + PERIOD_S
            return self._actions

    @property
    def recording(self) -> bool:
        """Whether a person is being recorded."""
        with self._lock:
            return self._person is not None

    def add(self, ticket: int, measured: Measured | str) -> None:
        """Record what was measured on a frame, or show why it is not recorded.

        Args:
            ticket: from `due`, for that frame; after another action since then nothing is recorded.
            measured: see `measuring.measure`.
        """
        with self._lock:
            if ticket != self._actions or self._person is None or self._label is None:
                return
            if isinstance(measured, str):
                self._note = f"not recorded: {measured}"
                return
            take = self._take or self._store.new_take(self._person.subject, self._person.session, self._label)
            try:
                refusal = self._store.add(take, measured)
            except OutputError as error:
                self._fail(error)
                return
            self._take = take
            self._note = f"not recorded: {refusal}" if refusal else ""

    def stop(self, why: str) -> None:
        """Stop recording.

        Args:
            why: the note on the page.
        """
        with self._lock:
            self._stop(why)

    def _record(self, person: Person) -> None:
        self._person, self._latest, self._take = person, person.subject, None
        self._note = NO_LABEL if self._label is None else ""
        self._next = float("-inf")

    def _stop(self, why: str) -> None:
        if self._person is not None:
            self._person, self._take, self._note = None, None, why

    def _undo(self) -> None:
        take = self._store.last_take()
        if take is None:
            raise UsageError("there is nothing to undo: only takes of this run can be undone")
        self._person, self._take = None, None
        rows = self._store.undo(take)
        self._note = f"undone: {rows} rows of {LABELS[take.label]}"

    def _fail(self, error: EdgeError) -> None:
        self._person, self._take = None, None
        self._note = f"recording has stopped: {error}; the rows so far are safe"
        self._say(self._note)
