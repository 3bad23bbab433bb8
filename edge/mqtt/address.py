"""Where the broker is and who we are to it: URL, credentials, certificates, and names that MQTT can carry."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from edge.errors import ConfigError
from edge.secret_files import credential_file, read_secret, refuse_if_world_readable, without_password

if TYPE_CHECKING:
    from edge.settings import MqttSettings

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Registered with IANA, by scheme: plain, with TLS, and both over websockets."""
WEBSOCKET_PATH = "/mqtt"
"""Where brokers take websockets unless told otherwise."""

PASSWORD_CREDENTIAL, KEY_CREDENTIAL = "mqtt-password", "mqtt-client-key"
"""Names of the credentials in which systemd hands secrets over (systemd.exec(5), LoadCredential=)."""

_NAME_MAX = 200
"""Bytes of a device name or base: any topic then stays far below MQTT's limit of 65,535."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker and the credentials for it; prints without the password."""

    host: str
    port: int = PORTS["mqtt"]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    scheme: str = "mqtt"
    path: str = ""
    """Of a websocket."""
    certificates: str = field(default="", repr=False)
    """A hash of the certificates and the key, so that renewed ones make another address."""
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """What checks the broker's certificate and has ours; None: the connection is not encrypted."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def user(self) -> str:
        """How a person calls the user."""
        return f"user {self.username!r}" if self.username else "a client without a user name"

    @property
    def transport(self) -> Literal["tcp", "websockets"]:
        """What carries MQTT."""
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
            url: the address; a user and a password in it may be percent-encoded.
            username: used where the URL names no user.
            password_file: file whose first line is the password; used where the URL has none. Empty: the
                credential of the service, if there is one and it is not empty.
            ca_file: certificates that vouch for the broker's; empty: those of the system.
            cert_file: our own certificate, for brokers that ask for one; empty: none.
            key_file: its key. Empty: the credential of the service, if there is one and it is not empty.

        Raises:
            ConfigError: the URL is not of that form, a file cannot be used, or everybody can read a secret.
        """
        hint = f"mqtt.url is {without_password(url)!r}, but must look like mqtt://[user[:password]@]host[:port]"
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
            host = parts.hostname or ""
            host.encode("idna")
        except ValueError as error:
            raise ConfigError(f"{hint} ({error})") from None
        if parts.scheme not in PORTS:
            raise ConfigError(f"{hint}; it may begin with {', '.join(PORTS)}")
        websocket = parts.scheme in {"ws", "wss"}
        if not host or parts.query or parts.fragment or not (websocket or parts.path in {"", "/"}):
            raise ConfigError(hint)
        user = unquote(parts.username or "") or username or None
        password = unquote(parts.password) if parts.password is not None else None
        if password is None:
            password = read_secret(password_file, "mqtt.password_file") if password_file else _credential()
        if password is not None and user is None:
            raise ConfigError("a password for the broker is set, but no mqtt.username to go with it")
        path = (parts.path.rstrip("/") or WEBSOCKET_PATH) if websocket else ""
        if parts.scheme in {"mqtt", "ws"}:
            if ca_file or cert_file or key_file:
                raise ConfigError(
                    f"certificates are set, but mqtt.url is {without_password(url)!r}, which is not encrypted: "
                    "let it begin with mqtts or wss, or take mqtt.ca_file, cert_file and key_file away"
                )
            return cls(host, port, user, password, parts.scheme, path)
        certificates, tls = _tls(ca_file, cert_file, key_file or credential_file(KEY_CREDENTIAL))
        return cls(host, port, user, password, parts.scheme, path, certificates, tls)


def check_device(name: str) -> str:
    """The device name, which is one level of a topic.

    Raises:
        ConfigError: it is empty, too long, or has characters that MQTT gives another meaning.
    """
    _check("device.name", name, "+#/")
    return name


def check_base(base: str, key: str = "mqtt.base") -> str:
    """The start of topics: one level or several, separated by `/`.

    Args:
        base: these levels.
        key: the setting that they come from.

    Raises:
        ConfigError: a level is empty, or it has characters that MQTT gives another meaning.
    """
    _check(key, base, "+#")
    if not all(base.split("/")):
        raise ConfigError(f"{key} is {base!r}, but must not start or end with / or have an empty level")
    if base.startswith("$"):
        raise ConfigError(f"{key} is {base!r}, but topics that start with $ belong to the broker")
    return base


def _check(key: str, name: str, forbidden: str) -> None:
    bad = sorted({character for character in name if character in forbidden or not character.isprintable()})
    if bad:
        raise ConfigError(f"{key} is {name!r}, but must not contain {' '.join(map(repr, bad))}")
    if not 0 < len(name.encode()) <= _NAME_MAX:
        raise ConfigError(f"{key} must have 1 to {_NAME_MAX} bytes")


def _credential() -> str | None:
    """The password that the service was given."""
    name = credential_file(PASSWORD_CREDENTIAL)
    return (read_secret(name, "mqtt.password_file") or None) if name else None


def _tls(ca_file: str, cert_file: str, key_file: str) -> tuple[str, ssl.SSLContext]:
    """A hash of the files, and what is ready to connect; without a CA the system's are trusted."""
    names = {"mqtt.ca_file": ca_file, "mqtt.cert_file": cert_file, "mqtt.key_file": key_file}
    paths = {key: Path(name).expanduser() for key, name in names.items() if name}
    digest = hashlib.sha256()
    for key, path in paths.items():
        try:
            digest.update(key.encode() + hashlib.sha256(path.read_bytes()).digest())
            if key == "mqtt.key_file":
                refuse_if_world_readable(path, "the key")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}; see {key}") from None
    try:
        context = ssl.create_default_context(cafile=paths.get("mqtt.ca_file"))
    except ssl.SSLError:
        raise ConfigError(f"{ca_file} holds no certificate in PEM form; see mqtt.ca_file") from None
    if not cert_file:
        return digest.hexdigest(), context

    def no_passphrase() -> str:
        raise ConfigError(f"the key {key_file or cert_file} asks for a passphrase, and nobody types it here: remove it")

    try:
        context.load_cert_chain(paths["mqtt.cert_file"], paths.get("mqtt.key_file"), no_passphrase)
    except ssl.SSLError:
        raise ConfigError(
            f"{cert_file} and {key_file or 'the key in it'} are no certificate in PEM form with its key; "
            "see mqtt.cert_file and mqtt.key_file"
        ) from None
    return digest.hexdigest(), context
