"""The subscriptions of a session. One at a time, they show which one makes a broker close the connection."""

from __future__ import annotations

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
    """Asks for all of them at once, or for one at a time."""

    def __init__(self, topics: Sequence[Topic], names: Namespace) -> None:
        self.asked: list[Subscription] = []
        """Those that the broker hasn't answered yet."""
        self.refused: list[tuple[Subscription, str]] = []
        """Those that the broker refuses, and why; whoever reads them clears the list."""
        self._topics = topics
        self._names = names
        self._waiting: list[Subscription] = []
        self._mid: int | None = None

    def begin(self, *, wildcards: bool) -> None:
        """A connection begins, with a broker that may not know wildcards (MQTT 5, section 3.2.2.3.11)."""
        self.asked, self._waiting = [], []
        for topic in self._topics:
            commands = NAMES if topic is COMMAND and not wildcards else ("+",)
            self._waiting.extend(Subscription(topic, self._names.path(topic, command)) for command in commands)

    def ask(
        self, client: Client, protocol: MQTTProtocolVersion, allowed: Callable[[Subscription], bool], *, one: bool
    ) -> None:
        """Ask for all that are allowed, or for one of them, unless an answer is still due."""
        waiting = [] if self.asked else [each for each in self._waiting if allowed(each)]
        if not waiting:
            return
        self.asked = waiting[:1] if one else waiting
        self._waiting = waiting[len(self.asked) :]
        # noLocal, not to hear ourselves: some of what is subscribed to is our own.
        with_options = [(each.path, SubscribeOptions(each.topic.qos, noLocal=True)) for each in self.asked]
        plain = [(each.path, each.topic.qos) for each in self.asked]
        _, self._mid = client.subscribe(with_options if protocol is V5 else plain)

    def answered(self, mid: int, reasons: Sequence[ReasonCode]) -> None:
        """The broker has answered, with a reason code for each."""
        if mid == self._mid:
            answers = zip(self.asked, reasons, strict=False)
            self.refused.extend((each, str(reason)) for each, reason in answers if reason.is_failure)
            self.asked = []
