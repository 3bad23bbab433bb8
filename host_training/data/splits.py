"""Splits and folds that are disjoint by person and by picture.

A split over the frames of one person measures memory, not reading, and cannot be asked for here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from edge.errors import UsageError
from host_training.data.keypoints import HELD_OUT, SPLITS, TEST, TRAIN, VALIDATION, take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table


def units(table: Table) -> NDArray[np.intp]:
    """Units of rows that must stay together, int[N].

    Rows with the same number show the same person or the same picture, directly or through other rows.
    """
    count = len(table)
    keys: list[NDArray[np.intp]] = []
    offset = count
    named = table.subject != ""
    persons = table.persons[named]
    for values, rows in ((table.group, np.arange(count)), (persons, np.flatnonzero(named))):
        different, number = np.unique(values, return_inverse=True)
        keys.append(np.stack([rows, number + offset]))
        offset += len(different)
    edges = np.concatenate(keys, axis=1)
    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(offset, offset))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component[:count], np.intp)


def assign(table: Table) -> Table:
    """Assign the rows without a split to one, unit by unit, data set by data set.

    Units come in an order that depends only on the names of their rows. They fill the test split, then the validation
    split, up to their shares; a unit that no longer fits is passed over. With three units or more, neither split stays
    empty; with fewer, all rows are for training. A unit with a row that has a split already follows that row.
    """
    unit = units(table)
    split = table.split.astype(f"<U{max(map(len, SPLITS))}")
    for data_set in np.unique(table.data_set).tolist():
        for name in (TEST, VALIDATION, TRAIN):
            split[(split == "") & np.isin(unit, unit[split == name])] = name
        mine = np.flatnonzero((split == "") & (table.data_set == data_set))
        split[mine] = _shared_out(unit[mine], table.source[mine])
    return dataclasses.replace(table, split=split)


def _shared_out(unit: NDArray[np.intp], source: NDArray[np.str_]) -> NDArray[np.str_]:
    by_name = np.argsort(source)
    _, first, number, size = np.unique(unit[by_name], return_index=True, return_inverse=True, return_counts=True)
    names = source[by_name][first].tolist()  # a unit is named after its first row
    order = sorted(range(len(names)), key=lambda index: hashlib.sha256(names[index].encode()).digest())
    split = np.full(len(names), TRAIN, dtype=f"<U{max(map(len, SPLITS))}")
    if len(names) > len(HELD_OUT):
        left = order
        for others, (name, share) in zip((2, 1), HELD_OUT.items(), strict=True):
            taken: list[int] = []
            room = share * len(unit)
            for index in left:
                if size[index] <= room and len(taken) < len(left) - others:
                    taken.append(index)
                    room -= size[index]
            split[taken or [min(left, key=lambda index: size[index])]] = name
            left = [index for index in left if split[index] == TRAIN]
    shared = np.empty(len(unit), split.dtype)
    shared[by_name] = split[number]
    return shared


def disjoint(table: Table) -> tuple[Table, Counter[str]]:
    """Leave out rows whose unit is in two splits: the test split keeps its rows, then validation; training gives way.

    Returns:
        The rows that stay, and how many were left out, by reason.
    """
    unit = units(table)
    in_test, in_validation = (np.isin(unit, unit[table.split == name]) for name in (TEST, VALIDATION))
    gives_way = ((table.split == TRAIN) & (in_test | in_validation)) | ((table.split == VALIDATION) & in_test)
    dropped: Counter[str] = Counter()
    if gives_way.any():
        dropped["the person or picture is also in the validation or test split"] = int(gives_way.sum())
    return take(table, ~gives_way), dropped


def folds(
    table: Table, rows: NDArray[np.intp], label: NDArray[np.intp], count: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield for each of K folds the rows to train on and the rows to judge, disjoint by unit and stratified by label.

    Args:
        table: all rows.
        rows: int[M], the rows to distribute.
        label: int[M], their labels.
        count: K.
        seed: shuffles the units.

    Raises:
        UsageError: a fold would be empty, because the units are too few or too uneven.
    """
    # Rows and units are ordered by name, so that another order of the table gives the same folds.
    ordered = np.argsort(table.ids[rows])
    rows, label = rows[ordered], label[ordered]
    _, first, number = np.unique(units(table)[rows], return_index=True, return_inverse=True)
    unit = np.argsort(np.argsort(first))[number]
    dealt = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, label, unit))
    if not all(len(held_out) for _, held_out in dealt):
        raise UsageError(f"{count} folds are too many for these persons or pictures: one would be empty; ask for fewer")
    for train, held_out in dealt:
        yield np.sort(rows[train]), np.sort(rows[held_out])
