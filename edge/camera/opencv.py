"""OpenCV, silenced.

OpenCV and FFmpeg write their own lines to stderr when a file is damaged or a device is busy. Our errors say
it in one line, so theirs are turned off, unless somebody has set OPENCV_FFMPEG_LOGLEVEL to see them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Read by OpenCV once, when the first video is opened. -8 is AV_LOG_QUIET of libavutil/log.h.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def silence() -> None:
    """Turn off OpenCV's own messages. Called at each use: other code may have turned them on in between."""
    # OpenCV 5 moved the function into a module of its own.
    module: Any = getattr(cv2.utils, "logging", cv2)
    module.setLogLevel(0)  # LOG_LEVEL_SILENT of opencv2/core/utils/logger.defines.h


def video_capture(name: str, backend: int) -> cv2.VideoCapture:
    """Open a file or device; whether that worked, `isOpened` tells.

    Args:
        name: the path.
        backend: one of OpenCV's `CAP_` constants.
    """
    silence()
    return cv2.VideoCapture(name, backend)


def sampled(picture: NDArray[Any], where: NDArray[np.float32], *, border: int) -> NDArray[Any]:
    """The picture as seen through a map, bilinear.

    Args:
        picture: any channels.
        where: float32[H, W, 2], the x and y in the picture that each pixel shows.
        border: one of OpenCV's `BORDER_` constants; constant is 0.

    Returns:
        [H, W, channels] of the picture's type.
    """
    # OpenCV's stubs do not know that a map of two channels takes no second map.
    return np.asarray(
        cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]
    )
