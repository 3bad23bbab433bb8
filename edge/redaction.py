"""Addresses as they may be shown: without passwords, which no output may hold."""

from __future__ import annotations

import re

_START = re.compile(r"\s*(?:[\w.+-]+:)+//+|\s*", re.ASCII)
"""What precedes user and host: the scheme, also below another, as in `video:rtsp://`."""

_HOST = re.compile(r"(\[[^\]]*\]|[^:/]*)(:\d*)?(/|$)")
"""Host and port, followed by nothing or a path."""

_IN_TEXT = re.compile(
    r"([\w.+-]+:?(?://+(?=[^\s:@/?#'\"\[]*[:/?#])|(?<=:)/(?=[^\s:@/'\"\[]*:)|(?<=\w)/(?=[^\s:@/'\"\[]*:[^\s/]*@))"
    r"[^\s:@/?#'\"\[]*)\S*@",
    re.ASCII,
)
"""User, password and `@` of an address within a text, also one whose scheme lacks its colon. A path has made one slash
of two, if it went through one."""


def without_password(address: str) -> str:
    """An address without what may be secret: the password, query and fragment, and a port that is not a number.

    Passwords often hold characters that end them in a URL, such as `/`, `?`, `#` and `@`. So everything between the
    user and the last `@` counts as the password, whatever a URL parser would make of it.
    """
    start = _START.match(address)
    scheme, rest = (start[0], address[start.end() :]) if start else ("", address)
    userinfo, at, tail = rest.rpartition("@")
    tail = re.split("[?#]", tail, maxsplit=1)[0]
    if at:
        return f"{scheme}{re.split('[:/?#]', userinfo, maxsplit=1)[0]}@{tail}"
    return f"{scheme}{tail if _HOST.match(tail) else tail.partition(':')[0]}"


def has_password(address: str) -> bool:
    """Whether an address holds a password, or a query, which may hold one."""
    return ("@" in address or "?" in address) and without_password(address) != address


def without_passwords(text: str) -> str:
    """A text whose addresses have lost their passwords, if these hold no blank."""
    return _IN_TEXT.sub(r"\1@", text)
