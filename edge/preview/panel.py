"""Interface of the page's panel: what the page shows and does besides drawing faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Panel(Protocol):
    """Provides the state of the page's panel and performs its actions. The server's thread calls it."""

    @property
    def kind(self) -> Literal["device", "collect"]:
        """Which panel it is: that of the daemon, or that for collecting training data."""
        ...  # pragma: no cover

    def state(self) -> Mapping[str, Any]:
        """The state that the panel shows now, as JSON values."""
        ...  # pragma: no cover

    def perform(self, action: Mapping[str, Any]) -> None:
        """Perform an action that a viewer requests, and return at once.

        Args:
            action: a small JSON object, otherwise unchecked.

        Raises:
            EdgeError: the action is impossible; the page shows the message.
        """
        ...  # pragma: no cover
