from __future__ import annotations

import dataclasses
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from edge.errors import UsageError
from host_training.data import splits
from host_training.data.keypoints import MESH, SPLITS, TEST, TRAIN, VALIDATION, Table, concatenate, take
from host_training.data.labels import VOTE_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table_of(rows: list[tuple[str, int, str]], data_set: str = "a") -> Table:
    """A table of (subject, group, split) without landmarks, which are of no account here."""
    subject, group, split = zip(*rows, strict=True)
    count = len(rows)
    nan = np.full(count, np.nan, np.float32)
    return Table(
        data_set=np.full(count, data_set),
        source=np.arange(count).astype(np.str_),
        split=np.array(split, np.str_),
        subject=np.array(subject, np.str_),
        group=np.array(group, np.int64),
        label=np.zeros(count, np.int8),
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(count, MESH),
        presence=nan,
        brightness=nan,
        sharpness=nan,
        landmarks=np.full((count, 478, 3), np.nan, np.float32),
    )


def tables(split: st.SearchStrategy[str]) -> st.SearchStrategy[Table]:
    """Tables in which people and pictures come again, in one or two data sets."""
    rows = st.lists(st.tuples(st.sampled_from(["", "", "ann", "bob", "cy"]), st.integers(0, 25), split), min_size=1)
    one = rows.map(table_of)
    return one | st.tuples(one, rows.map(lambda some: table_of(some, "b"))).map(concatenate)


def linked(table: Table, one: int, other: int) -> bool:
    """Whether two rows are the same picture or person, and no third row is asked."""
    person = table.subject[one] != "" and (table.data_set[one], table.subject[one]) == (
        table.data_set[other],
        table.subject[other],
    )
    return bool(person or table.group[one] == table.group[other])


def places(table: Table) -> dict[str, str]:
    return dict(zip(table.ids.tolist(), table.split.tolist(), strict=True))


def sides_of_units(table: Table) -> list[set[str]]:
    sides = defaultdict(set)
    for unit, split in zip(splits.units(table).tolist(), table.split.tolist(), strict=True):
        sides[unit].add(split)
    return list(sides.values())


def test_units_go_through_others():
    # ann is in two pictures, one of which is bob's too; a nameless copy of bob's other picture goes with them.
    table = table_of([("ann", 1, ""), ("ann", 2, ""), ("bob", 2, ""), ("bob", 3, ""), ("", 3, ""), ("", 4, "")])

    assert len(set(splits.units(table)[:5].tolist())) == 1
    assert splits.units(table)[5] != splits.units(table)[0]


def test_the_same_name_in_another_data_set_is_another_person():
    table = concatenate([table_of([("ann", 1, "")]), table_of([("ann", 2, "")], "b")])

    assert len(set(splits.units(table).tolist())) == 2


@given(tables(st.sampled_from(["", *SPLITS])))
def test_linked_rows_are_of_one_unit(table: Table):
    unit = splits.units(table)

    for one in range(len(table)):
        for other in range(one):
            assert unit[one] == unit[other] or not linked(table, one, other)


@given(tables(st.just("")))
def test_no_unit_is_put_on_two_sides(table: Table):
    assigned = splits.assign(table)

    assert set(assigned.split.tolist()) <= set(SPLITS)
    assert all(len(sides) == 1 for sides in sides_of_units(assigned))


@given(tables(st.sampled_from(["", *SPLITS])))
def test_a_split_that_is_given_stays_and_draws_its_unit_along(table: Table):
    assigned = splits.assign(table)

    given_one = table.split != ""
    assert assigned.split[given_one].tolist() == table.split[given_one].tolist()
    assert "" not in assigned.split
    before: dict[Any, set[Any]] = {unit: set() for unit in splits.units(table).tolist()}
    for unit, split in zip(splits.units(table).tolist(), table.split.tolist(), strict=True):
        before[unit].add(split)
    for unit, split in zip(splits.units(table)[~given_one].tolist(), assigned.split[~given_one].tolist(), strict=True):
        assert split in before[unit] or before[unit] == {""}


