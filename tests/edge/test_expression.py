"""The expression machine: few, stable changes that do not depend on the frame rate."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge.expression import CONFIRM_S, ExpressionMachine
from edge.settings import ExpressionSettings
from edge.values import UNCERTAIN, Change, Place, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    Film = list[tuple[list[Reading], float]]
    CalmScene = tuple[ExpressionSettings, list["Segment"]]

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SETTINGS = ExpressionSettings(smoothing_s=0.25, enter=0.5, leave=0.35, dwell_s=0.6, hold_s=0.4, min_quality=0.25)
FPS = 20
NEW_AT = (1 + math.ceil(CONFIRM_S * FPS)) / FPS
"""Time at which a `Scene` shows the face that is in it from the first frame on."""

bounded = settings(deadline=None, max_examples=60)


def reading(track: int = 1, *, quality: float = 1.0, size: float = 100.0, **given: float) -> Reading:
    """A reading with the given probabilities; the other labels share the rest."""
    rest = (1 - sum(given.values())) / (len(LABELS) - len(given))
    probabilities = np.array([given.get(label, rest) for label in LABELS], np.float32)
    return Reading(track, probabilities, quality, (0.0, 0.0, size, size))


HAPPY = reading(happiness=0.9)
SAD = reading(sadness=0.9)
VAGUE = reading(happiness=0.2)
BLURRED = reading(happiness=0.9, quality=0.1)


class Scene:
    """A machine that gets readings at FPS, and its changes."""

    def __init__(self, machine_settings: ExpressionSettings = SETTINGS) -> None:
        self.machine = ExpressionMachine(LABELS, machine_settings)
        self.frame = 0
        self.changes: list[Change] = []

    @property
    def now(self) -> float:
        return self.frame / FPS

    def show(self, *readings: Reading, seconds: float) -> list[Change]:
        """Feed the same readings for a time and return the changes."""
        changes = []
        for _ in range(round(seconds * FPS)):
            self.frame += 1
            changes += self.machine.step(readings, self.now)
        self.changes += changes
        return changes


def within_a_frame_after(moment: float, change: Change) -> bool:
    return moment <= change.since <= moment + 1 / FPS + 1e-9


def summary(changes: list[Change]) -> list[tuple[str, str | None, str | None]]:
    return [(change.kind, change.previous, change.expression) for change in changes]


# One face.


def test_a_face_is_shown_once_it_has_been_in_view_for_a_moment():
    scene = Scene()
    (change,) = scene.show(HAPPY, seconds=2)
    assert summary([change]) == [("new", None, "happiness")]
    assert (change.since, change.duration_s) == (NEW_AT, 0.0)
    assert change.confidence == pytest.approx(0.9)


def test_the_first_reading_of_a_face_never_counts():
    scene = Scene()
    scene.show(SAD, seconds=1 / FPS)
    (change,) = scene.show(HAPPY, seconds=2)
    assert summary([change]) == [("new", None, "happiness")]
    assert change.confidence == pytest.approx(0.9)


@pytest.mark.parametrize("fps", [15, 30])
def test_what_is_a_face_for_two_frames_only_is_never_shown(fps: int):
    machine = ExpressionMachine(LABELS, SETTINGS)
    film = [[HAPPY], [HAPPY], *[[]] * fps]
    assert [machine.step(readings, i / fps) for i, readings in enumerate(film)] == [[]] * len(film)
    assert machine.close(10.0) == []


@pytest.mark.parametrize("fps", [4, 5, 6, 7, 7.5, 8, 10, 15, 25, 30, 60])
def test_at_four_frames_a_second_and_more_a_face_is_shown_within_a_quarter_of_a_second(fps: float):
    machine = ExpressionMachine(LABELS, SETTINGS)
    changes = [change for i in range(100) for change in machine.step([HAPPY], i / fps)]
    assert CONFIRM_S <= changes[0].since <= 0.25


def test_the_face_of_a_picture_on_its_own_is_shown_at_once():
    changes = ExpressionMachine(LABELS, SETTINGS).step([HAPPY], 7.0, still=True)
    assert summary(changes) == [("new", None, "happiness")]
    assert (changes[0].since, changes[0].duration_s) == (7.0, 0.0)
    assert changes[0].confidence == pytest.approx(0.9)


@pytest.mark.parametrize("first", [VAGUE, BLURRED], ids=["no label likely enough", "poor quality"])
def test_an_unreadable_face_is_new_and_uncertain(first: Reading):
    changes = Scene().show(first, seconds=1)
    assert summary(changes) == [("new", None, UNCERTAIN)]
    assert changes[0].confidence == pytest.approx(float(first.probabilities.max(axis=None)))


def test_an_expression_is_shown_when_its_smoothed_probability_reaches_enter():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    switched = scene.now
    (change,) = scene.show(SAD, seconds=2)
    assert summary([change]) == [("update", "happiness", "sadness")]
    rises_from = float(HAPPY.probabilities[LABELS.index("sadness")])
    expected = switched + 0.25 * math.log((0.9 - rises_from) / (0.9 - 0.5))
    assert within_a_frame_after(expected, change)
    assert change.duration_s == pytest.approx(change.since - NEW_AT)


def test_a_flicker_shorter_than_the_smoothing_is_not_shown():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    scene.show(SAD, seconds=0.1)
    scene.show(HAPPY, seconds=2)
    assert summary(scene.changes) == [("new", None, "happiness")]


def test_between_leave_and_enter_the_shown_expression_stays_and_no_other_appears():
    scene = Scene()
    between = reading(happiness=0.42, sadness=0.45)
    scene.show(HAPPY, seconds=2)
    assert scene.show(between, seconds=10) == []
    fresh = Scene()
    assert summary(fresh.show(between, seconds=10)) == [("new", None, UNCERTAIN)]


def test_below_leave_the_expression_is_held_and_then_uncertain():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    switched = scene.now
    (change,) = scene.show(VAGUE, seconds=2)
    assert summary([change]) == [("update", "happiness", UNCERTAIN)]
    below = switched + 0.25 * math.log((0.9 - 0.2) / (0.35 - 0.2))
    assert within_a_frame_after(below + 0.4, change)


def test_a_dip_below_leave_that_is_shorter_than_the_hold_is_not_shown():
    scene = Scene(replace(SETTINGS, smoothing_s=0.0))
    scene.show(HAPPY, seconds=2)
    scene.show(VAGUE, seconds=0.3)
    scene.show(HAPPY, seconds=2)
    assert summary(scene.changes) == [("new", None, "happiness")]


def test_an_expression_that_comes_and_goes_within_the_dwell_is_not_shown():
    scene = Scene(replace(SETTINGS, smoothing_s=0.0, dwell_s=1.0))
    scene.show(HAPPY, seconds=NEW_AT + 0.2)
    scene.show(SAD, seconds=0.5)
    scene.show(HAPPY, seconds=2)
    assert summary(scene.changes) == [("new", None, "happiness")]


def test_an_expression_that_lasts_is_shown_when_the_dwell_is_over():
    scene = Scene(replace(SETTINGS, smoothing_s=0.0, dwell_s=1.0))
    scene.show(HAPPY, seconds=0.2)
    (change,) = scene.show(SAD, seconds=2)
    assert change.duration_s == pytest.approx(1.0, abs=1 / FPS)


def test_on_a_tie_the_shown_expression_stays():
    scene = Scene(replace(SETTINGS, enter=0.4, smoothing_s=0.0))
    scene.show(SAD, seconds=2)
    assert scene.show(reading(happiness=0.45, sadness=0.45), seconds=5) == []


# Poor quality.


def test_readings_of_poor_quality_are_ignored():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    assert scene.show(replace(SAD, quality=0.1), seconds=0.35) == []
    (shown,) = scene.machine.shown()
    assert shown.probabilities["sadness"] == pytest.approx(HAPPY.probabilities[LABELS.index("sadness")])


def test_after_only_poor_readings_for_hold_s_the_face_is_uncertain_until_a_good_one():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    left = scene.now
    (change,) = scene.show(BLURRED, seconds=2)
    assert summary([change]) == [("update", "happiness", UNCERTAIN)]
    assert within_a_frame_after(left + 0.4, change)
    assert summary(scene.show(HAPPY, seconds=1 / FPS)) == [("update", UNCERTAIN, "happiness")]


def test_a_new_expression_starts_with_a_fresh_hold_time():
    scene = Scene(replace(SETTINGS, smoothing_s=0.0, dwell_s=0.0))
    scene.show(HAPPY, seconds=2)
    scene.show(VAGUE, seconds=0.3)
    scene.show(SAD, seconds=1 / FPS)
    scene.show(BLURRED, seconds=0.3)
    assert summary(scene.changes) == [("new", None, "happiness"), ("update", "happiness", "sadness")]


def test_the_first_good_reading_after_poor_ones_counts_in_full():
    scene = Scene(replace(SETTINGS, dwell_s=0.0))
    scene.show(BLURRED, seconds=NEW_AT)
    assert summary(scene.show(SAD, seconds=1 / FPS)) == [("update", UNCERTAIN, "sadness")]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["probability", "quality", "box"])
def test_a_reading_that_is_not_finite_is_ignored(where: str, bad: float):
    broken = {
        "probability": replace(SAD, probabilities=np.array([bad, *SAD.probabilities[1:]], np.float32)),
        "quality": replace(SAD, quality=bad),
        "box": replace(SAD, box=(0.0, 0.0, 1.0, bad)),
    }[where]
    assert ExpressionMachine(LABELS, SETTINGS).step([broken], 0.0) == []
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    before = scene.machine.shown()
    scene.show(broken, seconds=0.3)
    assert scene.machine.shown() == before


def test_a_reading_for_other_labels_is_rejected():
    with pytest.raises(ValueError, match="8 probabilities for 2 labels"):
        ExpressionMachine(("open", "closed"), SETTINGS).step([HAPPY], 0.0)


def test_leave_above_enter_is_rejected():
    with pytest.raises(ValueError, match="leave"):
        ExpressionMachine(LABELS, replace(SETTINGS, leave=0.6))


# Absence.


def test_a_missing_face_is_held_and_then_ends():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    left = scene.now
    (change,) = scene.show(seconds=2)
    assert summary([change]) == [("end", "happiness", None)]
    assert within_a_frame_after(left + 0.4, change)
    assert change.confidence == pytest.approx(0.9)
    assert change.duration_s == pytest.approx(change.since - NEW_AT)
    assert scene.machine.shown() == ()


def test_a_face_that_returns_within_the_hold_continues_without_a_change():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    scene.show(seconds=0.35)
    assert len(scene.machine.shown()) == 1
    scene.show(HAPPY, seconds=2)
    assert summary(scene.changes) == [("new", None, "happiness")]


def test_a_face_that_returns_after_its_end_is_new():
    scene = Scene()
    scene.show(HAPPY, seconds=2)
    scene.show(seconds=2)
    scene.show(SAD, seconds=2)
    assert [change.kind for change in scene.changes] == ["new", "end", "new"]
    assert scene.changes[-1].expression == "sadness"


def test_a_brief_face_is_shown_for_dwell_s():
    scene = Scene(replace(SETTINGS, dwell_s=1.0, hold_s=0.1))
    scene.show(HAPPY, seconds=NEW_AT)
    (end,) = scene.show(seconds=2)
    assert 1.0 <= end.duration_s <= 1.0 + 1 / FPS + 1e-9


def test_without_a_hold_an_absent_face_ends_and_a_present_one_does_not():
    scene = Scene(replace(SETTINGS, hold_s=0.0, dwell_s=0.0))
    assert summary(scene.show(HAPPY, seconds=2)) == [("new", None, "happiness")]
    assert summary(scene.show(seconds=1 / FPS)) == [("end", "happiness", None)]


def test_close_ends_every_face_at_once():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([replace(SAD, track_id=2), HAPPY], 0.0, still=True)
    changes = machine.close(0.1)
    assert [(change.track_id, change.kind, change.duration_s) for change in changes] == [
        (1, "end", 0.1),
        (2, "end", 0.1),
    ]
    assert machine.shown() == ()
    assert machine.close(0.2) == []


# Time.


def test_after_a_long_pause_the_first_reading_counts_in_full():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([HAPPY], 0.0, still=True)
    (change,) = machine.step([SAD], 3600.0)
    assert summary([change]) == [("update", "happiness", "sadness")]
    assert change.confidence == pytest.approx(0.9)
    assert change.duration_s == 3600.0


def test_after_a_long_pause_a_missing_face_ends():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([HAPPY], 0.0, still=True)
    assert summary(machine.step([], 3600.0)) == [("end", "happiness", None)]


@pytest.mark.parametrize("later", [5.0, 1.0], ids=["the same time", "an earlier time"])
def test_time_that_does_not_advance_changes_nothing(later: float):
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([HAPPY], 5.0, still=True)
    before = machine.shown()
    assert machine.step([SAD], later) == []
    assert machine.step([], later) == []
    assert machine.shown() == before
    assert machine.close(later)[0].duration_s == 0.0


# What is shown.


def test_the_largest_face_is_shown_first():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([reading(1, size=50), reading(2, size=200), reading(3, size=100)], 0.0, still=True)
    assert [(shown.track_id, shown.size) for shown in machine.shown()] == [(2, 200), (3, 100), (1, 50)]


def test_the_order_follows_the_faces_as_they_move():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([reading(1, size=50), reading(2, size=200)], 0.0, still=True)
    machine.step([reading(1, size=90), reading(2, size=80)], 0.1)
    assert [(shown.track_id, shown.size) for shown in machine.shown()] == [(1, 90), (2, 80)]


def test_shown_carries_the_smoothed_probabilities_by_label():
    machine = ExpressionMachine(LABELS, SETTINGS)
    machine.step([reading(happiness=0.8, sadness=0.2)], 3.0, still=True)
    machine.step([reading(sadness=0.9, happiness=0.1)], 3.1)
    (shown,) = machine.shown()
    decay = math.exp(-0.1 / 0.25)
    assert shown.probabilities["happiness"] == pytest.approx(0.1 + (0.8 - 0.1) * decay, abs=1e-6)
    assert tuple(shown.probabilities) == LABELS
    assert (shown.expression, shown.since) == ("happiness", 3.0)
    assert shown.confidence == shown.probabilities["happiness"]


# Properties that hold for any input.

times = st.sampled_from([0.0, 0.05, 0.25, 0.6]) | st.floats(0, 5, allow_subnormal=False)
shares = st.floats(0, 1, allow_subnormal=False)


@st.composite
def any_settings(draw: st.DrawFn) -> ExpressionSettings:
    low, high = sorted((draw(shares), draw(shares)))
    tau, dwell, hold = draw(st.tuples(times, times, times))
    return ExpressionSettings(
        smoothing_s=tau, enter=high, leave=low, dwell_s=dwell, hold_s=hold, min_quality=draw(shares)
    )


@st.composite
def any_reading(draw: st.DrawFn, track: int) -> Reading:
    # Usually one label stands out, as in the output of a classifier.
    weights = np.array(draw(st.lists(st.integers(0, 4), min_size=8, max_size=8)), np.float32) + 0.1
    weights[draw(st.integers(0, 7))] *= draw(st.sampled_from([1, 5, 50]))
    broken = draw(st.integers(0, 19)) == 0
    probabilities = np.full(8, math.nan, np.float32) if broken else weights / weights.sum()
    quality = draw(st.sampled_from([1.0, 1.0, 0.5, 0.1]))
    return Reading(track, probabilities, quality, (0.0, 0.0, 1.0, draw(st.sampled_from([40.0, 80.0, 160.0]))))


@st.composite
def any_film(draw: st.DrawFn) -> Film:
    """Frames of up to three faces, with pauses, stalls and clocks that go back: (readings, now)."""
    frames, now = [], 0.0
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from([0.02, 0.07, 0.07, 0.2, 0.7, 3.0, 60.0, 0.0, -0.05]))
        tracks = draw(st.sampled_from([{1}, {1, 2}, {1, 2, 3}, {1, 3}, {2}, set()]))
        frames.append(([draw(any_reading(track)) for track in sorted(tracks)], now))
    return frames


def play(film: Film, machine_settings: ExpressionSettings) -> tuple[list[Change], list[Change]]:
    """The changes of a film, and those of `close` after it."""
    machine = ExpressionMachine(LABELS, machine_settings)
    changes = [change for readings, now in film for change in machine.step(readings, now)]
    return changes, machine.close(film[-1][1])


def by_track(changes: Iterable[Change]) -> dict[int, list[Change]]:
    tracks = defaultdict(list)
    for change in changes:
        tracks[change.track_id].append(change)
    return tracks


@bounded
@given(any_film(), any_settings())
def test_two_changes_of_a_face_are_never_closer_than_the_dwell(film: Film, machine_settings: ExpressionSettings):
    changes, _ = play(film, machine_settings)
    for track in by_track(changes).values():
        for one, other in pairwise(track):
            if one.kind != "end":
                assert other.since - one.since >= machine_settings.dwell_s


@bounded
@given(any_film(), any_settings())
def test_a_track_is_one_new_then_consistent_updates_then_one_end(film: Film, machine_settings: ExpressionSettings):
    changes, closing = play(film, machine_settings)
    for track in by_track(changes + closing).values():
        shown = None
        for change in track:
            assert change.previous == shown
            assert change.expression != shown
            shown = change.expression
        assert track[0].kind == "new"
        assert track[-1].kind == "end"
        kinds = [change.kind for change in track]
        assert kinds.count("new") == kinds.count("end")


@bounded
@given(any_film(), any_settings())
def test_the_durations_of_a_track_add_up(film: Film, machine_settings: ExpressionSettings):
    changes, closing = play(film, machine_settings)
    for track in by_track(changes + closing).values():
        began, total = 0.0, 0.0
        for change in track:
            assert change.duration_s >= 0
            if change.kind == "new":
                began, total = change.since, 0.0
            total += change.duration_s
            assert began + total == pytest.approx(change.since)


@bounded
@given(any_film(), any_settings())
def test_the_shown_faces_agree_with_the_changes(film: Film, machine_settings: ExpressionSettings):
    machine = ExpressionMachine(LABELS, machine_settings)
    expected = {}
    for readings, now in film:
        for change in machine.step(readings, now):
            expected[change.track_id] = (change.expression, change.since)
            if change.kind == "end":
                del expected[change.track_id]
        assert {shown.track_id: (shown.expression, shown.since) for shown in machine.shown()} == expected
        sizes = [shown.size for shown in machine.shown()]
        assert sizes == sorted(sizes, reverse=True)
        for shown in machine.shown():
            confidence = shown.probabilities.get(shown.expression, max(shown.probabilities.values()))
            assert shown.confidence == confidence
            assert 0 <= shown.confidence <= 1 + 1e-6


@bounded
@given(any_film(), any_settings(), st.randoms(use_true_random=False))
def test_the_order_of_the_faces_in_a_frame_does_not_matter(
    film: Film, machine_settings: ExpressionSettings, random: Random
):
    shuffled = [(random.sample(readings, len(readings)), now) for readings, now in film]
    assert play(shuffled, machine_settings) == play(film, machine_settings)


@bounded
@given(any_film(), any_settings())
def test_faces_do_not_influence_each_other(film: Film, machine_settings: ExpressionSettings):
    together = by_track(chain(*play(film, machine_settings)))
    for track in (1, 2, 3):
        alone = [([one for one in readings if one.track_id == track], now) for readings, now in film]
        assert list(chain(*play(alone, machine_settings))) == together[track]


# The frame rate. The reference below is a closed formula, not a simulation: between two switches of the signal every
# smoothed probability is an exponential, and the time at which it crosses a threshold is known exactly.

SLOWEST = 5.0
FRAME = 1 / SLOWEST


@dataclass(frozen=True)
class Segment:
    """A time in which the camera sees the same."""

    kind: str  # clear, vague, poor, gone
    label: int
    probability: float
    seconds: float

    def probabilities(self) -> list[float]:
        values = [(1 - self.probability) / 7] * 8
        values[self.label] = self.probability
        return values


class Ideal:
    """The changes at an infinite frame rate, segment by segment."""

    def __init__(self, rules: ExpressionSettings) -> None:
        self.rules = rules
        self.changes: list[tuple[float, str | None]] = []
        self.shown: str | None = None
        self.smoothed: list[float] = []
        self.reliable_until = -math.inf
        self.now = 0.0

    def advance(self, segment: Segment) -> None:
        """Append the changes of one segment. Discards examples that depend on single frames."""
        end = self.now + segment.seconds
        if segment.kind == "gone":
            self.change(self.now + self.rules.hold_s, None)
        elif segment.kind == "poor":
            first = self.shown is None
            self.change(self.now + (CONFIRM_S if first else self.rules.hold_s), UNCERTAIN)
            if first:
                self.smoothed, self.reliable_until = segment.probabilities(), -math.inf
        else:
            if self.shown is None:
                self.smoothed, self.reliable_until = segment.probabilities(), -math.inf
            self.follow(segment)
            decay = math.exp((self.reliable_until - end) / self.rules.smoothing_s)
            both = zip(self.smoothed, segment.probabilities(), strict=True)
            self.smoothed = [p + (s - p) * decay for s, p in both]
            self.reliable_until = end
        self.now = end

    def follow(self, segment: Segment) -> None:
        """The changes of a segment with good readings."""
        target = segment.probabilities()
        enters = leaves = math.inf
        if segment.kind == "clear" and self.shown != LABELS[segment.label]:
            enters = self.crossing(segment.label, target, self.rules.enter) + (CONFIRM_S if self.shown is None else 0)
        elif self.shown is None:
            leaves = self.now + CONFIRM_S
        if self.shown in LABELS and target[LABELS.index(self.shown)] < self.rules.leave:
            leaves = self.crossing(LABELS.index(self.shown), target, self.rules.leave) + self.rules.hold_s
        # If two events fall into one frame, no camera can tell which came first.
        assume(enters == leaves or abs(enters - leaves) > 2 * FRAME)
        if leaves < enters:
            self.change(leaves, UNCERTAIN)
            # The accuracy of one frame is not promised to a change that waits for `dwell_s`.
            assume(enters > leaves + self.rules.dwell_s + 2 * FRAME)
        if enters < math.inf:
            self.change(enters, LABELS[segment.label])

    def crossing(self, label: int, target: list[float], level: float) -> float:
        """Time at which the label's exponential, which starts at the last good reading, crosses the level."""
        start, goal = self.smoothed[label], target[label]
        if self.reliable_until == -math.inf or (start >= level) == (goal >= level):
            return self.now
        return max(self.now, self.reliable_until + self.rules.smoothing_s * math.log((start - goal) / (level - goal)))

    def change(self, at: float, shown: str | None) -> None:
        if shown != self.shown:
            self.changes.append((at, shown))
        self.shown = shown


