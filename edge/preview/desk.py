"""What may be done at the page beside looking: whoever serves it can bring a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Desk(Protocol):
    """Tells the page more than there is to see, and does what is asked there. It is called in the server's thread."""

    def state(self) -> Mapping[str, Any]:
        """What the page is to show of it now, in values that JSON keeps."""
        ...  # pragma: no cover

    def ask(self, asked: Mapping[str, Any]) -> None:
        """Do what somebody asks for at the page, and return at once.

        Args:
            asked: an object of JSON; nothing about it is certain but that it is small.

        Raises:
            EdgeError: that cannot be done; the page shows the line.
        """
        ...  # pragma: no cover
