"""Names of expressions as people write them -> the project's labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAVE_OUT = "-"
"""In place of a label: rows of that name are not wanted."""

_SPELLINGS = {
    "neutral": ("neutral", "neutrality"),
    "happiness": ("happiness", "happy", "joy", "joyful", "smile", "smiling"),
    "surprise": ("surprise", "surprised", "suprise", "suprised"),
    "sadness": ("sadness", "sad", "sorrow"),
    "anger": ("anger", "angry", "angriness"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful", "afraid", "scared"),
    "contempt": ("contempt", "contemptuous"),
}
SPELLINGS = {spelling: label for label, spellings in _SPELLINGS.items() for spelling in spellings}
"""Usual name -> label, in small letters."""


class LabelNames:
    """What the names in one data set mean."""

    def __init__(self, given: Mapping[str, str], usual: Mapping[str, str] = SPELLINGS) -> None:
        """Put the user's words above the usual ones.

        Args:
            given: `Options.labels`.
            usual: name, in small letters -> label.
        """
        self._given = {name.strip().casefold(): label for name, label in given.items()}
        self._usual = usual
        self._met: set[str] = set()

    def find(self, name: str) -> str | None:
        """The label that a name stands for, or `LEAVE_OUT`; None: it is not known.

        Case, digits and punctuation are of no account in the usual names: `0_Angry` is `anger`.
        """
        folded = name.strip().casefold()
        if folded in self._given:
            self._met.add(folded)
            return self._given[folded]
        return self._usual.get(folded) or self._usual.get(re.sub(r"[\W\d_]+", " ", folded).strip())

    def ensure_all_met(self, what: str) -> None:
        """Refuse names that the user gave and that the data set does not have: most likely a slip.

        Raises:
            UsageError: there is one.
        """
        unmet = sorted(self._given.keys() - self._met)
        if unmet:
            raise UsageError(f"--label {unmet[0]}={self._given[unmet[0]]}: there is no {what} of that name")


def reason(what: str, name: str, label: str | None) -> str:
    """Why the rows of a name are left out.

    Args:
        what: kind of thing that has the name, as in `folder`.
        name: the name.
        label: what `LabelNames.find` said, `LEAVE_OUT` or None.
    """
    if label == LEAVE_OUT:
        return f"the {what} {name!r} is not wanted"
    return f"the {what} {name!r} is no known expression (--label {name}=LABEL would name one)"
