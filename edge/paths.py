"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def home_path(text: str) -> Path:
    """A path with `~` and `~user` at its start replaced, which shells leave alone in `--config=~/own.toml`."""
    # Path.expanduser would raise an error where there is no such home; a file may have that name.
    return Path(os.path.expanduser(text))  # noqa: PTH111
