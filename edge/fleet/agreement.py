"""How far a shadow agrees with the bundle in use, as a person likes to read it. Pure: topics and bytes in, lines out.

Payloads may come from anybody: nothing in them may break the view, or command the terminal, or fill the memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.messages.payloads import NONE
from edge.messages.untrusted import printable, read_object, text_of, time_of

if TYPE_CHECKING:
    from datetime import datetime

SHADOW_STATE = "/shadow/state"
FACES_MAX = 16
"""As many faces as a device follows at most."""

KINDS_MAX = 200
"""Kinds of disagreement that are told apart: nine expressions have 72."""

SHOWN = 3
"""The most frequent kinds of disagreement, in a line."""


@dataclass(slots=True)
class Agreement:
    """What two bundles have said of the same faces at the same moments: one count for each face and state."""

    device: str
    model: str
    """Id of the shadow."""
    in_use: str
    """Id of the bundle in use."""
    states: int = 0
    agreed: int = 0
    otherwise: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the bundle in use showed one expression and the shadow another."""

    @property
    def share(self) -> float:
        """Of the states in which they agreed, 0..1; 0 while there is none."""
        return self.agreed / self.states if self.states else 0.0

    def add(self, in_use: str, shadow: str) -> None:
        """Count what each shows for a face."""
        self.states += 1
        if in_use == shadow:
            self.agreed += 1
        elif (in_use, shadow) in self.otherwise or len(self.otherwise) < KINDS_MAX:
            self.otherwise[in_use, shadow] += 1

    def __str__(self) -> str:
        kinds = ", ".join(f"{one} -> {other} {n}" for (one, other), n in self.otherwise.most_common(SHOWN))
        if not self.states:
            return f"{self.device}: no face yet"
        counted = f"{100 * self.share:.1f} % of {self.states} states agree"
        return f"{self.device}: {counted}{f'; {kinds}' if kinds else ''}"


class ShadowView:
    """Counts, and remembers how the faces of a device differ, so that only changes become lines."""

    def __init__(self) -> None:
        self._agreements: dict[str, Agreement] = {}
        self._differing: dict[str, set[tuple[str, str, str]]] = {}
        """By device: face, expression, and that of the shadow, where these are not the same."""
        self._known: dict[str, str] = {}
        """By device, what a line was last printed for."""

    def status(self, width: int) -> str:
        """All devices in one line of at most `width` characters; empty while nothing was compared."""
        text = "  ·  ".join(str(each) for _, each in sorted(self._agreements.items()))
        return text if len(text) <= width else text[: max(0, width - 1)] + "…"

    def read(self, topic: str, payload: bytes, *, now: datetime, live_state: bool) -> str | None:  # noqa: ARG002
        """The line for one message, or None when there is nothing new in it.

        Args:
            topic: ends with `<device>/info` or `<device>/shadow/state`.
            payload: as it arrived, from whomever.
            now: when it arrived, local time; shown where the message has no time of its own.
            live_state: makes no difference here; see `View.read`.
        """
        values, device, clock = read_object(payload), _device(topic), f"{now:%H:%M:%S}"
        if values is None:
            return f"{clock}  {device}  unreadable"
        if not topic.endswith(SHADOW_STATE):
            text = _who(values)
            changed, self._known[device] = text != self._known.get(device), text
            return f"{clock}  {device}  {text}" if changed else None
        self._count(device, values)
        before = self._differing.get(device, set())
        self._differing[device] = {face for face in _faces(values) if face[1] != face[2]}
        new = [
            f"face {track} {in_use}, the shadow says {shadow}"
            for track, in_use, shadow in sorted(self._differing[device] - before)
        ]
        return f"{time_of(values, clock)}  {device}  {', '.join(new)}" if new else None

    def as_json(self, topic: str, payload: bytes) -> str | None:
        """The counts of a device with this message, as a JSON object in a line; None: it is no state of a shadow."""
        values = read_object(payload)
        if values is None or not topic.endswith(SHADOW_STATE):
            return None
        agreement = self._count(_device(topic), values)
        return json.dumps(
            {
                "device": agreement.device,
                "model": agreement.model,
                "in_use": agreement.in_use,
                "states": agreement.states,
                "agreed": agreement.agreed,
                "share": round(agreement.share, 4),
                "otherwise": [
                    {"in_use": one, "shadow": other, "states": n}
                    for (one, other), n in agreement.otherwise.most_common()
                ],
            },
            ensure_ascii=False,
        )

    def summary(self) -> list[str]:
        """A line for each device with which bundles were compared, and the result."""
        return [
            f"{each}  ({each.model} as the shadow of {each.in_use})" for _, each in sorted(self._agreements.items())
        ]

    def _count(self, device: str, values: dict[str, Any]) -> Agreement:
        """Count the faces of a message; where the bundles are others than before, from the start."""
        model, in_use = text_of(values, "model"), _id(values, "in_use", "model")
        agreement = self._agreements.get(device)
        if agreement is None or (agreement.model, agreement.in_use) != (model, in_use):
            agreement = self._agreements[device] = Agreement(device, model, in_use)
        for _, one, other in _faces(values):
            agreement.add(one, other)
        return agreement


def _device(topic: str) -> str:
    return printable(topic.removesuffix(SHADOW_STATE).removesuffix("/info").rpartition("/")[2])


def _who(values: dict[str, Any]) -> str:
    """Which bundles `info` names."""
    if values.get("shadow"):
        return f"{text_of(values, 'shadow')} is the shadow of {_id(values, 'model', 'id')}"
    why = values.get("shadow_problem")
    return f"no shadow: {text_of(values, 'shadow_problem')}" if why else "no shadow"


def _id(values: dict[str, Any], key: str, inner: str) -> str:
    """Of a bundle, which is named in an object."""
    found = values.get(key)
    return text_of(found if isinstance(found, dict) else {}, inner)


def _faces(values: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Track, expression by the bundle in use, and by the shadow, of the faces that both of them hold."""
    faces = values.get("faces")
    found = [face for face in faces[:FACES_MAX] if isinstance(face, dict)] if isinstance(faces, list) else []
    read = [(text_of(face, "track"), text_of(face, "in_use"), text_of(face, "expression")) for face in found]
    return [face for face in read if face[1] != NONE]
