"""Who may look at the page: where it is served, under which names, and with which token."""

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
DEFAULT_ADDRESS = f"127.0.0.1:{PORT}"

BACKLOG = 32
"""Connections that wait to be accepted."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)
"""Characters that stand for themselves in a URL (RFC 3986, 2.3) and in a cookie."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the page is served."""

    host: str
    """As it was given, in small letters and without the brackets of IPv6."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, address: str) -> Place:
        """Read `HOST[:PORT]`.

        Raises:
            ConfigError: it is not of that form, or there is no such host.
        """
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if not host or host.isdecimal() or parts.netloc != address or parts.username is not None:
            raise ConfigError(
                f"the address of the preview is {address!r}, but must look like HOST:PORT, as in {DEFAULT_ADDRESS}"
            )
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError):
            raise ConfigError(f"the preview cannot be served at {address!r}: there is no such host") from None
        # IPv4 first, for that is where `localhost` is looked for by whatever knows of only one.
        addresses = sorted((family, str(where[0])) for family, _, _, _, where in found)
        return cls(host, ipaddress.ip_address(addresses[0][1]), PORT if port is None else port)

    def listen(self) -> socket.socket:
        """A socket that listens here.

        Raises:
            PermissionRefusedError: the port is reserved.
            UnavailableError: something else listens here, or the address is not this machine's.
        """
        family = socket.AF_INET if self.ip.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version 4
        try:
            return socket.create_server((str(self.ip), self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise self._refusal(error) from None

    def url(self, port: int) -> str:
        """Where to open the page, once the port is known."""
        host = _name_in_network() if self.ip.is_unspecified else self.host
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def _refusal(self, error: OSError) -> EdgeError:
        what = f"the preview cannot be served at port {self.port} of {self.host}"
        if error.errno == errno.EADDRINUSE:
            return UnavailableError(f"{what}: something else listens there; stop it, or choose another port")
        if error.errno == errno.EADDRNOTAVAIL:
            return UnavailableError(f"{what}: this machine has no such address; `ip address` shows those it has")
        if error.errno == errno.EACCES:
            return PermissionRefusedError(f"{what}: the ports below 1024 are reserved; choose another")
        return UnavailableError(f"{what}: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must have to be answered."""

    names: frozenset[str]
    """Names of this server. A request for another comes from a website that has had its own name lead here (DNS
    rebinding); an IP address cannot be made to."""
    cookie: str
    """In which browsers keep the token. They do not tell cookies apart by port, so each token has a name of its own."""
    token: str = field(default="", repr=False)

    @classmethod
    def to(cls, place: Place, token: str) -> Access:
        """The access to a server.

        Args:
            place: where it listens.
            token: that one must know; empty: none.

        Raises:
            ConfigError: the token cannot be one, or there has to be one.
        """
        if token and not _TOKEN.fullmatch(token):
            raise ConfigError(
                "the token of the preview must have 16 to 128 of the characters A-Z a-z 0-9 . _ ~ - ; "
                "`openssl rand -hex 16` makes a good one"
            )
        if not token and not place.ip.is_loopback:
            raise ConfigError(
                f"the preview at {place.host} could be seen by whoever reaches this machine: set a token for it "
                f"(`openssl rand -hex 16` makes one), or serve it at {DEFAULT_ADDRESS}"
            )
        names = {"localhost", place.host}
        if not place.ip.is_loopback:
            names |= {socket.gethostname().lower(), _name_in_network()}
        digest = hashlib.sha256(token.encode()).hexdigest()
        return cls(frozenset(names), f"emotion-edge-{digest[:8]}", token)

    def check_origin(self, request: Request) -> None:
        """Refuse what another website makes a browser ask for.

        Raises:
            RefusedRequestError: that is so.
        """
        host = request.headers.get("host", "")
        if not self._is_own(host):
            raise RefusedRequestError(
                HTTPStatus.FORBIDDEN, "this server does not know itself by that name; open it by its IP address"
            )
        origin = request.headers.get("origin")
        # Whoever changes something has to say where from, and browsers do.
        missing = origin is None and request.method == "POST"
        foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
        # The page itself may be linked to from anywhere.
        site = request.headers.get("sec-fetch-site", "same-origin")
        if missing or foreign or (request.path != "/" and site != "same-origin"):
            raise RefusedRequestError(HTTPStatus.FORBIDDEN, "only the page itself may ask for this")

    def check_token(self, request: Request) -> None:
        """Refuse who does not know the token.

        Raises:
            RefusedRequestError: that is so.
        """
        cookies = (cookie.strip().partition("=") for cookie in request.headers.get("cookie", "").split(";"))
        if self.token and not any(self._is_token(value) for name, _, value in cookies if name == self.cookie):
            raise self._refusal()

    def admits(self, request: Request) -> bool:
        """Whether the URL has the token, which the browser is then to keep.

        Raises:
            RefusedRequestError: it has a wrong one.
        """
        given = parse_qs(request.query).get("token")
        if not self.token or given is None:
            return False
        if not self._is_token(given[0]):
            raise self._refusal()
        return True

    def _is_token(self, text: str) -> bool:
        """In the same time however much of it is right."""
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
    def _refusal() -> RefusedRequestError:
        return RefusedRequestError(
            HTTPStatus.FORBIDDEN, "this page needs its token: open it with ?token=TOKEN at the end"
        )


def _name_in_network() -> str:
    """This machine's name as its neighbours ask for it (RFC 6762, multicast DNS)."""
    return f"{socket.gethostname().partition('.')[0].lower()}.local"
