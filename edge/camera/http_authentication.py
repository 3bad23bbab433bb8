"""Answers to the challenges of HTTP and RTSP servers: Digest (RFC 7616) and Basic (RFC 7617)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.camera.address import CameraAddress

_ALGORITHMS = {"MD5": "md5", "SHA-256": "sha256"}
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def authorization(challenges: Iterable[str], method: str, uri: str, username: str, password: str) -> str:
    """The value of the Authorization header.

    Args:
        challenges: the values of the WWW-Authenticate headers.
        method: of the request.
        uri: of the request, as in its first line.
        username: user.
        password: password.

    Returns:
        The strongest answer that is asked for; empty if no challenge is understood.
    """
    by_scheme = {challenge.split(maxsplit=1)[0].lower(): challenge for challenge in challenges if challenge.strip()}
    if "digest" in by_scheme:
        parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(by_scheme["digest"])}
        if parameters.get("algorithm", "MD5").upper() in _ALGORITHMS:
            return _digest(parameters, method, uri, username, password)
    if "basic" in by_scheme:
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    return ""


def refused(address: CameraAddress) -> ConfigError:
    """The error for a camera that refuses us."""
    if not address.username:
        return ConfigError(
            f"camera {address} asks for a user and a password: set camera.username and camera.password_file"
        )
    return ConfigError(
        f"camera {address} refuses user {address.username!r}: check camera.username and camera.password_file"
    )


def _digest(parameters: dict[str, str], method: str, uri: str, username: str, password: str) -> str:
    algorithm = parameters.get("algorithm", "MD5").upper()

    def digest(*parts: str) -> str:
        return hashlib.new(_ALGORITHMS[algorithm], ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    realm, nonce = parameters.get("realm", ""), parameters.get("nonce", "")
    secret, action = digest(username, realm, password), digest(method, uri)
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": uri}
    unquoted = {"algorithm": algorithm} if "algorithm" in parameters else {}
    if "auth" in re.split(r"[\s,]+", parameters.get("qop", "")):
        fields["cnonce"], unquoted["qop"], unquoted["nc"] = secrets.token_hex(8), "auth", "00000001"
        fields["response"] = digest(secret, nonce, unquoted["nc"], fields["cnonce"], "auth", action)
    else:
        fields["response"] = digest(secret, nonce, action)
    if "opaque" in parameters:
        fields["opaque"] = parameters["opaque"]
    quoted = [f'{name}="{_escaped(value)}"' for name, value in fields.items()]
    return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in unquoted.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
