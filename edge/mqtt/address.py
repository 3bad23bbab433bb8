"""Address of the broker, credentials and certificates for it, and names that topics may contain."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from edge.errors import ConfigError
from edge.redaction import has_password, without_password
from edge.secret_files import credential_file, read_secret, refuse_if_world_readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.settings import MqttSettings

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Default ports by scheme, registered with IANA: MQTT and MQTT with TLS, over TCP and over websockets."""

WEBSOCKET_PATH = "/mqtt"
"""Default path of a websocket."""

PASSWORD_CREDENTIAL, KEY_CREDENTIAL = "mqtt-password", "mqtt-client-key"
"""Names of the credentials that systemd passes to the service (systemd.exec(5), LoadCredential=)."""

_NAME_MAX = 200
"""Maximum length of a device name or base, in bytes: every topic stays far below MQTT's limit of 65,535."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker and the credentials for it. Its text and its repr leave out the password."""

    host: str
    port: int = PORTS["mqtt"]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    scheme: str = "mqtt"
    path: str = ""
    """Path of the websocket; empty for TCP."""
    certificates: str = field(default="", repr=False)
    """Hash of the certificates and the key, so that an address with renewed ones is another address."""
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """TLS context with the trusted authorities and our certificate; None: the connection isn't encrypted."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def user(self) -> str:
        """The user, for messages."""
        return f"user {self.username!r}" if self.username else "a client without a user name"

    @property
    def transport(self) -> Literal["tcp", "websockets"]:
        """Transport of paho-mqtt."""
        return "websockets" if self.scheme in {"ws", "wss"} else "tcp"

    @classmethod
    def of(cls, settings: MqttSettings) -> BrokerAddress:
        """The broker of the settings.

        Raises:
            ConfigError: see `parse`.
        """
        return cls.parse(
            settings.url,
            username=settings.username,
            password_file=settings.password_file,
            ca_file=settings.ca_file,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
        )

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        username: str = "",
        password_file: str = "",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
    ) -> BrokerAddress:
        """Read `mqtt://[user[:password]@]host[:port]`, or the same with mqtts, ws or wss, the latter with a path.

        Args:
            url: the address; user and password in it may be percent-encoded.
            username: used if the URL names no user.
            password_file: file whose first line is the password; used if the URL has none. Empty: the service's
                credential, if it has one that isn't empty.
            ca_file: certificates of authorities to trust; empty: those of the system.
            cert_file: our own certificate, for brokers that ask for one; empty: none.
            key_file: its key. Empty: the service's credential, if it has one that isn't empty.

        Raises:
            ConfigError: the URL doesn't have that form, a file can't be used, or all users of this machine can read a
                secret.
        """
        hint = f"mqtt.url is {without_password(url)!r}; write mqtt://[user[:password]@]host[:port]"
        advice = (
            "; in the password, write all but letters and digits in percent-encoding, as in %2F for /, or set "
            "mqtt.username and mqtt.password_file instead"
            if has_password(url)
            else ""
        )
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
            host = parts.hostname or ""
            host.encode("idna")
        except ValueError:  # its text may hold a part of the password
            raise ConfigError(f"{hint}{advice}") from None
        if parts.scheme not in PORTS:
            raise ConfigError(f"{hint}, with {', '.join(PORTS)} as the scheme{advice}")
        websocket = parts.scheme in {"ws", "wss"}
        # An @ behind the host was meant to end a password.
        path_allowed = parts.path in {"", "/"} or (websocket and "@" not in parts.path)
        if not host or parts.query or parts.fragment or not path_allowed:
            raise ConfigError(f"{hint}{advice}")
        user = unquote(parts.username or "") or username or None
        password = unquote(parts.password) if parts.password is not None else None
        if password is None:
            password = read_secret(password_file, "mqtt.password_file") if password_file else _credential()
        if password is not None and user is None:
            raise ConfigError("there is a password for the broker, but no mqtt.username: set both")
        path = (parts.path.rstrip("/") or WEBSOCKET_PATH) if websocket else ""
        if parts.scheme in {"mqtt", "ws"}:
            if ca_file or cert_file or key_file:
                raise ConfigError(
                    f"mqtt.url is {without_password(url)!r}, which is not encrypted, so certificates have no use: "
                    "write mqtts or wss, or remove mqtt.ca_file, cert_file and key_file"
                )
            return cls(host, port, user, password, parts.scheme, path)
        certificates, tls = _tls(ca_file, cert_file, key_file or credential_file(KEY_CREDENTIAL))
        return cls(host, port, user, password, parts.scheme, path, certificates, tls)


def check_device(name: str) -> str:
    """Check a device name, which is one level of topics.

    Raises:
        ConfigError: it is empty, too long, or has characters with another meaning in MQTT.
    """
    _check("device.name", name, "+#/")
    return name


def check_base(base: str, key: str = "mqtt.base") -> str:
    """Check the first levels of topics, one or several, separated by `/`.

    Args:
        base: the levels.
        key: the setting that they come from, for the message.

    Raises:
        ConfigError: a level is empty, or has characters with another meaning in MQTT.
    """
    _check(key, base, "+#")
    if not all(base.split("/")):
        raise ConfigError(
            f"{key} is {base!r}, but no level may be empty: remove the / at its start or end, or the double one"
        )
    if base.startswith("$"):
        raise ConfigError(f"{key} is {base!r}, but topics that start with $ are reserved for the broker")
    return base


def _check(key: str, name: str, forbidden: str) -> None:
    bad = sorted({character for character in name if character in forbidden or not character.isprintable()})
    if bad:
        raise ConfigError(f"{key} is {name!r}, but must not contain {' '.join(map(repr, bad))}")
    if not 0 < len(name.encode()) <= _NAME_MAX:
        raise ConfigError(f"{key} must have 1 to {_NAME_MAX} bytes")


def _credential() -> str | None:
    """The password among the service's credentials."""
    name = credential_file(PASSWORD_CREDENTIAL)
    return (read_secret(name, "mqtt.password_file") or None) if name else None


