"""What can go wrong, each with the exit status of sysexits.h and a message that says what to do next."""

from __future__ import annotations

import os


class EdgeError(Exception):
    """Base of all errors that a user is told about: one line, no traceback."""

    exit_status: int = 1


class UsageError(EdgeError):
    """The command line asks for something that does not exist."""

    exit_status = os.EX_USAGE  # 64


class DataError(EdgeError):
    """An input is there but damaged."""

    exit_status = os.EX_DATAERR  # 65


class NoInputError(EdgeError):
    """An input is not there or cannot be read."""

    exit_status = os.EX_NOINPUT  # 66


class UnavailableError(EdgeError):
    """A device, library or service is missing or busy."""

    exit_status = os.EX_UNAVAILABLE  # 69


class OutputError(EdgeError):
    """Something could not be written."""

    exit_status = os.EX_CANTCREAT  # 73


class PermissionRefusedError(EdgeError):
    """The broker or the system refuses access."""

    exit_status = os.EX_NOPERM  # 77


class ConfigError(EdgeError):
    """Settings, bundle or mesh models are wrong: starting again will not help until they are changed."""

    exit_status = os.EX_CONFIG  # 78


class CameraLostError(UnavailableError):
    """A live camera stopped delivering; it may be opened again."""


class EndOfStreamError(EdgeError):
    """A finite source (video, images, recording) has delivered its last frame."""

    exit_status = 0
