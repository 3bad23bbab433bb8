"""Names of files, folders and people: how a table holds them, and when two are the same.

macOS writes `é` as `e` and an accent (NFD), most other systems as one character (NFC).
"""

from __future__ import annotations

import unicodedata


def storable(name: str) -> str:
    r"""A name as a table can hold it: bytes that are not UTF-8 become escapes, as in `caf\xe9.jpg`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def normal(name: str) -> str:
    """A storable name in NFC, for names that stand for one thing on every system, such as those of people."""
    return unicodedata.normalize("NFC", storable(name))


def folded(name: str) -> str:
    """A name for comparisons that ignore case, blanks around it, and how accents are written."""
    return normal(normal(name.strip()).casefold())
