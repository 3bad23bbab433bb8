"""Secrets in files: passwords and keys that nobody but their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge.errors import ConfigError


def refuse_if_world_readable(path: Path, what: str) -> None:
    """Make sure that a secret is one.

    Args:
        path: of a file.
        what: stands in it, for the message.

    Raises:
        ConfigError: everybody on this machine can read it.
        OSError: it is not there.
    """
    if path.stat().st_mode & stat.S_IROTH:
        raise ConfigError(f"{what} {path} can be read by everybody on this machine; run: chmod o= {path}")


def read_secret(name: str, key: str) -> str:
    """The first line of a file that holds a secret.

    Args:
        name: of the file.
        key: where it was named, for the message.

    Raises:
        ConfigError: it cannot be read, or everybody can.
    """
    path = Path(name).expanduser()
    try:
        refuse_if_world_readable(path, "the secret in")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{name} cannot be read: {reason}; see {key}") from None
    return lines[0] if lines else ""


def credential_file(name: str) -> str:
    """Where the service finds a secret; empty: it was given none, or an empty one, as the installer makes it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder or "", name)
    try:
        return str(path) if folder and path.stat().st_size else ""
    except OSError:
        return ""


def without_password(url: str) -> str:
    """A URL that may be shown: what stands between `:` and `@` is left out."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, user = head.rpartition("//")
    return f"{scheme}{slashes}{user.partition(':')[0]}@{tail}"
