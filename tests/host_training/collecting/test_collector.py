"""What keys do, without a browser: who asks, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge.errors import UsageError
from host_training.collecting.collector import NO_CONSENT, NO_LABEL, PERIOD_S, Collector
from host_training.collecting.measuring import NO_FACE
from host_training.collecting.store import Store
from tests.support.people import no_room_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from host_training.collecting.measuring import Conditions
    from host_training.collecting.samples import Measured

pytest_plugins = ["tests.support.people"]

ANNA = {"do": "record", "subject": "anna", "session": "monday", "consent": True}
SMILE, FROWN = {"do": "label", "label": 1}, {"do": "label", "label": 4}
STOP, UNDO = {"do": "stop"}, {"do": "undo"}


class Panel:
    """A collector with what stands round it in the command."""

    def __init__(self, store: Store, seen: Callable[..., Measured]) -> None:
        self.said: list[str] = []
        self.store = store
        self.collector = Collector(store, subject="", session="", consent=False, pictures=False, say=self.said.append)
        self._seen = seen
        self._now = 0.0

    def perform(self, *actions: dict[str, Any]) -> None:
        for each in actions:
            self.collector.perform(each)

    def see(self, frames: int, found: str = "") -> None:
        """Frames as a camera delivers them, 15 a second."""
        for _ in range(frames):
            self._now += 1 / 15
            due = self.collector.due(self._now)
            if due is not None:
                self.collector.add(due, found or self._seen())

    @property
    def state(self) -> dict[str, Any]:
        return self.collector.state()


@pytest.fixture
def panel(tmp_path: Path, conditions: Conditions, seen: Callable[..., Measured]) -> Iterator[Panel]:
    with Store(tmp_path / "mine.parquet", conditions, say=lambda _: None) as store:
        yield Panel(store, seen)


def test_k_1_n_records_happiness(panel: Panel):
    panel.see(15)
    assert panel.state["recording"] is False
    panel.perform(ANNA)
    panel.see(15)
    assert (panel.state["recording"], panel.state["note"], panel.store.coverage.rows) == (True, NO_LABEL, 0)
    panel.perform(SMILE)
    panel.see(15)
    assert panel.state["rows"] == pytest.approx(1 / PERIOD_S, abs=2)
    rows = panel.state["rows"]
    panel.perform(STOP)
    panel.see(15)
    assert (panel.state["recording"], panel.store.coverage.rows) == (False, rows)
    assert panel.state["undo"] == f"happiness, {rows} rows of anna"
    assert panel.store.coverage.counts()[1].sum() == rows


def test_no_more_than_five_rows_a_second(panel: Panel):
    panel.perform(SMILE, ANNA)
    panel.see(15 * 60)
    assert panel.state["rows"] <= 60 / PERIOD_S + 1


def test_another_label_is_another_take(panel: Panel):
    panel.perform(ANNA, SMILE)
    panel.see(15)
    panel.perform(FROWN)
    panel.see(15)
    assert panel.state["undo"].startswith("anger, ")
    panel.perform(UNDO)
    assert panel.state["undo"].startswith("happiness, ")
    assert panel.state["recording"] is False
    assert panel.state["note"].startswith("undone: ")
    panel.perform(UNDO)
    assert panel.state["undo"] == ""
    with pytest.raises(UsageError, match="nothing to undo"):
        panel.perform(UNDO)
    assert panel.store.coverage.rows == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"consent": False}, NO_CONSENT),
        ({"subject": ""}, "the subject is missing"),
        ({"session": " "}, "the session is missing"),
        ({"subject": "../etc"}, "cannot be used"),
        ({"session": "Zoë"}, "cannot be used"),
        ({"subject": 7}, "another version"),
        ({"consent": 1}, "another version"),
        ({"do": "dance"}, "another version"),
    ],
)
def test_reports_what_cannot_be_recorded_in_one_line(panel: Panel, change: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as error:
        panel.perform({**ANNA, **change})
    assert "\n" not in str(error.value)
    panel.perform(SMILE)
    panel.see(30)
    assert panel.store.coverage.rows == 0


@pytest.mark.parametrize("label", [8, 9, -1, "1", None, 1.5, True])
def test_refuses_an_unknown_label(panel: Panel, label: object):
    with pytest.raises(UsageError):
        panel.perform({"do": "label", "label": label})
    assert panel.state["label"] is None


def test_shows_why_nothing_is_recorded(panel: Panel):
    panel.perform(SMILE, ANNA)
    panel.see(15, NO_FACE)
    assert panel.state["note"] == f"not recorded: {NO_FACE}"
    assert panel.state["rows"] == 0
    panel.see(15)
    assert panel.state["note"] == ""
    assert panel.state["rows"] > 0


def test_drops_a_frame_that_was_in_progress_at_the_stop(panel: Panel, seen: Callable[..., Measured]):
    panel.perform(SMILE, ANNA)
    for asked in ([STOP], [FROWN], [STOP, ANNA], [UNDO]):
        panel.see(15)
        panel.perform(ANNA)
        rows = panel.store.coverage.rows
        due = panel.collector.due(1e9)
        assert due is not None
        panel.perform(*asked)
        panel.collector.add(due, seen())
        assert panel.store.coverage.rows <= rows


def test_a_disk_error_ends_the_recording_with_one_line(panel: Panel):
    panel.perform(SMILE, ANNA)
    panel.see(15)
    rows = panel.state["rows"]

    with no_room_for(panel.store._journal):
        panel.see(15)
    assert panel.state["recording"] is False
    assert "journal cannot be written: disk I/O error" in panel.state["note"]
    assert panel.said == [panel.state["note"]]
    assert panel.store.coverage.rows == rows
    panel.perform(ANNA)
    panel.see(15)
    assert panel.store.coverage.rows > rows
