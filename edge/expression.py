"""The expression machine: turns noisy readings, one per face and frame, into few and stable changes.

It combines exponential smoothing, hysteresis (`enter`, `leave`), a minimum dwell time (`dwell_s`) and a hold time
(`hold_s`). Every rule counts seconds, never frames, so that a Raspberry Pi at 6 fps and a workstation at 60 fps
show the same.

Probabilities are smoothed by ds/dt = (p - s) / tau. A reading applies to the time since the previous reading,
hence s <- p + (s - p) * exp(-dt / tau). If a face changes its expression between two frames, the change therefore
counts from the first of them, at most one frame too early, and appears with the second, at most one frame too
late. So a change is never more than one frame away from where an infinite frame rate would put it. If a reading
applied to the time *after* it, the two delays would add up. A change that had to wait for `dwell_s` may be one
frame later still.

A face is shown once it has been in view for `CONFIRM_S`. Its first reading never counts: it comes from the place
where the search found the face, and only later ones from the face's own landmarks.
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

CONFIRM_S = 0.125
"""Time for which a face has to be in view before it is shown, s. What looks like a face for two frames is none, and at
4 frames/s and more nobody waits longer than 0.25 s."""

NEVER = math.inf
"""Time of an event that has not happened."""


@dataclass(slots=True)
class _Track:
    """State of one face. Times are monotonic seconds."""

    shown: int | None
    """Index of the label shown; None: uncertain."""
    since: float
    """Time of the last change; of the first reading before the face is shown."""
    smoothed: list[float]
    """Smoothed probability of each label. A list: for so few numbers it is faster than an array."""
    reliable_at: float
    """Time of the last reliable reading, one with at least `min_quality`. -inf before the first, which then counts
    in full."""
    seen_at: float
    """Time of the last reading of any quality."""
    size: float
    """Height of the face, px."""
    confirmed: bool = False
    """Whether the face is shown."""
    below_since: float = NEVER
    """Time at which the shown label fell below `leave`."""


class ExpressionMachine:
    """Decides which expression is shown for each face, and when it changes.

    Pure: no clock and no I/O. The same readings at the same times give the same changes.

    Args:
        labels: the bundle's labels, in the order of the probabilities.
        settings: thresholds and times.

    Raises:
        ValueError: `leave` is above `enter`: every label would be dropped as soon as it is shown.
    """

    def __init__(self, labels: tuple[str, ...], settings: ExpressionSettings) -> None:
        if settings.leave > settings.enter:
            raise ValueError(f"leave = {settings.leave} is above enter = {settings.enter}")
        self._labels = labels
        self._settings = settings
        self._tracks: dict[int, _Track] = {}
        self._now = -math.inf

    def step(self, readings: Sequence[Reading], now: float, *, still: bool = False) -> list[Change]:
        """Process the readings of one frame.

        A missing face is held for at least `hold_s`, and for at least `dwell_s` after its last change. Only a frame
        without the face ends it. A face that returns in time continues as if it had never been away.

        Args:
            readings: the faces of this frame in any order, each track at most once; may be empty. Readings that
                contain NaN or infinity are ignored.
            now: s, monotonic, when the frame was captured. A time before that of the previous call counts as
                equal to it.
            still: the frame is a picture on its own, so that its faces are shown at once.

        Returns:
            The changes of this frame, in the order of their track ids.

        Raises:
            ValueError: the number of probabilities of a reading differs from the number of labels.
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
                track = self._tracks[reading.track_id] = self._found(reading, probabilities, now, still=still)
                change = self._confirm(track, reading, now) if still else None
            else:
                change = self._follow(track, reading, probabilities, now)
            if change is not None:
                changes.append(change)
        changes.extend(self._end(track_id, now) for track_id in self._lost(now))
        for track_id in [i for i, t in self._tracks.items() if not t.confirmed and now - t.seen_at >= CONFIRM_S]:
            del self._tracks[track_id]  # it was no face
        changes.sort(key=lambda change: change.track_id)
        return changes

    def shown(self) -> tuple[Shown, ...]:
        """The faces shown now, the largest first, including faces that are missing but held."""
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
            if track.confirmed
        )

    def close(self, now: float) -> list[Change]:
        """End every face at once, for a shutdown or a camera that is lost for good.

        Only here a face may end sooner than `hold_s` and `dwell_s` allow. The machine can be used again afterwards.

        Args:
            now: s, monotonic.

        Returns:
            One change of kind `end` for each face, in the order of their track ids.
        """
        now = self._advance(now)
        changes = [self._end(track_id, now) for track_id in sorted(self._tracks) if self._tracks[track_id].confirmed]
        self._tracks.clear()
        return changes

    def _advance(self, now: float) -> float:
        """The time of this call; never before that of the previous one."""
        self._now = max(self._now, now)
        return self._now

    def _found(self, reading: Reading, probabilities: list[float], now: float, *, still: bool) -> _Track:
        """A face that is not shown yet. Only in a picture on its own its first reading counts."""
        reliable = still and reading.quality >= self._settings.min_quality
        return _Track(
            shown=None,
            since=now,
            smoothed=probabilities,
            reliable_at=now if reliable else -math.inf,
            seen_at=now,
            size=reading.box[3],
        )

    def _follow(self, track: _Track, reading: Reading, probabilities: list[float], now: float) -> Change | None:
        track.seen_at = now
        track.size = reading.box[3]
        if reading.quality >= self._settings.min_quality:
            self._smooth(track, probabilities, now)
        if not track.confirmed:
            return self._confirm(track, reading, now) if now - track.since >= CONFIRM_S else None
        return self._update(track, reading, now)

    def _confirm(self, track: _Track, reading: Reading, now: float) -> Change:
        """Show a face for the first time."""
        track.confirmed, track.since = True, now
        track.shown = self._next_label(track, now, reliable=reading.quality >= self._settings.min_quality)
        return Change(
            track_id=reading.track_id,
            expression=self._name(track.shown),
            previous=None,
            confidence=_confidence(track),
            since=now,
            duration_s=0.0,
        )

    def _update(self, track: _Track, reading: Reading, now: float) -> Change | None:
        """Show another label, if it is time."""
        reliable = reading.quality >= self._settings.min_quality
        label, shown_for = self._next_label(track, now, reliable=reliable), now - track.since
        if label == track.shown or shown_for < self._settings.dwell_s:
            return None
        previous = self._name(track.shown)
        track.shown, track.since, track.below_since = label, now, NEVER
        return Change(
            track_id=reading.track_id,
            expression=self._name(label),
            previous=previous,
            confidence=_confidence(track),
            since=now,
            duration_s=shown_for,
        )

    def _smooth(self, track: _Track, probabilities: list[float], now: float) -> None:
        """Apply `probabilities` to the time since the last reliable reading."""
        tau, leave = self._settings.smoothing_s, self._settings.leave
        decay = math.exp((track.reliable_at - now) / tau) if tau > 0 else 0.0
        previous = track.smoothed
        track.smoothed = [p + (s - p) * decay for p, s in zip(probabilities, previous, strict=True)]
        if track.shown is not None:
            if track.smoothed[track.shown] >= leave:
                track.below_since = NEVER
            elif track.below_since == NEVER:
                # `hold_s` starts where the exponential crosses `leave`, somewhere between the two readings.
                # Starting at either of them would break the accuracy of one frame that this module promises.
                s, p = previous[track.shown], probabilities[track.shown]
                track.below_since = min(now, track.reliable_at + tau * math.log((s - p) / (leave - p)))
        track.reliable_at = now

    def _next_label(self, track: _Track, now: float, *, reliable: bool) -> int | None:
        """The label to show next, None for uncertain, regardless of `dwell_s`."""
        if not reliable and now - track.reliable_at >= self._settings.hold_s:
            return None
        highest = max(track.smoothed)
        shown = track.shown
        # On a tie, the shown label stays.
        if highest >= self._settings.enter and (shown is None or track.smoothed[shown] < highest):
            return track.smoothed.index(highest)
        if shown is not None and now - track.below_since >= self._settings.hold_s:
            return None
        return shown

    def _lost(self, now: float) -> list[int]:
        """Ids of the tracks that have been missing for `hold_s` and whose last change was `dwell_s` ago."""
        hold_s, dwell_s = self._settings.hold_s, self._settings.dwell_s
        return [
            track_id
            for track_id, track in self._tracks.items()
            if track.confirmed
            and track.seen_at < now
            and now - track.seen_at >= hold_s
            and now - track.since >= dwell_s
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
    """The smoothed probability of the shown label; the highest of all if the expression is uncertain."""
    return max(track.smoothed) if track.shown is None else track.smoothed[track.shown]