def _tls(ca_file: str, cert_file: str, key_file: str) -> tuple[str, ssl.SSLContext]:
    """A hash of the files, and a context made of them; without `ca_file`, the system's authorities are trusted."""
    names = {"mqtt.ca_file": ca_file, "mqtt.cert_file": cert_file, "mqtt.key_file": key_file}
    paths = {key: Path(name) for key, name in names.items() if name}
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        for key, path in paths.items():
            try:
                data = path.read_bytes()
                digest.update(key.encode() + hashlib.sha256(data).digest())
                if key == "mqtt.key_file":
                    refuse_if_world_readable(path, "the key")
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}; see {key}") from None
            paths[key] = stack.enter_context(_without_mark(path, data))
        return digest.hexdigest(), _context(paths, names)


def _context(paths: Mapping[str, Path], names: Mapping[str, str]) -> ssl.SSLContext:
    """A context made of files.

    Args:
        paths: setting -> file to read.
        names: setting -> its name for messages.
    """
    ca_file, cert_file, key_file = names.values()
    try:
        context = ssl.create_default_context(cafile=paths.get("mqtt.ca_file"))
    except ssl.SSLError:
        raise ConfigError(f"{ca_file} holds no certificate in PEM format; see mqtt.ca_file") from None
    if not cert_file:
        return context

    def no_passphrase() -> str:
        raise ConfigError(f"the key {key_file or cert_file} has a passphrase, which a daemon cannot enter: remove it")

    try:
        context.load_cert_chain(paths["mqtt.cert_file"], paths.get("mqtt.key_file"), no_passphrase)
    except ssl.SSLError:
        raise ConfigError(
            f"{cert_file} and {key_file or 'the key in it'} are not a certificate in PEM format and its key; "
            "see mqtt.cert_file and mqtt.key_file"
        ) from None
    return context


@contextlib.contextmanager
def _without_mark(path: Path, data: bytes) -> Iterator[Path]:
    """A file that OpenSSL can read, which stops at the byte-order mark of an editor: the file itself, or a copy."""
    if not data.startswith(codecs.BOM_UTF8):
        yield path
        return
    copy = os.memfd_create(path.name)  # in memory only: it may be a key
    try:
        os.write(copy, data.removeprefix(codecs.BOM_UTF8))
        yield Path(f"/proc/self/fd/{copy}")
    finally:
        os.close(copy)
