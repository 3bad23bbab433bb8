"""Output on terminals that don't know every character: what they lack is replaced, and no command fails for it."""

from __future__ import annotations

import codecs
import io
import json
import sys

_HANDLER = "emotion-edge"
"""Name of our error handler, see codecs.register_error."""

_SUBSTITUTES = {"█": "#", "░": ".", "…": ".", "·": "-", "°": "deg ", "±": "+-"}
"""What stands for characters of our own where they can't be shown."""


def configure() -> None:
    """Make stdout and stderr take every text, whatever the locale."""
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def as_shown(text: str) -> str:
    """A text as stdout will show it, to lay out columns. Call `configure` first."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, _HANDLER).decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # As in JSON: what was JSON still is.
    return "".join(
        _SUBSTITUTES.get(each) or json.dumps(each)[1:-1] for each in error.object[error.start : error.end]
    ), error.end
