"""Decodes pictures, of a limited size and without a word on the terminal.

Decoders write to stderr when a file is damaged. Our errors say it in one line.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.camera.opencv import silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class _CStream:
    """The C library's `stderr`, to which libpng and libjpeg write; they have no setting for it.

    Python writes to the file descriptor instead, so messages and progress bars of other threads still appear.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        library.fopen.restype = ctypes.c_void_p
        self._null: int | None = library.fopen(os.fsencode(os.devnull), b"w")
        self._variable = ctypes.c_void_p.in_dll(library, "stderr")
        self._lock = threading.Lock()
        self._muted = 0
        self._stream: int | None = None

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Discard what is written to it meanwhile. Several threads may do so at once."""
        with self._lock:
            if not self._muted:
                self._stream, self._variable.value = self._variable.value, self._null
            self._muted += 1
        try:
            yield
        finally:
            with self._lock:
                self._muted -= 1
                if not self._muted:
                    self._variable.value = self._stream


_stderr = _CStream()


def decoded(data: bytes, flags: int) -> NDArray[Any] | None:
    """Decode a picture without a word on stderr.

    Args:
        data: content of the file.
        flags: OpenCV's `IMREAD_` constants.

    Returns:
        [H, W, channels], BGR, or [H, W]; None: it is not a picture, or a damaged one.

    Raises:
        OverflowError: it has more than `edge.MAX_PICTURE_PIXELS`.
    """
    silence()
    try:
        with _stderr.muted():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise OverflowError from error
        return None
