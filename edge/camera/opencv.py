"""OpenCV without its log messages.

OpenCV and FFmpeg write to stderr when a file is damaged or a device is busy. Our errors say it in one line, so theirs
are off, unless OPENCV_FFMPEG_LOGLEVEL is set.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_INTERLACED_UNREAD = (4, 13)
"""First version of OpenCV that does not read interlaced video."""
_SAME_MAX = 25
"""Number of pictures after which it is said that all are the same."""
_ASPECT_MAX = 4.0
"""Widest pixel that counts as stated on purpose, as a multiple of its height."""

_log = logging.getLogger(__name__)

# OpenCV reads this once, when it opens the first video. -8 is AV_LOG_QUIET of libavutil/log.h.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def silence() -> None:
    """Turn off OpenCV's messages. Called before each use, because other code may have turned them on."""
    # OpenCV 5 moved the function to another module.
    module: Any = getattr(cv2.utils, "logging", cv2)
    module.setLogLevel(0)  # LOG_LEVEL_SILENT of opencv2/core/utils/logger.defines.h


def video_capture(name: str, backend: int, parameters: Mapping[int, int] = {}) -> cv2.VideoCapture:
    """Open a file, device or stream; `isOpened` says whether it worked.

    Args:
        name: path or address.
        backend: one of OpenCV's `CAP_` constants.
        parameters: values of `CAP_PROP_` constants for opening.
    """
    silence()
    return cv2.VideoCapture(name, backend, [number for pair in parameters.items() for number in pair])


def squared(picture: NDArray[np.uint8], capture: cv2.VideoCapture) -> NDArray[np.uint8]:
    """A picture of a video with square pixels: those of TV formats are narrower or wider than high.

    Args:
        picture: uint8[H, W, 3].
        capture: what the picture comes from.

    Returns:
        The picture, enlarged in one direction; the same array if its pixels are square already.
    """
    wide, high = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if capture.get(cv2.CAP_PROP_ORIENTATION_AUTO) and capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180:
        wide, high = high, wide
    if min(wide, high) <= 0 or not 1 / _ASPECT_MAX <= wide / high <= _ASPECT_MAX or wide == high:
        return picture
    height, width = picture.shape[:2]
    size = (round(width * wide / high), height) if wide > high else (width, round(height * high / wide))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


class Conversion:
    """Notices videos of which OpenCV returns the same bytes again and again instead of pictures, and says so once.

    With FFmpeg 8, in its wheels from 4.13 on, OpenCV can't convert pictures that are marked as interlaced. It reports
    success, and returns what its buffer happens to hold.
    """

    def __init__(self, name: str) -> None:
        """Expect pictures.

        Args:
            name: of the video, for the message.
        """
        self._name = name
        self._first: NDArray[np.uint8] | None = None
        self._same = 1
        """How many pictures were the same, from the first on; 0: one differed, or OpenCV converts all."""
        if tuple(map(int, cv2.__version__.split(".")[:2])) < _INTERLACED_UNREAD:
            self._same = 0

    def check(self, picture: NDArray[np.uint8]) -> None:
        """Look at the next picture, uint8[H, W, 3]. It must not be changed later."""
        if self._same == 0:
            return
        if self._first is None:
            self._first = picture
        elif np.array_equal(self._first, picture):
            self._same += 1
            if self._same == _SAME_MAX:
                self.end()
        else:
            self._first, self._same = None, 0

    def end(self) -> None:
        """Say it, if there were several pictures, all the same."""
        if self._same > 1:
            _log.warning(
                "%s: its pictures are all the same. If something moves in it, it is interlaced, which OpenCV %s cannot "
                "read: convert it with ffmpeg -i FILE -vf yadif NEW.mp4, set the camera to progressive, or install "
                "'opencv-python-headless<4.13'",
                self._name,
                cv2.__version__,
            )
        self._first, self._same = None, 0


def sampled(picture: NDArray[Any], where: NDArray[np.float32], *, border: int) -> NDArray[Any]:
    """Sample a picture at given coordinates, bilinearly.

    Args:
        picture: [H, W, channels].
        where: float32[H, W, 2], x and y in the picture for each pixel of the result.
        border: one of OpenCV's `BORDER_` constants; a constant border is 0.

    Returns:
        [H, W, channels], with the picture's dtype.
    """
    # OpenCV's stubs require a second map, which a map of two channels doesn't need.
    return np.asarray(
        cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]
    )
