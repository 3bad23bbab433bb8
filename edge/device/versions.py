"""Versions of the libraries that take part in a reading."""

from __future__ import annotations

import platform

import cv2
import numpy as np
import paho.mqtt

import edge
from edge.interpreter import runtime_name


def library_versions() -> dict[str, str]:
    """Versions of this program, of Python, and of the libraries that take part in a reading, by name."""
    return {
        "emotion_edge": edge.__version__,
        "python": platform.python_version(),
        "runtime": runtime_name(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "paho_mqtt": paho.mqtt.__version__,
    }
