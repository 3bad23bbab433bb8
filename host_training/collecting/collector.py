"""What somebody at the page does: who it is, which expression, start, stop, undo."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError, OutputError, UsageError
from host_training.collecting.samples import checked_id
from host_training.data.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from host_training.collecting.samples import Measured, Take
    from host_training.collecting.store import Store

PERIOD_S = 0.2
"""Between two rows: frames that are nearer to each other are copies."""

NO_LABEL = "choose an expression"
NO_CONSENT = "nothing is recorded without consent: ask the person, and tick the box"


@dataclass(frozen=True, slots=True)
class Sitter:
    """Who is in front of the camera."""

    subject: str
    session: str

    @classmethod
    def agreed(cls, subject: str, session: str, *, consent: bool) -> Sitter:
        """Somebody who has agreed to be recorded.

        Raises:
            UsageError: they have not, or an id is missing or cannot be one.
        """
        if not consent:
            raise UsageError(NO_CONSENT)
        return cls(checked_id("subject", subject), checked_id("session", session))


class Collector:
    """The panel of the page. The loop calls `due` and `add`, the thread of the server `state` and `perform`."""

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
        """Wait for the first key.

        Args:
            store: where rows go.
            subject: what the page has in its field to begin with; so for the next two.
            session: likewise.
            consent: likewise.
            pictures: whether pictures are kept, which the page has to say.
            say: is told what goes wrong, in one line.
        """
        self._store = store
        self._given = {"subject": subject, "session": session, "consent": consent}
        self._pictures = pictures
        self._say = say
        self._lock = threading.Lock()
        self._sitter: Sitter | None = None
        """None: nothing is being recorded."""
        self._latest = ""
        """Who was recorded last."""
        self._label: int | None = None
        self._take: Take | None = None
        """None: it has no rows yet."""
        self._next = float("-inf")
        self._asked = 0
        """Rises with everything that is asked for."""
        self._note = ""

    def state(self) -> dict[str, Any]:
        """See `Panel`."""
        with self._lock:
            last = self._store.last_take()
            return {
                **self._given,
                "labels": LABELS,
                "pictures": self._pictures,
                "recording": self._sitter is not None,
                "label": self._label,
                "rows": self._store.rows(self._take) if self._take else 0,
                "undo": f"{LABELS[last.label]}, {self._store.rows(last)} rows of {last.subject}" if last else "",
                "note": self._note,
                "coverage": self._store.coverage.told(self._latest),
            }

    def perform(self, action: Mapping[str, Any]) -> None:
        """See `Panel`: `{"do": "record", "subject": ..., "session": ..., "consent": ...}`, `stop`, `undo`, or `label`.

        Raises:
            UsageError: it is none of these, or one that cannot be done now.
            OutputError: the journal cannot be written.
        """
        with self._lock:
            self._asked += 1
            match action:
                case {"do": "record", "subject": str(subject), "session": str(session), "consent": bool(consent)}:
                    self._record(Sitter.agreed(subject, session, consent=consent))
                case {"do": "label", "label": int(label)} if 0 <= label < len(LABELS) and label is not True:
                    self._label, self._take, self._note = label, None, ""
                case {"do": "label"}:
                    raise UsageError(f"there are the expressions 0 to {len(LABELS) - 1}")
                case {"do": "stop"}:
                    self._stop("")
                case {"do": "undo"}:
                    self._undo()
                case _:
                    raise UsageError("this page is of another version; load it again")

    def due(self, now: float) -> int | None:
        """Whether the frame of a moment, s, is to be recorded: what `add` wants to know then; None: it is not."""
        with self._lock:
            if self._sitter is None or self._label is None or now < self._next:
                return None
            self._next = now + PERIOD_S
            return self._asked

    @property
    def recording(self) -> bool:
        """Whether frames are recorded, as far as they can be."""
        with self._lock:
            return self._sitter is not None

    def add(self, asked: int, measured: Measured | str) -> None:
        """Keep what was measured on a frame, or tell why there is nothing to keep.

        Args:
            asked: what `due` gave for that frame; if something else has been asked for since, nothing is kept.
            measured: see `measuring.measure`.
        """
        with self._lock:
            if asked != self._asked or self._sitter is None or self._label is None:
                return
            if isinstance(measured, str):
                self._note = f"not recorded: {measured}"
                return
            take = self._take or self._store.new_take(self._sitter.subject, self._sitter.session, self._label)
            try:
                refusal = self._store.add(take, measured)
            except OutputError as error:
                self._fail(error)
                return
            self._take = take
            self._note = f"not recorded: {refusal}" if refusal else ""

    def stop(self, why: str) -> None:
        """Record no more.

        Args:
            why: what the page says.
        """
        with self._lock:
            self._stop(why)

    def _record(self, sitter: Sitter) -> None:
        self._sitter, self._latest, self._take = sitter, sitter.subject, None
        self._note = NO_LABEL if self._label is None else ""
        self._next = float("-inf")

    def _stop(self, why: str) -> None:
        if self._sitter is not None:
            self._sitter, self._take, self._note = None, None, why

    def _undo(self) -> None:
        take = self._store.last_take()
        if take is None:
            raise UsageError("there is nothing to undo: what was recorded before this run can only be removed whole")
        self._sitter, self._take = None, None
        rows = self._store.undo(take)
        self._note = f"undone: {rows} rows of {LABELS[take.label]}"

    def _fail(self, error: EdgeError) -> None:
        self._sitter, self._take = None, None
        self._note = f"recording has stopped: {error}; what was recorded is safe"
        self._say(self._note)
