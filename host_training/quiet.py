"""Keeps the start-up notes of C++ libraries off the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Read by TensorFlow when it is imported. oneDNN picks its kernels, and with them the order of its sums, by
# the processor it finds: without it the same command gives the same weights on more machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a while.

    TensorFlow and LiteRT log before their log level can be set. Errors still arrive, as exceptions.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