@given(tables(st.sampled_from(["", "", *SPLITS])), st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_the_rows(table: Table, random: Any):
    order = list(range(len(table)))
    random.shuffle(order)

    shuffled = splits.assign(take(table, np.array(order)))

    assert places(shuffled) == places(splits.assign(table))
    left, other = splits.disjoint(splits.assign(table))[0], splits.disjoint(shuffled)[0]
    assert places(left) == places(other)


def test_a_unit_is_called_after_the_same_row_in_whatever_order_they_come():
    table = table_of([(f"p{n // 7}", n, "") for n in range(210)])
    backwards = take(table, np.arange(len(table))[::-1])

    assert places(splits.assign(backwards)) == places(splits.assign(table))


def test_a_row_without_a_split_follows_its_unit_to_the_test_rather_than_to_training():
    table = table_of([("ann", 1, TRAIN), ("ann", 2, ""), ("ann", 3, TEST), ("bob", 4, VALIDATION), ("bob", 5, "")])

    assert splits.assign(table).split.tolist() == [TRAIN, TEST, TEST, VALIDATION, VALIDATION]


@given(st.lists(st.integers(1, 60), min_size=3, max_size=12))
def test_three_units_or_more_leave_no_split_empty_and_the_largest_part_to_training(sizes: list[int]):
    rows = [(f"p{person}", 1000 * person + n, "") for person, size in enumerate(sizes) for n in range(size)]

    split = splits.assign(table_of(rows)).split

    assert set(split.tolist()) == set(SPLITS)
    assert (split == TRAIN).sum() >= max((split == TEST).sum(), (split == VALIDATION).sum())


@given(st.integers(1, 2), st.integers(1, 30))
def test_fewer_than_three_units_are_all_for_training(units: int, size: int):
    table = table_of([(f"p{n % units}", n, "") for n in range(max(size, units))])

    assert set(splits.assign(table).split.tolist()) == {TRAIN}


def test_test_and_validation_are_a_tenth_each_where_units_are_small():
    table = table_of([("", n, "") for n in range(1000)])

    split = splits.assign(table).split

    assert [(split == name).sum() for name in SPLITS] == [800, 100, 100]


def test_one_more_person_does_not_send_the_others_elsewhere():
    rows = [(f"p{n // 10}", n, "") for n in range(300)]
    before, after = (places(splits.assign(table_of(some))) for some in (rows, [*rows, ("new", 999, "")]))

    assert sum(before[name] != after[name] for name in before) <= 20


@given(tables(st.sampled_from(SPLITS)))
def test_leaves_disjoint_splits_and_all_test_rows(table: Table):
    left, dropped = splits.disjoint(table)

    assert all(len(sides) == 1 for sides in sides_of_units(left))
    assert (left.split == TEST).sum() == (table.split == TEST).sum()
    assert len(left) + sum(dropped.values()) == len(table)


@given(tables(st.sampled_from(SPLITS)))
def test_removes_only_rows_on_two_sides(table: Table):
    left = set(splits.disjoint(table)[0].ids.tolist())
    unit = splits.units(table)

    for name, number in zip(table.ids.tolist(), unit.tolist(), strict=True):
        assert name in left or len(set(table.split[unit == number].tolist())) > 1


def test_training_gives_way_to_validation_and_both_to_the_test():
    table = table_of([("", 1, TRAIN), ("", 1, VALIDATION), ("", 2, VALIDATION), ("", 2, TEST), ("", 3, TRAIN)])

    left, dropped = splits.disjoint(table)

    assert left.source.tolist() == ["1", "3", "4"]
    assert sum(dropped.values()) == 2


def test_a_fold_without_rows_is_refused():
    groups = [1, 1, 2, 2, 7, 7, 4, 1, 5]
    table = table_of([("ann" if index > 6 else "", group, TRAIN) for index, group in enumerate(groups)])
    table = dataclasses.replace(table, label=(table.group % 3).astype(np.int8))

    with pytest.raises(UsageError, match="4 folds are too many for these persons or pictures"):
        dealt(table, 4, seed=0)


def dealt(table: Table, count: int, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rows = np.arange(len(table))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label with fewer rows than folds
        return list(splits.folds(table, rows, table.label.astype(np.intp), count, seed))


@settings(max_examples=50)
@given(tables(st.just(TRAIN)), st.integers(2, 4), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_are_disjoint_by_unit_hold_each_row_out_once_and_do_not_know_the_order(
    table: Table, count: int, seed: int, random: Any
):
    unit = splits.units(table)
    assume(len(set(unit.tolist())) >= count)
    table = dataclasses.replace(table, label=(table.group % 3).astype(np.int8))
    assume(np.bincount(table.label).max(axis=None) >= count)

    try:
        folds = dealt(table, count, seed)
    except UsageError:
        reject()  # too few and too uneven units

    assert sorted(row for _, held_out in folds for row in held_out.tolist()) == list(range(len(table)))
    for train, held_out in folds:
        assert len(held_out)
        assert not set(unit[train].tolist()) & set(unit[held_out].tolist())
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = take(table, np.array(order))
    for (_, one), (_, other) in zip(folds, dealt(shuffled, count, seed), strict=True):
        assert set(table.ids[one].tolist()) == set(shuffled.ids[other].tolist())


def test_another_seed_deals_other_folds():
    table = table_of([("", n, TRAIN) for n in range(100)])

    assert any(
        (one != other).any() for (_, one), (_, other) in zip(dealt(table, 4, 0), dealt(table, 4, 1), strict=True)
    )


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 8, 9], [5, 6, 7, 8]])
def test_only_the_given_rows_are_dealt_out(rows: list[int]):
    table = table_of([("", n, TRAIN) for n in range(10)])

    folds = list(splits.folds(table, np.array(rows), np.zeros(len(rows), np.intp), 2, 0))

    assert sorted(row for _, held_out in folds for row in held_out.tolist()) == rows
