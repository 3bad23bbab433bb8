"""OpenCV without its log messages.

OpenCV and FFmpeg write to stderr when a file is damaged or a device is busy. Our errors say it in one line, so theirs
are off, unless OPENCV_FFMPEG_LOGLEVEL is set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# OpenCV reads this once, when it opens the first video. -8 is AV_LOG_QUIET of libavutil/log.h.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def silence() -> None:
    """Turn off OpenCV's messages. Called before each use, because other code may have turned them on."""
    # OpenCV 5 moved the function to another module.
    module: Any = getattr(cv2.utils, "logging", cv2)
    module.setLogLevel(0)  # LOG_LEVEL_SILENT of opencv2/core/utils/logger.defines.h


def video_capture(name: str, backend: int) -> cv2.VideoCapture:
    """Open a file or device; `isOpened` says whether it worked.

    Args:
        name: the path.
        backend: one of OpenCV's `CAP_` constants.
    """
    silence()
    return cv2.VideoCapture(name, backend)


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