@st.composite
def calm_scene(draw: st.DrawFn) -> CalmScene:
    """Settings, and a signal whose switches are so far apart that every change happens in between."""
    enter = draw(st.floats(0.5, 0.75))
    rules = ExpressionSettings(
        smoothing_s=draw(st.floats(0.02, 0.6)),
        enter=enter,
        leave=draw(st.floats(0.2, enter)),
        dwell_s=draw(st.floats(0, 1)),
        hold_s=draw(st.floats(0.05, 2)),
        min_quality=0.25,
    )
    settled = 12 * rules.smoothing_s + rules.hold_s + 2 * rules.dwell_s + 4 * FRAME
    segments = []
    for kind in draw(st.lists(st.sampled_from(["clear", "clear", "vague", "poor", "gone"]), min_size=1, max_size=6)):
        probability = draw(st.floats(enter + 0.05, 1)) if kind == "clear" else draw(st.floats(0.125, enter - 0.05))
        assume(abs(probability - rules.leave) > 0.02)
        assume(abs((1 - probability) / 7 - rules.leave) > 0.02)
        segments.append(Segment(kind, draw(st.integers(0, 7)), probability, settled + draw(st.floats(0, 1))))
    return rules, segments


def sampled_changes(
    segments: list[Segment], rules: ExpressionSettings, fps: float, phase: float
) -> list[tuple[float, str | None]]:
    """The changes of the machine when a camera of `fps` samples the signal, `phase` of a frame late."""
    machine = ExpressionMachine(LABELS, rules)
    ends = np.cumsum([segment.seconds for segment in segments])
    changes, frame = [], 0
    while (now := (frame + phase) / fps) < ends[-1]:
        segment = segments[int(np.searchsorted(ends, now, side="right"))]
        readings = []
        if segment.kind != "gone":
            probabilities = np.array(segment.probabilities(), np.float32)
            readings = [Reading(1, probabilities, 0.1 if segment.kind == "poor" else 0.9, (0.0, 0.0, 9.0, 9.0))]
        changes += [(change.since, change.expression) for change in machine.step(readings, now)]
        frame += 1
    return changes


