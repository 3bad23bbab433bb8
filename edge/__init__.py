"""The daemon: camera -> face_mesh -> features -> classifier -> expression -> messages -> mqtt."""

import os

__version__ = "0.1.0"

MAX_PICTURE_PIXELS = 100_000_000
"""Largest picture that is decoded: 100 megapixels, which take 600 MB. A file of a few kB can claim to hold far more."""

# OpenCV reads this once, when it is loaded, so it is set before any other module can import OpenCV.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PICTURE_PIXELS))
