"""From frames to changes without I/O: the changes follow the script of the demo."""

from __future__ import annotations

import pytest

from edge.bundle import bundle as bundles
from edge.expression import ExpressionMachine
from edge.settings import Settings
from tests.support.released import FUSED_BUNDLE


@pytest.fixture(scope="module")
def changes(demo_readings):
    """The changes in one loop of the demo."""
    machine = ExpressionMachine(bundles.load(FUSED_BUNDLE).labels, Settings().expression)
    return [change for at, _, readings in demo_readings for change in machine.step(readings, at)]


def shown_at(changes, second: float) -> str | None:
    """The expression shown at a time of the demo, s."""
    return [change.expression for change in changes if change.since <= second][-1]


@pytest.mark.parametrize(
    ("second", "expression"),
    [(2, "happiness"), (5, "neutral"), (9, "surprise"), (14, "sadness"), (21, "happiness"), (24, None)],
)
def test_the_expressions_of_the_demo_are_shown(changes, second, expression):
    assert shown_at(changes, second) == expression


def test_the_person_who_returns_is_a_new_face(changes):
    assert [(change.track_id, change.kind) for change in changes if change.kind != "update"] == [
        (1, "new"),
        (1, "end"),
        (2, "new"),
    ]


def test_a_turned_and_moving_face_does_not_flicker(changes):
    assert len(changes) <= 16
