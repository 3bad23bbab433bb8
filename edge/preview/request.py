"""A request to the page, and its refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http import HTTPStatus


class RefusedRequestError(Exception):
    """A request that is refused, with the status and the line to respond with."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    query: str
    """The part after the `?`."""
    headers: Mapping[str, str]
    """Values by name in lower case."""
    body: bytes = b""
