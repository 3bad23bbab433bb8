"""The expression machine: a noisy reading per face and frame in, few and steady changes out.

Every rule counts seconds, never frames, so that a Raspberry Pi at 6 fps and a workstation at 60 fps show the
same. Probabilities are smoothed by ds/dt = (p - s) / tau. A reading stands for the time since the reading
before it, hence s <- p + (s - p) * exp(-dt / tau). A face that turns from one expression to another between
two frames is thereby taken to have done so at the first of them, at most one frame too early. The next frame
to come shows it, at most one frame after that, so a change is never further than one frame from where an
endless frame rate would put it. Letting a reading stand for the time *after* it would add the two delays
instead. A change that had to wait for `dwell_s` may be one frame later still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.values import UNCERTAIN, Change, Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.settings import ExpressionSettings
    from edge.values import Reading

NEVER = math.inf
"""A moment that has not come."""


@dataclass(slots=True)
class _Track:
    """What is known of one face. Times are monotonic seconds."""

    shown: int | None
    """Index of the label; None: uncertain."""
    since: float
    """When the last change took effect."""
    smoothed: list[float]
    """By label. A list: for so few numbers Python's own floats are faster than an array."""
    believed_at: float
    """The last reading of good quality; -inf while there was none, so that the first one counts in full."""
    seen_at: float
    """The last reading of any quality."""
    size: float
    """Height in pixels."""
    below_since: float = NEVER
    """When the shown label fell below `leave`."""


