"""Files that hold secrets: passwords and keys that only their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge.errors import ConfigError


def refuse_if_world_readable(path: Path, what: str) -> None:
    """Check the permissions of a file that holds a secret.

    Args:
        path: the file.
        what: what the file holds, for the message.

    Raises:
        ConfigError: all users of this machine can read the file.
        OSError: the file doesn't exist.
    """
    if path.stat().st_mode & stat.S_IROTH:
        raise ConfigError(f"{what} {path} is readable by all users of this machine; run: chmod o= {path}")


def read_secret(name: str, key: str) -> str:
    """The first line of a file that holds a secret.

    Args:
        name: path of the file.
        key: setting or option that names the file, for the message.

    Raises:
        ConfigError: the file can't be read, or all users of this machine can read it.
    """
    path = Path(name)
    try:
        refuse_if_world_readable(path, "the secret in")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        # Without its name: somebody may have written the secret itself in its place.
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"the file that {key} names cannot be read: {reason}; its first line is the secret") from None
    return lines[0] if lines else ""


def credential_file(name: str) -> str:
    """Path of a credential that systemd passes to the service; empty if there is none, or if the file is empty."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder or "", name)
    try:
        return str(path) if folder and path.stat().st_size else ""
    except OSError:
        return ""
