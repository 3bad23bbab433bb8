"""The topics of the MQTT contract: one table, which everything that publishes, subscribes or documents reads.

Pure: names in, names out. Base, device and discovery prefix come from the settings and are checked there.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

PRODUCT: Final = "emotion-edge"

ANY: Final = "+"
"""Wildcard for one level of a topic (MQTT 5, section 4.7.1.3)."""

_PLAIN = frozenset(string.ascii_letters + string.digits + "-")
"""Characters that an object id keeps. The underscore is allowed as well, but escapes all others here."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table."""

    name: str
    """Level or levels that follow the device; for topics of Home Assistant, a name of our own."""
    template: str
    """Topic with `{base}`, `{device}`, `{command}`, `{discovery}` and `{object_id}` in place of what varies."""
    direction: Literal["published", "subscribed"]
    """What the device does with it."""
    qos: int
    """Highest QoS that we ask for; a broker may allow less."""
    retained: bool
    """Whether the broker keeps the newest message for those who subscribe later."""
    description: str
    """What it carries, in one line."""
    schema: str | None = None
    """Name of the payload's JSON Schema, `schemas/<schema>.json`; None: the payload isn't JSON of ours."""
    expires: bool = False
    """With MQTT 5, the broker drops a message that it couldn't deliver for `mqtt.expiry_s` seconds."""


AVAILABILITY = Topic(
    "availability",
    "{base}/{device}/availability",
    "published",
    qos=1,
    retained=True,
    description="`online` or `offline`, as plain text; the broker publishes `offline` when the device dies",
)
STATE = Topic(
    "state",
    "{base}/{device}/state",
    "published",
    qos=1,
    retained=True,
    schema="state",
    description="what is shown now: every face with its expression, confidence and probabilities; `expression` is "
    "that of the nearest face, or `none`",
)
EVENT = Topic(
    "event",
    "{base}/{device}/event",
    "published",
    qos=2,
    retained=False,
    schema="event",
    expires=True,
    description="one message for each change of a face: `new`, `update` or `end`",
)
HEALTH = Topic(
    "health",
    "{base}/{device}/health",
    "published",
    qos=0,
    retained=True,
    schema="health",
    description="every 30 s (`mqtt.health_interval_s`): frame rate and its limit, latency, temperature, throttling, "
    "memory, what was dropped",
)
INFO = Topic(
    "info",
    "{base}/{device}/info",
    "published",
    qos=1,
    retained=True,
    schema="info",
    description="versions, model with its measured accuracy, shadow, camera, labels, date of the calibration, problems",
)
SHADOW_STATE = Topic(
    "shadow/state",
    "{base}/{device}/shadow/state",
    "published",
    qos=1,
    retained=False,
    schema="shadow_state",
    description="with every `state`, if there is a shadow: what it would show of each face, and what is shown",
)
COMMAND = Topic(
    "command",
    "{base}/{device}/command/{command}",
    "subscribed",
    qos=1,
    retained=False,
    schema="command",
    description="what you ask of the device: `pause`, `resume`, `calibrate`, `reload` or `identify`; a retained "
    "command is ignored",
)
REPLY = Topic(
    "reply",
    "{base}/{device}/reply/{command}",
    "published",
    qos=1,
    retained=False,
    schema="reply",
    description="whether the command was carried out, with the `id` of the request",
)
DISCOVERY = Topic(
    "discovery",
    "{discovery}/device/{object_id}/config",
    "published",
    qos=1,
    retained=True,
    description="the device and its entities, for Home Assistant; an empty message removes them",
)
HOME_ASSISTANT_STATUS = Topic(
    "home_assistant_status",
    "{discovery}/status",
    "subscribed",
    qos=0,
    retained=False,
    description="`online` when Home Assistant starts: the device announces itself again",
)

TOPICS: Final = (
    AVAILABILITY,
    STATE,
    EVENT,
    HEALTH,
    INFO,
    SHADOW_STATE,
    COMMAND,
    REPLY,
    DISCOVERY,
    HOME_ASSISTANT_STATUS,
)
"""Table of all topics, in the order in which the documentation shows them."""

_WITH_COMMAND: Final = {topic.name: topic for topic in (COMMAND, REPLY)}
_BY_NAME: Final = {topic.name: topic for topic in TOPICS if topic.template == f"{{base}}/{{device}}/{topic.name}"}


@dataclass(frozen=True, slots=True)
class Namespace:
    """What fills the templates: for the topics of one device, or with `+` of every device."""

    base: str
    """Levels before the device, see `mqtt.base`."""
    device: str = ANY
    """Level that is the device's name."""
    discovery: str = ""
    """Levels before Home Assistant's topics, see `mqtt.discovery`; empty: they are not used."""

    def path(self, topic: Topic, command: str = ANY) -> str:
        """The topic as the broker knows it.

        Args:
            topic: a row of the table.
            command: name of a command, for `COMMAND` and `REPLY`.
        """
        return topic.template.format(
            base=self.base,
            device=self.device,
            command=command,
            discovery=self.discovery,
            object_id=object_id(self.device),
        )

    def parse(self, path: str) -> Parsed | None:
        """What a topic below the base is; None: it isn't below it, or names no device."""
        below = path.removeprefix(f"{self.base}/")
        device, slash, rest = below.partition("/")
        if below == path or not slash:
            return None
        name, slash, command = rest.partition("/")
        if slash and "/" not in command and name in _WITH_COMMAND:
            return Parsed(device, rest, _WITH_COMMAND[name], command)
        return Parsed(device, rest, _BY_NAME.get(rest))


class Parsed(NamedTuple):
    """What a topic below a base says."""

    device: str
    rest: str
    """Levels after the device."""
    topic: Topic | None
    """Row of the table; None: not one of our topics."""
    command: str = ""
    """Name of the command, where the topic is of one or answers one."""


def object_id(device: str) -> str:
    """A device name in the characters `a-z A-Z 0-9 _ -`, as Home Assistant wants it; no two names give the same."""
    return f"{PRODUCT}_{''.join(map(_escaped, device))}"


def _escaped(character: str) -> str:
    """`_` becomes `__`; every byte of another character in UTF-8 becomes `_` and two hexadecimal digits."""
    if character in _PLAIN:
        return character
    return "__" if character == "_" else "".join(f"_{byte:02x}" for byte in character.encode())
