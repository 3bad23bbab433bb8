"""Addresses of network cameras, and the credentials for them.

What a user sees of an address is its scheme, host and port. All else may be a secret: besides the password, many
cameras take one in the path or the query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from edge.errors import ConfigError
from edge.secret_files import credential_file, read_secret

if TYPE_CHECKING:
    from edge.settings import CameraSettings

PORTS = {"rtsp": 554, "http": 80, "https": 443}
"""Default ports by scheme."""

PASSWORD_CREDENTIAL = "camera-password"  # noqa: S105 - the name of the credential
"""Name of the credential that systemd passes to the service (systemd.exec(5), LoadCredential=)."""

_FORM = (
    "write rtsp://[user@]host[:port]/path, http:// or https://, put the password into the file that "
    "camera.password_file names, and percent-encode special characters (%40 for @, %2F for /)"
)


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """A network camera and the credentials for it. Its text leaves out everything that may be a secret."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    """Path and query, percent-encoded."""
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self._authority}"

    @property
    def url(self) -> str:
        """The address without user and password."""
        return f"{self}{self.target}"

    @property
    def url_with_password(self) -> str:
        """The address for FFmpeg, which takes user and password from it."""
        if not self.username:
            return self.url
        credentials = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{credentials}@{self._authority}{self.target}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def of(cls, settings: CameraSettings) -> CameraAddress:
        """The network camera of the settings.

        Raises:
            ConfigError: `settings.source` is not a usable address, the file with the password can't be read, or all
                users of this machine can read it. The message contains no part of the address.
        """
        text = settings.source.strip().removeprefix("video:")
        try:
            parts = urlsplit(text)
            scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
            host.encode("idna")
        except ValueError:  # its text may contain a part of the password
            raise ConfigError(f"camera.source is not a usable address: {_FORM}") from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if scheme not in PORTS or not host or parts.fragment or "@" in target or " " in text or not text.isprintable():
            raise ConfigError(f"camera.source is not a usable address: {_FORM}")
        username = unquote(parts.username or "") or settings.username
        password = unquote(parts.password) if parts.password is not None else _password(settings.password_file)
        if password and not username:
            raise ConfigError("there is a password for the camera, but no camera.username: set both")
        # Letters beyond ASCII have to be encoded; what is encoded already stays.
        target = quote(target, safe="%/?:&=+$,;~*'()!.-_[]")
        return cls(scheme, host, port or PORTS[scheme], target, username, password)


def _password(file: str) -> str:
    """The password of the file, else the service's credential, else empty."""
    name = file or credential_file(PASSWORD_CREDENTIAL)
    return read_secret(name, "camera.password_file") if name else ""
