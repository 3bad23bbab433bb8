"""The assignment of least total cost. SciPy has one, too, but weighs more than the whole daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assign(costs: NDArray[np.float64]) -> list[int | None]:
    """Assign rows to columns so that the sum of their costs is least.

    Shortest augmenting paths (Jonker and Volgenant 1987), in the form of Crouse 2016 for tables that are not square.

    Args:
        costs: float64[R, C], finite.

    Returns:
        The column of each row; None for the rows that are left over if there are fewer columns.
    """
    rows, columns = costs.shape
    if rows > columns:
        column_of: list[int | None] = [None] * rows
        for column, row in enumerate(assign(costs.T)):
            assert row is not None  # noqa: S101  there are enough rows
            column_of[row] = column
        return column_of
    by_row, by_column = np.zeros(rows), np.zeros(columns)
    row_of, found = np.full(columns, -1), np.full(rows, -1)
    for row in range(rows):
        shortest, via, done = np.full(columns, np.inf), np.full(columns, -1), np.zeros(columns, bool)
        i, lowest = row, 0.0
        while True:
            reduced = lowest + costs[i] - by_row[i] - by_column
            better = ~done & (reduced < shortest)
            shortest[better], via[better] = reduced[better], i
            j = int(np.argmin(np.where(done, np.inf, shortest)))
            lowest = float(shortest[j])
            if row_of[j] < 0:
                break
            done[j] = True
            i = int(row_of[j])
        by_row[row] += lowest
        by_row[row_of[done]] += lowest - shortest[done]
        by_column[done] -= lowest - shortest[done]
        while True:
            i = int(via[j])
            row_of[j] = i
            found[i], j = j, int(found[i])
            if i == row:
                break
    return [int(column) for column in found]