class ExpressionMachine:
    """Decides what is shown for each face, and when that changes.

    Pure: it reads no clock and does no I/O; the same readings at the same times give the same changes.

    Args:
        labels: The bundle's labels, in the order of the probabilities.
        settings: Thresholds and times.

    Raises:
        ValueError: `leave` is above `enter`: a label would be dropped as soon as it is shown.
    """

    def __init__(self, labels: tuple[str, ...], settings: ExpressionSettings) -> None:
        if settings.leave > settings.enter:
            raise ValueError(f"leave = {settings.leave} is above enter = {settings.enter}")
        self._labels = labels
        self._settings = settings
        self._tracks: dict[int, _Track] = {}
        self._now = -math.inf

    def step(self, readings: Sequence[Reading], now: float) -> list[Change]:
        """Take in one frame.

        A face that is missing is held for `hold_s`, and for `dwell_s` after its last change; only then it
        ends, and only a frame without it can end it. If it is back before, it goes on as if never gone.

        Args:
            readings: The faces of this frame in any order, each track at most once; empty when there are
                none. A reading with a value that is not finite is ignored.
            now: s, monotonic, when the frame was taken. A time before that of the last call counts as equal
                to it: it moves nothing.

        Returns:
            The changes of this frame, in the order of their track ids.

        Raises:
            ValueError: A reading has more or fewer probabilities than there are labels.
        """
        now = self._advance(now)
        changes = []
        for reading in readings:
            probabilities: list[float] = reading.probabilities.tolist()
            if not math.isfinite(sum(probabilities) + reading.quality + reading.box[3]):
                continue
            if len(probabilities) != len(self._labels):
                raise ValueError(f"{len(probabilities)} probabilities for {len(self._labels)} labels")
            track = self._tracks.get(reading.track_id)
            if track is None:
                changes.append(self._begin(reading, probabilities, now))
            elif change := self._follow(track, reading, probabilities, now):
                changes.append(change)
        changes.extend(self._end(track_id, now) for track_id in self._lost(now))
        changes.sort(key=lambda change: change.track_id)
        return changes

    def shown(self) -> tuple[Shown, ...]:
        """What is shown now, the largest face first; faces that are missing but held are among them."""
        return tuple(
            Shown(
                track_id=track_id,
                expression=self._name(track.shown),
                confidence=_confidence(track),
                since=track.since,
                probabilities=dict(zip(self._labels, track.smoothed, strict=True)),
                size=track.size,
            )
            for track_id, track in sorted(self._tracks.items(), key=lambda item: (-item[1].size, item[0]))
        )

    def close(self, now: float) -> list[Change]:
        """End every face at once, for a shutdown or a camera lost for good.

        This is the only way for a face to end sooner than `hold_s` and `dwell_s` allow. The machine can be
        used again afterwards.

        Args:
            now: s, monotonic.

        Returns:
            One `end` per face, in the order of their track ids.
        """
        now = self._advance(now)
        return [self._end(track_id, now) for track_id in sorted(self._tracks)]

    def _advance(self, now: float) -> float:
        """The time of this call: time stands still where the caller's goes back."""
        self._now = max(self._now, now)
        return self._now

    def _begin(self, reading: Reading, probabilities: list[float], now: float) -> Change:
        believed = reading.quality >= self._settings.min_quality
        track = self._tracks[reading.track_id] = _Track(
            shown=None,
            since=now,
            smoothed=probabilities,
            believed_at=now if believed else -math.inf,
            seen_at=now,
            size=reading.box[3],
        )
        track.shown = self._verdict(track, now, believed=believed)
        return Change(
            track_id=reading.track_id,
            expression=self._name(track.shown),
            previous=None,
            confidence=_confidence(track),
            since=now,
            duration_s=0.0,
        )

    def _follow(self, track: _Track, reading: Reading, probabilities: list[float], now: float) -> Change | None:
        believed = reading.quality >= self._settings.min_quality
        track.seen_at = now
        track.size = reading.box[3]
        if believed:
            self._smooth(track, probabilities, now)
        verdict, shown_for = self._verdict(track, now, believed=believed), now - track.since
        if verdict == track.shown or shown_for < self._settings.dwell_s:
            return None
        previous = self._name(track.shown)
        track.shown, track.since, track.below_since = verdict, now, NEVER
        return Change(
            track_id=reading.track_id,
            expression=self._name(verdict),
            previous=previous,
            confidence=_confidence(track),
            since=now,
            duration_s=shown_for,
        )

    def _smooth(self, track: _Track, probabilities: list[float], now: float) -> None:
        """Let `probabilities` stand for the time since the last reading that was believed."""
        tau, leave = self._settings.smoothing_s, self._settings.leave
        kept = math.exp((track.believed_at - now) / tau) if tau > 0 else 0.0
        before = track.smoothed
        track.smoothed = [p + (s - p) * kept for p, s in zip(probabilities, before, strict=True)]
        if track.shown is not None:
            if track.smoothed[track.shown] >= leave:
                track.below_since = NEVER
            elif track.below_since == NEVER:
                # `hold_s` starts where the exponential crosses `leave`, somewhere between the two readings;
                # starting at either of them would cost the one-frame accuracy that the module promises.
                s, p = before[track.shown], probabilities[track.shown]
                track.below_since = min(now, track.believed_at + tau * math.log((s - p) / (leave - p)))
        track.believed_at = now

    def _verdict(self, track: _Track, now: float, *, believed: bool) -> int | None:
        """The label that the evidence asks for, None for uncertain; `dwell_s` is not considered here."""
        if not believed and now - track.believed_at >= self._settings.hold_s:
            return None
        highest = max(track.smoothed)
        kept = track.shown
        # Of two equal labels the one that is shown stays.
        if highest >= self._settings.enter and (kept is None or track.smoothed[kept] < highest):
            return track.smoothed.index(highest)
        if kept is not None and now - track.below_since >= self._settings.hold_s:
            return None
        return kept

    def _lost(self, now: float) -> list[int]:
        """The tracks whose absence has outlasted `hold_s`, and whose last change is `dwell_s` ago."""
        hold_s, dwell_s = self._settings.hold_s, self._settings.dwell_s
        return [
            track_id
            for track_id, track in self._tracks.items()
            if track.seen_at < now and now - track.seen_at >= hold_s and now - track.since >= dwell_s
        ]

    def _end(self, track_id: int, now: float) -> Change:
        track = self._tracks.pop(track_id)
        return Change(
            track_id=track_id,
            expression=None,
            previous=self._name(track.shown),
            confidence=_confidence(track),
            since=now,
            duration_s=now - track.since,
        )

    def _name(self, shown: int | None) -> str:
        return UNCERTAIN if shown is None else self._labels[shown]


def _confidence(track: _Track) -> float:
    """The smoothed probability of what is shown; the largest there is where that is uncertain."""
    return max(track.smoothed) if track.shown is None else track.smoothed[track.shown]
