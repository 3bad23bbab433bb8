"""The errors that users see. Each has an exit status of sysexits.h and a message that says what to do next."""

from __future__ import annotations

import os

from edge.redaction import without_passwords


class EdgeError(Exception):
    """Base of all errors that users see: one line, no traceback, no password of an address."""

    exit_status: int = 1

    def __str__(self) -> str:
        return without_passwords(super().__str__())


class UsageError(EdgeError):
    """The command line is wrong."""

    exit_status = os.EX_USAGE  # 64


class DataError(EdgeError):
    """An input is damaged."""

    exit_status = os.EX_DATAERR  # 65


class NoInputError(EdgeError):
    """An input doesn't exist or can't be read."""

    exit_status = os.EX_NOINPUT  # 66


class UnavailableError(EdgeError):
    """A device, library or service is missing or busy."""

    exit_status = os.EX_UNAVAILABLE  # 69


class OutputError(EdgeError):
    """An output can't be written."""

    exit_status = os.EX_CANTCREAT  # 73


class PermissionRefusedError(EdgeError):
    """The broker or the operating system refuses access."""

    exit_status = os.EX_NOPERM  # 77


class ConfigError(EdgeError):
    """Settings, bundle or face mesh models are wrong. A restart doesn't help until they are corrected."""

    exit_status = os.EX_CONFIG  # 78


class CameraLostError(UnavailableError):
    """A live camera stopped delivering frames. Reopening it may help."""


class EndOfStreamError(EdgeError):
    """A finite source (video, images, recording) has delivered its last frame."""

    exit_status = 0
