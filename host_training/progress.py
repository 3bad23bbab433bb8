"""What the program is doing, said at once on stderr, where there is no progress bar yet."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str) -> None:
    """Say what begins. Whatever is written next takes its place, so keep it short."""
    print(f"{text} ...", end="\r", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done as long as it takes."""
    say(text)
    try:
        yield
    finally:
        print(" " * len(f"{text} ..."), end="\r", file=sys.stderr, flush=True)
