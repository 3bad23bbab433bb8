"""The address at which the page is served, and the token that it needs. Loaded by every daemon, so it stays small."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge.errors import ConfigError, EdgeError, PermissionRefusedError, UnavailableError
from edge.secret_files import credential_file, read_secret

if TYPE_CHECKING:
    from edge.settings import PreviewSettings

PORT = 8080
"""Default port."""
DEFAULT_ADDRESS = f"127.0.0.1:{PORT}"

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)
"""Characters that need no escaping in a URL (RFC 3986, 2.3) and in a cookie."""

TOKEN_CREDENTIAL = "preview-token"  # noqa: S105 - the name of the credential
"""Name of the credential that systemd passes to the service (systemd.exec(5), LoadCredential=)."""

BACKLOG = 32
"""Maximum number of connections that wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address at which the page is served."""

    host: str
    """As given, in lower case and without the brackets of IPv6."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    """0: any free port."""

    @classmethod
    def parse(cls, address: str) -> Address:
        """Read `HOST[:PORT]`.

        Raises:
            ConfigError: the address has another form, or the host is unknown.
        """
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if not host or host.isdecimal() or parts.netloc != address or parts.username is not None:
            raise ConfigError(f"{address!r} is not an address for the preview; give HOST:PORT, as in {DEFAULT_ADDRESS}")
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError):
            raise ConfigError(f"the preview cannot be served at {address!r}: unknown host") from None
        # IPv4 first: programs that try only one address of `localhost` try that one.
        addresses = sorted((family, str(where[0])) for family, _, _, _, where in found)
        return cls(host, ipaddress.ip_address(addresses[0][1]), PORT if port is None else port)

    def listen(self) -> socket.socket:
        """Open a socket that listens at this address.

        Raises:
            PermissionRefusedError: the port is privileged.
            UnavailableError: the port is in use, or the address is not this machine's.
        """
        family = socket.AF_INET if self.ip.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version 4
        try:
            return socket.create_server((str(self.ip), self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise self._listen_error(error) from None

    def url(self, port: int) -> str:
        """The URL of the page on a port."""
        host = mdns_name() if self.ip.is_unspecified else self.host
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def _listen_error(self, error: OSError) -> EdgeError:
        what = f"the preview cannot be served at {self.host}, port {self.port}"
        if error.errno == errno.EADDRINUSE:
            return UnavailableError(f"{what}: another program uses that port; stop it, or choose another port")
        if error.errno == errno.EADDRNOTAVAIL:
            return UnavailableError(
                f"{what}: this machine doesn't have that address; `ip address` lists the ones it has"
            )
        if error.errno == errno.EACCES:
            return PermissionRefusedError(f"{what}: ports below 1024 need root; choose another")
        return UnavailableError(f"{what}: {error.strerror or error}")


def check_token(address: Address, token: str) -> None:
    """Check the token of a page.

    Args:
        address: where the page is served.
        token: token that viewers need; empty: none.

    Raises:
        ConfigError: the token is invalid, or missing although the address is not loopback.
    """
    if token and not _TOKEN.fullmatch(token):
        raise ConfigError(
            "the token of the preview must have 16 to 128 of the characters A-Z a-z 0-9 . _ ~ - ; "
            "`openssl rand -hex 16` makes a good one"
        )
    if not token and not address.ip.is_loopback:
        raise ConfigError(
            f"everybody in the network could open the preview at {address.host}: set a token "
            f"(`openssl rand -hex 16` makes one), or serve it at {DEFAULT_ADDRESS}"
        )


def page_token(settings: PreviewSettings) -> str:
    """The token of the settings' file, else that of the service; empty: none.

    Raises:
        ConfigError: the file can't be read, or all users of this machine can read it.
    """
    name = settings.token_file or credential_file(TOKEN_CREDENTIAL)
    return read_secret(name, "preview.token_file") if name else ""


def mdns_name() -> str:
    """The name of this machine in the local network (multicast DNS, RFC 6762)."""
    return f"{socket.gethostname().partition('.')[0].lower()}.local"
