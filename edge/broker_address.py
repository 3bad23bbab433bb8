"""Where the broker is and who we are to it: URL, credentials, and names that MQTT can carry."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edge.errors import ConfigError

PORT = 1883
"""Registered with IANA for MQTT without TLS."""

CREDENTIAL = "mqtt-password"
"""Name of the credential in which systemd hands the password over (systemd.exec(5), LoadCredential=)."""

_NAME_MAX = 200
"""Bytes of a device name or base: any topic then stays far below MQTT's limit of 65,535."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker and the credentials for it; prints without the password."""

    host: str
    port: int = PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    @property
    def user(self) -> str:
        """How a person calls the user."""
        return f"user {self.username!r}" if self.username else "a client without a user name"

    @classmethod
    def parse(cls, url: str, *, username: str = "", password_file: str = "") -> BrokerAddress:
        """Read `mqtt://[user[:password]@]host[:port]`.

        Args:
            url: the address; a user and a password in it may be percent-encoded.
            username: used where the URL names no user.
            password_file: file whose first line is the password; used where the URL has none. Empty: the
                credential of the service, if there is one and it is not empty.

        Raises:
            ConfigError: the URL is not of that form, or the password file cannot be read.
        """
        hint = f"mqtt.url is {_without_password(url)!r}, but must look like mqtt://[user[:password]@]host[:port]"
        try:
            parts = urlsplit(url)
            port = parts.port or PORT
            host = parts.hostname or ""
            host.encode("idna")
        except ValueError as error:
            raise ConfigError(f"{hint} ({error})") from None
        if parts.scheme in {"mqtts", "ssl", "ws", "wss"}:
            raise ConfigError(f"{hint}: {parts.scheme}:// is not supported, only mqtt://")
        if parts.scheme != "mqtt" or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ConfigError(hint)
        user = unquote(parts.username or "") or username or None
        password = unquote(parts.password) if parts.password is not None else None
        if password is None:
            password = _read_password(password_file) if password_file else _credential()
        if password is not None and user is None:
            raise ConfigError("a password for the broker is set, but no mqtt.username to go with it")
        return cls(host, port, user, password)


def check_device(name: str) -> str:
    """The device name, which is one level of a topic.

    Raises:
        ConfigError: it is empty, too long, or has characters that MQTT gives another meaning.
    """
    _check("device.name", name, "+#/")
    return name


def check_base(base: str) -> str:
    """The start of every topic: one level or several, separated by `/`.

    Raises:
        ConfigError: a level is empty, or it has characters that MQTT gives another meaning.
    """
    _check("mqtt.base", base, "+#")
    if not all(base.split("/")):
        raise ConfigError(f"mqtt.base is {base!r}, but must not start or end with / or have an empty level")
    if base.startswith("$"):
        raise ConfigError(f"mqtt.base is {base!r}, but topics that start with $ belong to the broker")
    return base


def _check(key: str, name: str, forbidden: str) -> None:
    bad = sorted({character for character in name if character in forbidden or not character.isprintable()})
    if bad:
        raise ConfigError(f"{key} is {name!r}, but must not contain {' '.join(map(repr, bad))}")
    if not 0 < len(name.encode()) <= _NAME_MAX:
        raise ConfigError(f"{key} must have 1 to {_NAME_MAX} bytes")


def _read_password(path: str) -> str:
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"the password file {path} cannot be read: {reason}; see mqtt.password_file") from None
    return lines[0] if lines else ""


def _credential() -> str | None:
    """The password that the service was given; an empty one is none: the installer makes it so."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder or "", CREDENTIAL)
    return (_read_password(str(path)) or None) if folder and path.exists() else None


def _without_password(url: str) -> str:
    """A URL that may be shown: what stands between `:` and `@` is left out."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, user = head.rpartition("//")
    return f"{scheme}{slashes}{user.partition(':')[0]}@{tail}"
