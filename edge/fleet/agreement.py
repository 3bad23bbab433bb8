"""How far a shadow agrees with the bundle in use, as lines for a terminal. Pure: topics and bytes in, lines out.

Payloads may come from anybody: nothing in them may break the view, command the terminal, or fill the memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.fleet.lines import local_time
from edge.messages.payloads import NONE
from edge.messages.topics import INFO, SHADOW_STATE, Namespace
from edge.messages.untrusted import printable, read_object

if TYPE_CHECKING:
    from datetime import datetime

    from edge.messages.untrusted import UntrustedObject

FACES_MAX = 16
"""Faces of a state that are compared: a device tracks no more."""

KINDS_MAX = 200
"""Kinds of disagreement that are told apart: nine expressions have 72."""

SHOWN = 3
"""Kinds of disagreement in a line, the most frequent ones."""


@dataclass(slots=True)
class Agreement:
    """How two bundles have read the same faces at the same moments, counted for each face and state."""

    device: str
    model: str
    """Id of the shadow."""
    in_use: str
    """Id of the bundle in use."""
    states: int = 0
    agreed: int = 0
    disagreements: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the bundle in use showed one expression and the shadow another."""

    @property
    def share(self) -> float:
        """Share of the states in which they agreed, 0..1; 0 before the first state."""
        return self.agreed / self.states if self.states else 0.0

    def add(self, in_use: str, shadow: str) -> None:
        """Count what each shows for a face."""
        self.states += 1
        if in_use == shadow:
            self.agreed += 1
        elif (in_use, shadow) in self.disagreements or len(self.disagreements) < KINDS_MAX:
            self.disagreements[in_use, shadow] += 1

    def __str__(self) -> str:
        kinds = ", ".join(f"{one} -> {other} {n}" for (one, other), n in self.disagreements.most_common(SHOWN))
        if not self.states:
            return f"{self.device}: no face yet"
        counted = f"{100 * self.share:.1f} % of {self.states} states agree"
        return f"{self.device}: {counted}{f'; {kinds}' if kinds else ''}"


class ShadowView:
    """Counts, and remembers how the faces of a device differ, so that only changes become lines."""

    def __init__(self, base: str) -> None:
        """Nothing was compared yet; `base` is as in mqtt.base."""
        self._names = Namespace(base)
        self._agreements: dict[str, Agreement] = {}
        self._differing: dict[str, set[tuple[str, str, str]]] = {}
        """By device: face, expression, and that of the shadow, where these differ."""
        self._bundles: dict[str, str] = {}
        """By device, the last line about its bundles."""

    def status(self, width: int) -> str:
        """All devices in one line of at most `width` characters; empty until something was compared."""
        text = "  ·  ".join(str(each) for _, each in sorted(self._agreements.items()))
        return text if len(text) <= width else text[: max(0, width - 1)] + "…"

    def read(self, path: str, payload: bytes, *, now: datetime, live_state: bool) -> str | None:  # noqa: ARG002
        """The line for one message, or None when there is nothing new in it.

        Args:
            path: the topic, as it arrived; one that is neither `INFO` nor `SHADOW_STATE` makes no line.
            payload: as it arrived, from anybody.
            now: when it arrived, local time; shown where the message has no time of its own.
            live_state: makes no difference here; see `View.read`.
        """
        parsed = self._names.parse(path)
        if parsed is None or parsed.topic not in {INFO, SHADOW_STATE}:
            return None
        values, device, clock = read_object(payload), printable(parsed.device), f"{now:%H:%M:%S}"
        if values is None:
            return f"{clock}  {device}  unreadable"
        if parsed.topic is INFO:
            text = _bundles(values)
            changed, self._bundles[device] = text != self._bundles.get(device), text
            return f"{clock}  {device}  {text}" if changed else None
        self._count(device, values)
        before = self._differing.get(device, set())
        self._differing[device] = {face for face in _faces(values) if face[1] != face[2]}
        new = [
            f"face {track} {in_use}, the shadow says {shadow}"
            for track, in_use, shadow in sorted(self._differing[device] - before)
        ]
        return f"{local_time(values, clock)}  {device}  {', '.join(new)}" if new else None

    def as_json(self, path: str, payload: bytes) -> str | None:
        """The counts of a device with this message, as a JSON object in a line; None: it isn't a shadow's state."""
        parsed, values = self._names.parse(path), read_object(payload)
        if parsed is None or values is None or parsed.topic is not SHADOW_STATE:
            return None
        agreement = self._count(printable(parsed.device), values)
        return json.dumps(
            {
                "device": agreement.device,
                "model": agreement.model,
                "in_use": agreement.in_use,
                "states": agreement.states,
                "agreed": agreement.agreed,
                "share": round(agreement.share, 4),
                "disagreements": [
                    {"in_use": one, "shadow": other, "states": n}
                    for (one, other), n in agreement.disagreements.most_common()
                ],
            },
            ensure_ascii=False,
        )

    def summary(self) -> list[str]:
        """A line for each device with which bundles were compared, and the result."""
        return [
            f"{each}  ({each.model} as the shadow of {each.in_use})" for _, each in sorted(self._agreements.items())
        ]

    def _count(self, device: str, values: UntrustedObject) -> Agreement:
        """Count the faces of a message; where a bundle has changed, from the start."""
        model, in_use = values.shown("model"), values.object("in_use").shown("model")
        agreement = self._agreements.get(device)
        if agreement is None or (agreement.model, agreement.in_use) != (model, in_use):
            agreement = self._agreements[device] = Agreement(device, model, in_use)
        for _, one, other in _faces(values):
            agreement.add(one, other)
        return agreement


def _bundles(values: UntrustedObject) -> str:
    """Which bundles `info` names."""
    if values.text("shadow"):
        return f"{values.shown('shadow')} is the shadow of {values.object('model').shown('id')}"
    return f"no shadow: {values.shown('shadow_problem')}" if values.text("shadow_problem") else "no shadow"


def _faces(values: UntrustedObject) -> list[tuple[str, str, str]]:
    """Track, expression by the bundle in use, and by the shadow, of the faces that both of them hold."""
    faces = values.objects("faces", FACES_MAX)
    read = [(face.shown("track"), face.shown("in_use"), face.shown("expression")) for face in faces]
    return [face for face in read if face[1] != NONE]
