"""The daemon: camera -> face_mesh -> features -> classifier -> expression -> messages -> mqtt."""

__version__ = "0.1.0"
