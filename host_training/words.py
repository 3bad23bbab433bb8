"""Phrases that several messages share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def joined(names: Iterable[str], word: str = "and") -> str:
    """The names as a list in a sentence, as in `a, b or c`."""
    *first, last = names
    return f" {word} ".join(filter(None, (", ".join(first), last)))


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Message about a name that is not one of the choices, as in `unknown split 'x'; choose train or test`."""
    return f"unknown {kind} {name!r}; choose {joined(choices, 'or')}"
