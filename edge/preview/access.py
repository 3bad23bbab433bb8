"""Access to the page: at which address it is served, under which host names, and with which token."""

from __future__ import annotations

import errno
import hashlib
import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from edge.errors import ConfigError, EdgeError, PermissionRefusedError, UnavailableError
from edge.preview.protocol import RefusedRequestError

if TYPE_CHECKING:
    from edge.preview.protocol import Request

PORT = 8080
"""Default port."""
DEFAULT_ADDRESS = f"127.0.0.1:{PORT}"

BACKLOG = 32
"""Maximum number of connections that wait to be accepted."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)
"""Characters that need no escaping in a URL (RFC 3986, 2.3) and in a cookie."""


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
        host = _mdns_name() if self.ip.is_unspecified else self.host
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


@dataclass(frozen=True, slots=True)
class Access:
    """The rules for which requests are answered."""

    names: frozenset[str]
    """Host names of this server. A request for another name comes from a website whose name resolves to this machine
    (DNS rebinding). IP addresses are always accepted: they can't be rebound."""
    cookie: str
    """Name of the cookie that stores the token. Each token has its own, because browsers share cookies across ports."""
    token: str = field(default="", repr=False)

    @classmethod
    def at(cls, address: Address, token: str) -> Access:
        """The access to a server.

        Args:
            address: where it listens.
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
        names = {"localhost", address.host}
        if not address.ip.is_loopback:
            names |= {socket.gethostname().lower(), _mdns_name()}
        digest = hashlib.sha256(token.encode()).hexdigest()
        return cls(frozenset(names), f"emotion-edge-{digest[:8]}", token)

    def check_origin(self, request: Request) -> None:
        """Check that the request doesn't come from another website.

        Raises:
            RefusedRequestError: it does.
        """
        host = request.headers.get("host", "")
        if not self._is_own(host):
            raise RefusedRequestError(
                HTTPStatus.FORBIDDEN, "this server doesn't have that host name; open the page by its IP address"
            )
        origin = request.headers.get("origin")
        # Requests that change something need an Origin, which browsers always send.
        missing = origin is None and request.method == "POST"
        foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
        # Other websites may link to the page itself.
        site = request.headers.get("sec-fetch-site", "same-origin")
        if missing or foreign or (request.path != "/" and site != "same-origin"):
            raise RefusedRequestError(HTTPStatus.FORBIDDEN, "only the page itself may request this")

    def check_token(self, request: Request) -> None:
        """Check the token in the cookie.

        Raises:
            RefusedRequestError: the token is missing or wrong.
        """
        cookies = (cookie.strip().partition("=") for cookie in request.headers.get("cookie", "").split(";"))
        if self.token and not any(self._is_token(value) for name, _, value in cookies if name == self.cookie):
            raise self._token_error()

    def has_token(self, request: Request) -> bool:
        """Whether the URL contains the token, which the browser should then store in the cookie.

        Raises:
            RefusedRequestError: the token in the URL is wrong.
        """
        given = parse_qs(request.query).get("token")
        if not self.token or given is None:
            return False
        if not self._is_token(given[0]):
            raise self._token_error()
        return True

    def _is_token(self, text: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    @staticmethod
    def _token_error() -> RefusedRequestError:
        return RefusedRequestError(
            HTTPStatus.FORBIDDEN, "this page needs a token: open it with ?token=TOKEN at the end of the address"
        )


def _mdns_name() -> str:
    """The name of this machine in the local network (multicast DNS, RFC 6762)."""
    return f"{socket.gethostname().partition('.')[0].lower()}.local"
