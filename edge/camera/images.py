"""Image files: reading one, finding those in a folder, and showing them as a camera would."""

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

    Orientation by EXIF is applied; 16-bit channels are scaled to 8; grey becomes RGB; alpha is left out.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF or whatever else OpenCV decodes.

    Returns:
        uint8[H, W, 3], RGB.

    Raises:
        NoInputError: there is no such file.
        PermissionRefusedError: this user may not read it.
        DataError: it is empty, cut short, or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refusal(path, error) from error
    except ValueError as error:  # a null byte in the name
        raise NoInputError(f"{str(path)!r} is not the name of a file") from error
    if not data:
        raise DataError(f"{path} is empty")
    if _is_cut_short(data):
        raise DataError(f"{path} is cut short")
    silence()
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        picture = None
    if picture is None:
        raise DataError(f"{path} is not an image that can be read")
    return np.asarray(cv2.cvtColor(_to_8_bit(picture, path), cv2.COLOR_BGR2RGB), np.uint8)


def image_files(path: Path) -> Iterator[Path]:
    """All files in a folder and the folders below it, in sorted order, hidden ones left out.

    Files that are no images are among them: only `read_image` can tell.

    Args:
        path: a folder; a file gives itself.

    Raises:
        NoInputError: there is no such folder.
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
        elif entry.is_dir() and not entry.is_symlink():  # a link could lead back up, for ever
            yield from image_files(entry)


class ImagesCamera:
    """Shows each image of a folder as one frame, at the settings' rate."""

    live = False
    dropped = 0  # each waits until it is asked for

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
            path: the folder; it is walked.
            settings: `fps` is how many images are shown a second.
            pace: show them in real time; False: every `read` gives the next at once.
            clock: monotonic s.
            sleep: waits for so many s.

        Raises:
            NoInputError: there is no such folder, or no image in it.
            PermissionRefusedError: this user may not read it.
        """
        self.name = f"images:{path}"
        self.skipped = 0
        """Files that could not be read as an image."""
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
            raise NoInputError(f"{path} holds no image that can be read")

    def read(self, timeout_s: float) -> Frame | None:
        """The next image, when its turn has come; None: not within timeout_s.

        Raises:
            EndOfStreamError: all images were shown.
        """
        if self._next is None:
            self._next = self._find()
        if self._next is None:
            raise EndOfStreamError(f"{self._path}: all {self._shown} images were shown")
        if self._start is None:
            self._start = self._clock()
        captured_at = self._start + self._shown * self._period
        if self._paced and not self._pace.wait_until(captured_at, timeout_s):
            return None
        rgb, self._next = self._next, None
        self._shown += 1
        return Frame(rgb=rgb, captured_at=captured_at)

    def close(self) -> None:
        """Show no more images."""
        self._files = iter(())
        self._next = None

    def _find(self) -> NDArray[np.uint8] | None:
        """The next file that is an image; the others are named and counted."""
        for file in self._files:
            try:
                return read_image(file)
            except EdgeError as error:
                self.skipped += 1
                _log.warning("left out: %s", error)
        return None


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: decoders fill the rest with grey and say nothing."""
    if data.startswith(b"\xff\xd8"):
        # The end marker after the last scan: an embedded thumbnail has one of its own, before it.
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
