"""Translation of the usual names of expressions to the project's labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.errors import UsageError
from host_training.data.names import folded, storable

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAVE_OUT = "-"
"""Value in place of a label, for names whose rows are to be left out."""

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
"""Usual name, in lower case -> label."""


class LabelNames:
    """The meaning of names in one data set."""

    def __init__(self, given: Mapping[str, str], usual: Mapping[str, str] = SPELLINGS) -> None:
        """Let the user's names override the usual ones.

        Args:
            given: `Options.labels`.
            usual: name, in lower case -> label.
        """
        self._given = {folded(name): label for name, label in given.items()}
        self._usual = usual
        self._met: set[str] = set()

    def find(self, name: str) -> str | None:
        """The label that a name stands for, or `LEAVE_OUT`; None if it is unknown.

        Neither case nor the way in which accents are written matters. Digits and punctuation do not matter in the
        usual names: `0_Angry` is `anger`.
        """
        key = folded(name)
        if key in self._given:
            self._met.add(key)
            return self._given[key]
        return self._usual.get(key) or self._usual.get(re.sub(r"[\W\d_]+", " ", key).strip())

    def ensure_all_met(self, what: str) -> None:
        """Refuse names that the user gave but the data set lacks: they are probably typing errors.

        Raises:
            UsageError: there is such a name.
        """
        unmet = sorted(self._given.keys() - self._met)
        if unmet:
            raise UsageError(f"--label {unmet[0]}={self._given[unmet[0]]}: there is no {what} with that name")


def reason(what: str, name: str, label: str | None) -> str:
    """The reason why rows with some name are left out.

    Args:
        what: the kind of thing that has the name, such as `folder`.
        name: the name.
        label: what `LabelNames.find` returned, `LEAVE_OUT` or None.
    """
    if label == LEAVE_OUT:
        return f"--label leaves the {what} {name!r} out"
    return f"the {what} {name!r} is not a known expression (give it a label with --label {storable(name)}=LABEL)"
