"""From frames to changes without I/O: the demo's script is read back from its pictures."""

from __future__ import annotations

import pytest

from edge.bundle import bundle as bundles
from edge.expression import ExpressionMachine
from edge.settings import Settings
from tests.support.released import FUSED_BUNDLE


@pytest.fixture(scope="module")
def story(demo_readings):
    """Second and change of everything that happens in one round of the demo."""
    machine = ExpressionMachine(bundles.load(FUSED_BUNDLE).labels, Settings().expression)
    return [change for at, _, readings in demo_readings for change in machine.step(readings, at)]


def at(story, second: float) -> str | None:
    """What is shown at a second of the demo."""
    return [change.expression for change in story if change.since <= second][-1]


@pytest.mark.parametrize(
    ("second", "expression"),
    [(2, "happiness"), (5, "neutral"), (9, "surprise"), (14, "sadness"), (21, "happiness"), (24, None)],
)
def test_what_the_demo_plays_is_what_is_shown(story, second, expression):
    assert at(story, second) == expression


def test_the_person_who_comes_back_is_a_new_face(story):
    assert [(change.track_id, change.kind) for change in story if change.kind != "update"] == [
        (1, "new"),
        (1, "end"),
        (2, "new"),
    ]


def test_a_turned_and_moving_face_does_not_flicker(story):
    assert len(story) <= 16
