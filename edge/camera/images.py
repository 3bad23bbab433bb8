"""Image files: reads one, finds those in a folder, and plays them like a camera."""

from __future__ import annotations

import logging
import os
import stat
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge import MAX_PICTURE_PIXELS
from edge.camera.decoding import decoded
from edge.camera.files import refusal
from edge.camera.formats import advice, is_truncated
from edge.camera.pace import Pace
from edge.errors import DataError, EdgeError, EndOfStreamError, NoInputError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.settings import CameraSettings

_log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000_000
"""Largest file that may be a picture: 100 megapixels of 16 bits, uncompressed, have 600 MB."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one image file.

    EXIF orientation is applied, 16-bit channels are scaled to 8, grey becomes RGB, and alpha is dropped.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF or another format that OpenCV decodes, see `formats.SUFFIXES`.

    Returns:
        uint8[H, W, 3], RGB.

    Raises:
        NoInputError: the file does not exist.
        PermissionRefusedError: this user may not read it.
        DataError: it is empty, truncated, not an image, or has more than `edge.MAX_PICTURE_PIXELS`.
    """
    data = _content(path)
    if is_truncated(data):
        raise DataError(f"{path} is truncated")
    try:
        picture = decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except OverflowError as error:
        raise DataError(
            f"{path} has more than {MAX_PICTURE_PIXELS // 1_000_000} megapixels, the most that is read; scale it down"
        ) from error
    if picture is None:
        raise DataError(f"{path} is not a readable image{f': {why}' if (why := advice(path, data)) else ''}")
    return np.asarray(cv2.cvtColor(_to_8_bit(picture, path), cv2.COLOR_BGR2RGB), np.uint8)


def image_files(path: Path) -> Iterator[Path]:
    """All files in a folder and its subfolders, sorted, without hidden ones.

    Links are followed, unless they lead back to a folder that they are in. Some files may not be images, and what
    cannot be opened, such as a link that leads nowhere, is among them: only `read_image` can tell.

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
        names = os.listdir(path)  # noqa: PTH208 - names, not paths
    except OSError as error:
        raise refusal(path, error) from error
    yield from _walk(path, names, ())


def _walk(folder: Path, names: Iterable[str], above: tuple[Path, ...]) -> Iterator[Path]:
    """The files in a folder, by its names; `above` are the real paths of the folders that led here."""
    above = (*above, folder.resolve())
    for name in sorted(name for name in names if not name.startswith(".")):
        entry = folder / name
        try:
            mode = entry.stat().st_mode
            inside = os.listdir(entry) if stat.S_ISDIR(mode) else None  # noqa: PTH208 - names, not paths
        except OSError:
            yield entry
            continue
        if stat.S_ISREG(mode):
            yield entry
        elif inside is not None:
            target = entry.resolve() if entry.is_symlink() else None
            if target and any(each.is_relative_to(target) for each in above):
                _log.warning("not followed: %s is a link to a folder that it is in", entry)
            else:
                yield from _walk(entry, inside, above)


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


def _content(path: Path) -> bytes:
    """The content of a file that may be a picture.

    Raises:
        NoInputError, PermissionRefusedError, DataError: see `read_image`.
    """
    try:
        if path.is_char_device():  # /dev/zero never ends
            raise NoInputError(f"{path} is a device, not a file")
        if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size / 1e9:.1f} GB, and no picture has more than 1 GB")
        data = path.read_bytes()
    except OSError as error:
        raise refusal(path, error) from error
    except ValueError as error:  # a null byte in the name
        raise NoInputError(f"{str(path)!r} is not the name of a file") from error
    if not data:
        raise DataError(f"{path} is empty")
    return data


def _to_8_bit(picture: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    if picture.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(picture.view(np.uint16), alpha=1 / 257), np.uint8)  # 65535 / 257 = 255
    if picture.dtype in (np.float32, np.float64):
        return np.asarray(np.nan_to_num(picture.astype(np.float32)).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    raise DataError(f"{path} has {picture.dtype} channels; convert it to 8 or 16 bits")
