"""The subscriptions of a session: made one after the other, so that a broker that closes the connection shows which."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.messages.commands import NAMES
from edge.messages.topics import COMMAND
from edge.mqtt.client import V5

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client
    from paho.mqtt.enums import MQTTProtocolVersion
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.messages.topics import Namespace, Topic


class Subscription(NamedTuple):
    """One topic filter."""

    topic: Topic
    path: str

    @property
    def name(self) -> str:
        """Its name for the rules of reconnecting."""
        return f"subscribe {self.topic.name}"


class Subscriptions:
    """Asks for one subscription at a time."""

    def __init__(self, topics: Sequence[Topic], names: Namespace) -> None:
        self.asked: Subscription | None = None
        """The one that the broker hasn't answered yet."""
        self.refused: list[tuple[Subscription, str]] = []
        """Those that the broker refuses, and why; whoever reads them clears the list."""
        self._topics = topics
        self._names = names
        self._waiting: deque[Subscription] = deque()
        self._mid: int | None = None

    def begin(self, *, wildcards: bool) -> None:
        """A connection begins, with a broker that may not know wildcards (MQTT 5, section 3.2.2.3.11)."""
        self.asked = None
        self._waiting.clear()
        for topic in self._topics:
            commands = NAMES if topic is COMMAND and not wildcards else ("+",)
            self._waiting.extend(Subscription(topic, self._names.path(topic, command)) for command in commands)

    def ask(self, client: Client, protocol: MQTTProtocolVersion, allowed: Callable[[Subscription], bool]) -> None:
        """Ask for the next one, unless an answer is still due."""
        while self.asked is None and self._waiting:
            subscription = self._waiting.popleft()
            if allowed(subscription):
                qos = subscription.topic.qos
                # noLocal, not to hear ourselves: some of what is subscribed to is our own.
                path, own = subscription.path, SubscribeOptions(qos, noLocal=True)
                _, self._mid = client.subscribe((path, own) if protocol is V5 else (path, qos))
                self.asked = subscription

    def answered(self, mid: int, reason: ReasonCode) -> None:
        """The broker has answered."""
        if self.asked is not None and mid == self._mid:
            if reason.is_failure:
                self.refused.append((self.asked, str(reason)))
            self.asked = None
