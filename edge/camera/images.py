"""Image files: reads one, finds those in a folder, and plays them like a camera."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.files import refusal
from edge.camera.opencv import silence
from edge.camera.pace import Pace
from edge.errors import DataError, EdgeError, EndOfStreamError, NoInputError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

_log = logging.getLogger(__name__)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one image file.

    EXIF orientation is applied, 16-bit channels are scaled to 8, grey becomes RGB, and alpha is dropped.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF or another format that OpenCV decodes.

    Returns:
        uint8[H, W, 3], RGB.

    Raises:
        NoInputError: the file does not exist.
        PermissionRefusedError: this user may not read it.
        DataError: it is empty, truncated, or not an image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refusal(path, error) from error
    except ValueError as error:  # a null byte in the name
        raise NoInputError(f"{str(path)!r} is not the name of a file") from error
    if not data:
        raise DataError(f"{path} is empty")
    if _is_truncated(data):
        raise DataError(f"{path} is truncated")
    silence()
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        picture = None
    if picture is None:
        raise DataError(f"{path} is not a readable image")
    return np.asarray(cv2.cvtColor(_to_8_bit(picture, path), cv2.COLOR_BGR2RGB), np.uint8)


def image_files(path: Path) -> Iterator[Path]:
    """All files in a folder and its subfolders, sorted, without hidden ones.

    Some may not be images: only `read_image` can tell.

    Args:
        path: a folder, or one file.

    Raises:
        NoInputError: the folder does not exist.
        PermissionRefusedError: this user may not read it.
    """
    if path.is_file():
        yield path
        return
    try:
        entries = sorted(entry for entry in os.listdir(path) if not entry.startswith("."))  # noqa: PTH208 - names, not paths
    except OSError as error:
        raise refusal(path, error) from error
    for name in entries:
        entry = path / name
        if entry.is_file():
            yield entry
        elif entry.is_dir() and not entry.is_symlink():  # a link could lead back up and never end
            yield from image_files(entry)


class ImagesCamera:
    """Plays the images of a folder, one per frame, at the frame rate of the settings."""

    live = False
    dropped = 0  # each image waits until it is read

    def __init__(
        self,
        path: Path,
        settings: CameraSettings,
        *,
        pace: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Find the first image.

        Args:
            path: the folder, with its subfolders.
            settings: `fps` is the frame rate.
            pace: play in real time; False: every `read` returns the next image at once.
            clock: monotonic, s.
            sleep: waits, s.

        Raises:
            NoInputError: the folder does not exist, or has no image.
            PermissionRefusedError: this user may not read it.
        """
        self.name = f"images:{path}"
        self.skipped = 0
        """Number of files that are not readable images."""
        self._path = path
        self._files = image_files(path)
        self._paced = pace
        self._pace = Pace(clock=clock, sleep=sleep)
        self._clock = clock
        self._period = 1 / settings.fps
        self._start: float | None = None
        self._shown = 0
        self._next = self._find()
        if self._next is None:
            raise NoInputError(f"{path} contains no readable image")

    def read(self, timeout_s: float) -> Frame | None:
        """The next image, when it is due; None: it is not due within timeout_s.

        Raises:
            EndOfStreamError: all images have been played.
        """
        if self._next is None:
            self._next = self._find()
        if self._next is None:
            raise EndOfStreamError(f"{self._path}: all {self._shown} images have been played")
        if self._start is None:
            self._start = self._clock()
        captured_at = self._start + self._shown * self._period
        if self._paced and not self._pace.wait_until(captured_at, timeout_s):
            return None
        rgb, self._next = self._next, None
        self._shown += 1
        return Frame(rgb=rgb, captured_at=captured_at, still=True)

    def close(self) -> None:
        """Stop."""
        self._files = iter(())
        self._next = None

    def _find(self) -> NDArray[np.uint8] | None:
        """The next readable image; other files are logged and counted."""
        for file in self._files:
            try:
                return read_image(file)
            except EdgeError as error:
                self.skipped += 1
                _log.warning("skipped: %s", error)
        return None


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG, PNG or BMP lacks its end: decoders fill the rest with grey and report nothing."""
    if data.startswith(b"\xff\xd8"):
        # The end marker after the last scan; an embedded thumbnail has its own before that.
        return data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0
    if data.startswith(b"\x89PNG"):
        return data.find(b"IEND") < 0
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    return False


def _to_8_bit(picture: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    if picture.dtype == np.uint16:
        return np.asarray((picture.astype(np.uint32) + 128) // 257, np.uint8)  # 65535 / 257 = 255
    if picture.dtype in (np.float32, np.float64):
        return np.asarray(np.nan_to_num(picture.astype(np.float32)).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    raise DataError(f"{path} has {picture.dtype} channels; convert it to 8 or 16 bits")
