"""Access to the page: under which host names it is served, and with which token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from edge.preview.address import mdns_name
from edge.preview.request import RefusedRequestError

if TYPE_CHECKING:
    from edge.preview.address import Address
    from edge.preview.request import Request


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
            token: token that viewers need, which `check_token` has accepted; empty: none.
        """
        names = {"localhost", address.host}
        if not address.ip.is_loopback:
            names |= {socket.gethostname().lower(), mdns_name()}
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
