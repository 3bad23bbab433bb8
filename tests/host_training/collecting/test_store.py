from __future__ import annotations

import dataclasses
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge.errors import NoInputError, OutputError, UnavailableError, UsageError
from host_training.collecting import store as stores
from host_training.collecting.journal import path_of
from host_training.collecting.pictures import Pictures, list_of
from host_training.collecting.samples import Take
from host_training.collecting.store import KNOWN, Store
from host_training.data import keypoints, parquet, tables
from host_training.data.keypoints import MESH, SPLITS
from host_training.data.splits import disjoint
from host_training.errors import TableError
from host_training.importers.pictures import pictures_of
from tests.support.people import ON_EACH_SIDE, files_of, kill, no_room_for, small_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.collecting.measuring import Conditions
    from host_training.collecting.samples import Measured

pytest_plugins = ["tests.support.people"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "mine.parquet"


@pytest.fixture
def opened(out: Path, conditions: Conditions) -> Callable[..., Store]:
    def make(**options: Any) -> Store:
        return Store(out, conditions, **{"say": lambda _: None, **options})

    return make


@pytest.fixture
def record(opened: Callable[..., Store], seen: Callable[..., Measured]) -> Callable[..., None]:
    """Records a take of somebody, and writes the table."""

    def make(subject: str, rows: int = 3, session: str = "monday", label: int = 1, **options: object) -> None:
        with opened(**options) as store:
            take = store.new_take(subject, session, label)
            for _ in range(rows):
                assert store.add(take, seen()) == ""

    return make


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_recorded_rows_become_a_keypoint_table(out: Path, record: Callable[..., None]):
    for person in ON_EACH_SIDE.values():
        record(person)
    record(ON_EACH_SIDE["train"], session="tuesday", label=4)

    table, notes = tables.load(out)
    assert notes == []
    assert set(table.data_set.tolist()) == {"collected"}
    assert [table.split[table.subject == person].tolist() for person in ON_EACH_SIDE.values()] == [
        ["train"] * 6,
        ["validation"] * 3,
        ["test"] * 3,
    ]
    assert table.source.tolist()[-1] == f"{ON_EACH_SIDE['train']}/tuesday/001-anger/0003.png"
    assert table.label.tolist() == [1] * 9 + [4] * 3
    assert not table.votes.any()
    assert set(table.mesh.tolist()) == {MESH}
    assert table.presence == pytest.approx(0.9)
    assert disjoint(table)[1] == {}
    assert names(out.parent) == {"mine.parquet"}


def test_a_take_gets_the_next_number_of_its_session_in_the_next_run_too(out: Path, record: Callable[..., None]):
    record("anna", 1)
    record("anna", 1)
    record("anna", 1, session="tuesday")

    assert parquet.read(out).source.tolist() == [
        "anna/monday/001-happiness/0001.png",
        "anna/monday/002-happiness/0001.png",
        "anna/tuesday/001-happiness/0001.png",
    ]


def test_recovers_a_run_that_was_killed(
    out: Path, opened: Callable[..., Store], seen: Callable[..., Measured], record: Callable[..., None]
):
    record("anna")
    store = opened()
    take = store.new_take("ben", "monday", 2)
    for _ in range(4):
        store.add(take, seen())
    kill(store._journal)
    said: list[str] = []

    with opened(say=said.append) as again:
        assert again.coverage.rows == 7
        assert len(parquet.read(out)) == 7  # at the start already
        again.add(again.new_take("ben", "monday", 2), seen())

    assert said == ["4 rows of an interrupted run were added"]
    assert parquet.read(out).source.tolist()[-2:] == [
        "ben/monday/001-surprise/0004.png",
        "ben/monday/002-surprise/0001.png",
    ]


def test_rows_that_reached_the_table_before_the_journal_was_cleared_are_not_added_twice(
    out: Path, opened: Callable[..., Store], seen: Callable[..., Measured]
):
    store = opened()
    take = store.new_take("anna", "monday", 1)
    for _ in range(3):
        store.add(take, seen())
    journal = {path: path.read_bytes() for path in files_of(path_of(out))}
    store.__exit__(None, None, None)
    assert files_of(path_of(out)) == []
    for path, data in journal.items():
        path.write_bytes(data)

    with opened() as again:
        assert again.coverage.rows == 3
    assert len(parquet.read(out)) == 3


def test_a_row_that_did_not_reach_the_disk_is_not_counted_and_those_that_did_are_kept(
    out: Path, opened: Callable[..., Store], seen: Callable[..., Measured]
):
    store, same = opened(), seen()
    take = store.new_take(ON_EACH_SIDE["train"], "monday", 1)
    with no_room_for(store._journal), pytest.raises(OutputError, match="disk I/O error"):
        store.add(take, same)
    store.add(take, seen())
    store.add(store.new_take(ON_EACH_SIDE["test"], "monday", 1), same)
    kill(store._journal)

    with opened() as again:
        assert again.coverage.rows == 2
    assert parquet.read(out).split.tolist() == ["train", "test"]


def test_a_take_that_is_undone_leaves_nothing(
    out: Path, opened: Callable[..., Store], seen: Callable[..., Measured], tmp_path: Path
):
    one, two = seen(), seen()
    with opened(pictures=Pictures(tmp_path / "pictures")) as store:
        kept, undone = store.new_take("anna", "monday", 1), store.new_take("anna", "monday", 2)
        store.add(kept, one)
        store.add(undone, two)
        assert store.last_take() == undone
        assert store.undo(undone) == 1
        assert (store.last_take(), store.coverage.rows) == (kept, 1)
        assert store.add(store.new_take("anna", "monday", 3), two) == ""  # it is not known any more

    assert parquet.read(out).source.tolist() == [
        "anna/monday/001-happiness/0001.png",
        "anna/monday/003-sadness/0001.png",
    ]
    assert names(tmp_path / "pictures" / "collected" / "anna" / "monday") == {"001-happiness", "003-sadness"}


def test_adds_the_same_picture_only_once(out: Path, opened: Callable[..., Store], seen: Callable[..., Measured]):
    same = seen()
    with opened() as store:
        store.add(store.new_take(ON_EACH_SIDE["train"], "monday", 1), same)
        assert store.add(store.new_take(ON_EACH_SIDE["test"], "monday", 1), same) == KNOWN
    with opened() as store:
        assert store.add(store.new_take(ON_EACH_SIDE["test"], "monday", 1), same) == KNOWN
    assert len(parquet.read(out)) == 1


def test_a_person_stays_on_the_side_where_the_table_has_them(out: Path, record: Callable[..., None]):
    person = ON_EACH_SIDE["train"]
    record(person)
    moved = parquet.read(out)
    parquet.write(dataclasses.replace(moved, split=np.full(len(moved), "test")), out)

    record(person)

    assert parquet.read(out).split.tolist() == ["test"] * 6


def test_a_table_of_another_kind_is_left_alone(out: Path, opened: Callable[..., Store], table: keypoints.Table):
    parquet.write(table, out)
    before = out.read_bytes()

    with pytest.raises(TableError, match="collect into another table"):
        opened()
    out.write_text("hello")
    with pytest.raises(TableError, match="not a complete keypoint table"):
        opened()
    out.write_bytes(before)
    with pytest.raises(TableError, match="rows that were not collected"):
        stores.remove(out, "anna")
    assert out.read_bytes() == before
    assert names(out.parent) == {"mine.parquet"}


def test_two_programs_do_not_collect_into_one_table(opened: Callable[..., Store], out: Path):
    with opened(), pytest.raises(UnavailableError, match="another program collects into the same table"):
        opened()
    assert names(out.parent) == set()


def test_a_full_disk_costs_the_row_that_did_not_fit(
    tmp_path: Path, conditions: Conditions, seen: Callable[..., Measured]
):
    with small_disk(tmp_path / "disk", "1M") as disk:
        out, keep = disk / "mine.parquet", Pictures(disk / "pictures")
        store = Store(out, conditions, pictures=keep, say=lambda _: None)
        take = store.new_take("anna", "monday", 1)
        with pytest.raises(OutputError, match="No space left on device"):
            [store.add(take, seen()) for _ in range(10_000)]
        rows = store.rows(take)
        assert rows > 20
        with pytest.raises(OutputError, match="No space left on device"):
            store.add(take, seen())
        with pytest.raises(OutputError, match=r"the recorded rows are safe beside it: run the command again"):
            store.__exit__(None, None, None)
        kept = [path for path in keep.folder.rglob("*") if path.is_file()]
        assert len(kept) == rows
        for path in kept:
            path.unlink()
        with Store(out, conditions, say=lambda _: None) as again:
            assert again.coverage.rows == rows
        assert len(parquet.read(out)) == rows


def test_kept_pictures_are_found_by_the_command_that_cuts_faces_out(
    out: Path, record: Callable[..., None], tmp_path: Path
):
    record("anna", pictures=Pictures(tmp_path / "pictures"))

    table = parquet.read(out)
    found = pictures_of(table, [f"folder:{tmp_path / 'pictures' / 'collected'}"])
    assert sorted(found) == [0, 1, 2]
    assert [int(found[row].load()[0, 0, 0]) for row in range(3)] == table.group.tolist()


class TestRemove:
    def test_nothing_of_a_person_is_left(self, out: Path, record: Callable[..., None], tmp_path: Path):
        keep = Pictures(tmp_path / "pictures")
        record("anna", pictures=keep)
        record("ben", pictures=keep)
        record("anna-2")
        keypoints.decisions_path(out).write_text(
            "id,action,detail,reason\ncollected/anna/monday/001-happiness/0001.png,drop,,blurred\n"
            "collected/ben/monday/001-happiness/0001.png,keep,collected/anna/monday/001-happiness/0002.png,\n"
            "collected/ben/monday/001-happiness/0002.png,drop,,dark\n"
        )
        partial = out.with_name(".mine.parquet.partial")
        partial.write_bytes(b"what a kill has left")

        assert stores.remove(out, "anna") == (3, 3)

        table, _ = tables.load(out)
        assert table.subject.tolist() == ["ben", "ben", "anna-2", "anna-2", "anna-2"]  # one was dropped by decision
        assert keypoints.decisions_path(out).read_text().count("\n") == 2
        assert names(tmp_path / "pictures" / "collected") == {"ben"}
        assert names(tmp_path) == {"mine.parquet", "mine.decisions.csv", "pictures", ".mine.parquet.pictures"}
        left = subprocess.run(["grep", "-r", "-l", "-w", "anna/monday", tmp_path], capture_output=True, check=False)
        assert left.stdout == b""

    def test_rows_that_only_the_journal_has_go_too(
        self, out: Path, opened: Callable[..., Store], seen: Callable[..., Measured], record: Callable[..., None]
    ):
        record("ben")
        store = opened()
        store.add(store.new_take("anna", "monday", 1), seen())
        store.add(store.new_take("carl", "monday", 1), seen())
        kill(store._journal)

        assert stores.remove(out, "anna") == (1, 0)

        assert parquet.read(out).subject.tolist() == ["ben", "ben", "ben", "carl"]
        assert names(out.parent) == {"mine.parquet"}

    def test_with_the_last_person_the_table_goes(self, out: Path, record: Callable[..., None], tmp_path: Path):
        record("anna", pictures=Pictures(tmp_path / "pictures"))

        assert stores.remove(out, "anna") == (3, 3)

        assert names(tmp_path) == {"pictures"}
        assert names(tmp_path / "pictures" / "collected") == set()

    def test_reports_an_unknown_person_and_names_the_known_ones(self, out: Path, record: Callable[..., None]):
        record("anna")
        record("ben")
        with pytest.raises(UsageError, match="has no rows of 'carl', only of anna, ben"):
            stores.remove(out, "carl")
        assert names(out.parent) == {"mine.parquet"}

    def test_reports_a_missing_table(self, out: Path):
        with pytest.raises(NoInputError, match="no such table"):
            stores.remove(out, "anna")
        assert names(out.parent) == set()

    def test_as_long_as_pictures_are_out_of_reach_nothing_is_removed(
        self, out: Path, record: Callable[..., None], tmp_path: Path
    ):
        record("anna", pictures=Pictures(tmp_path / "pictures"))
        shutil.move(tmp_path / "pictures", tmp_path / "elsewhere")

        with pytest.raises(NoInputError, match="bring it back"):
            stores.remove(out, "anna")
        assert len(parquet.read(out)) == 3
        list_of(out).write_text(f"{tmp_path / 'elsewhere' / 'collected'}\n")
        assert stores.remove(out, "anna") == (3, 3)

    def test_while_somebody_collects_nothing_is_removed(
        self, out: Path, record: Callable[..., None], opened: Callable[..., Store]
    ):
        record("anna")
        with opened(), pytest.raises(UnavailableError, match="another program collects"):
            stores.remove(out, "anna")
        assert len(parquet.read(out)) == 3


def test_every_split_has_a_person_to_test_with():
    assert set(ON_EACH_SIDE) == set(SPLITS)
    assert Take("p", "s", 1, 0).source(1).count("/") == 3