@settings(deadline=None, max_examples=300)
@given(calm_scene(), st.lists(st.tuples(st.floats(SLOWEST, 60), st.floats(0, 1)), min_size=2, max_size=2))
def test_any_two_frame_rates_give_the_same_changes_within_one_frame_of_the_ideal(
    scene: CalmScene, cameras: list[tuple[float, float]]
):
    rules, segments = scene
    ideal = Ideal(rules)
    for segment in segments:
        ideal.advance(segment)
    for fps, phase in cameras:
        changes = sampled_changes(segments, rules, fps, phase)
        assert [what for _, what in changes] == [what for _, what in ideal.changes]
        shown = None
        for (seen_at, what), (happened_at, _) in zip(changes, ideal.changes, strict=True):
            # A face is first found and then confirmed, each at most one frame late.
            frames = 2 if shown is None else 1
            # One millisecond for what remains of earlier segments after twelve time constants.
            assert abs(seen_at - happened_at) <= frames / fps + 1e-3
            shown = what


def test_changes_and_faces_shown_say_where_the_face_was_last_seen():
    machine = ExpressionMachine(LABELS, SETTINGS)
    here, there = Place(0.2, 0.5, 1.0), Place(0.8, 0.5, 3.0)
    (new,) = machine.step([replace(HAPPY, place=here)], 0.0, still=True)
    machine.step([replace(BLURRED, place=there)], 0.1)
    assert new.place == here
    assert [face.place for face in machine.shown()] == [there], "also from readings that are too poor to count"
    machine.step([], 0.2)
    assert [face.place for face in machine.shown()] == [there], "a held face is where it was"
    (end,) = machine.close(0.3)
    assert end.place == there
