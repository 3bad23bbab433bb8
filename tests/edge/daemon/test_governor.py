"""The governor stays within its limits, lowers the rate while hot, raises it while cool, and is steady in between."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.daemon.governor import COOLER_C, LOWER_EVERY_S, RAISE_EVERY_S, STEP, Governor
from edge.settings import LoadSettings

HOT_C = 75.0

rates = st.floats(min_value=1, max_value=120)
least = st.floats(min_value=0.2, max_value=120)
pauses = st.floats(min_value=0, max_value=120)
temperatures = st.none() | st.floats(min_value=-40, max_value=120)
flags = st.none() | st.booleans()
conditions = st.lists(st.tuples(pauses, temperatures, flags), max_size=60)
hot = st.tuples(pauses, st.floats(min_value=HOT_C, max_value=120), flags) | st.tuples(
    pauses, temperatures, st.just(value=True)
)
cool = st.tuples(
    pauses, st.none() | st.floats(max_value=HOT_C - COOLER_C, exclude_max=True), st.sampled_from([False, None])
)
between = st.floats(min_value=HOT_C - COOLER_C, max_value=HOT_C, exclude_max=True)


def governor(fps: float = 15.0, least_fps: float = 3.0) -> Governor:
    return Governor(fps, LoadSettings(hot_c=HOT_C, least_fps=least_fps))


def run(one: Governor, steps: list, start: float = 0.0) -> tuple[list[float], float]:
    """The rate after each step, and the time after the last."""
    allowed, now = [], start
    for pause, temperature_c, throttled in steps:
        now += pause
        allowed.append(one.step(now, temperature_c, throttled))
    return allowed, now


@given(rates, least, conditions)
def test_it_never_leaves_its_limits(fps: float, least_fps: float, steps: list):
    allowed, _ = run(governor(fps, least_fps), steps)
    assert all(min(least_fps, fps) <= each <= fps for each in allowed)


@given(conditions, st.lists(hot))
def test_it_never_rises_while_hot(before: list, steps: list):
    one = governor()
    _, now = run(one, before)
    allowed = [one.fps, *run(one, steps, now)[0]]
    assert all(later <= earlier for earlier, later in pairwise(allowed))


@given(conditions, st.lists(cool))
def test_it_never_falls_while_cool(before: list, steps: list):
    one = governor()
    _, now = run(one, before)
    allowed = [one.fps, *run(one, steps, now)[0]]
    assert all(later >= earlier for earlier, later in pairwise(allowed))


@given(rates, least, conditions)
def test_it_reaches_the_full_rate_after_a_long_cool_time(fps: float, least_fps: float, before: list):
    one = governor(fps, least_fps)
    _, now = run(one, before)
    run(one, [(RAISE_EVERY_S, HOT_C - COOLER_C - 1, False)] * 40, now)
    assert one.fps == fps, "exactly, because a slightly lower rate would be reported as lowered"
    assert one.full


@given(rates, least, conditions)
def test_it_reaches_the_minimum_after_a_long_hot_time(fps: float, least_fps: float, before: list):
    one = governor(fps, least_fps)
    _, now = run(one, before)
    allowed, _ = run(one, [(LOWER_EVERY_S, HOT_C, False)] * 40, now + RAISE_EVERY_S)
    assert allowed[-1] == min(least_fps, fps)


@given(conditions, between, st.lists(pauses))
def test_a_constant_temperature_in_the_dead_band_changes_nothing(before: list, temperature_c: float, times: list):
    one = governor()
    _, now = run(one, before)
    rate = one.fps
    allowed, _ = run(one, [(pause, temperature_c, False) for pause in times], now)
    assert set(allowed) <= {rate}


@given(st.floats(min_value=-40, max_value=120), st.lists(pauses, max_size=60))
def test_a_constant_temperature_changes_the_rate_in_one_direction_only(temperature_c: float, times: list):
    allowed, _ = run(governor(), [(pause, temperature_c, False) for pause in times])
    assert allowed in (sorted(allowed), sorted(allowed, reverse=True))


def test_it_lowers_at_once_and_then_every_ten_seconds():
    one = governor(15.0, 3.0)
    allowed = [one.step(now, 80.0, throttled=False) for now in (100.0, 105.0, 110.0, 119.0, 120.0)]
    assert allowed == pytest.approx([15 * STEP, 15 * STEP, 15 * STEP**2, 15 * STEP**2, 15 * STEP**3])


def test_it_raises_by_one_step_in_thirty_seconds():
    one = governor(15.0, 3.0)
    one.step(0.0, 80.0, throttled=False)
    one.step(10.0, 80.0, throttled=False)
    allowed = [one.step(now, 60.0, throttled=False) for now in (20.0, 39.9, 40.0, 60.0, 70.0)]
    assert allowed == pytest.approx([15 * STEP**2, 15 * STEP**2, 15 * STEP, 15 * STEP, 15])


def test_throttling_counts_without_a_temperature():
    one = governor()
    assert one.step(0.0, None, throttled=True) < 15
    assert one.step(60.0, None, throttled=False) == 15


def test_without_sensors_the_rate_is_never_lowered():
    assert run(governor(), [(10.0, None, None)] * 10)[0] == [15.0] * 10


def test_recovery_takes_no_more_steps_than_the_way_down():
    one = governor(15.0, 12.5)
    for i in range(20):
        one.step(i * LOWER_EVERY_S, 80.0, throttled=False)
    assert one.fps == 12.5
    assert one.step(300.0, 60.0, throttled=False) == 15.0
