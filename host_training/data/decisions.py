"""Decisions that people make about rows of a keypoint table: a CSV file beside the table, to edit and to diff.

    id,action,detail,reason
    fer2013/17,relabel,anger,decided: the brows are down
    fer2013/42,drop,,a cartoon
    fer2013/99,same-as,fer2013/30511,suggested: the same photo (0.97)

* `keep`: the row stays as it is. With an id as its detail: the two rows do not show the same photo.
* `drop`: the row is left out.
* `relabel`: the detail, one of `labels.LABELS`, replaces the row's label and votes.
* `same-as`: the row shows the same photo as the row whose id is the detail; both stay in one split and one fold.

A `keep` or `same-as` whose reason begins with `suggested: ` waits for a person to look at it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge.errors import DataError, NoInputError
from host_training.data.keypoints import take
from host_training.data.labels import LABELS
from host_training.output import write_text
from host_training.words import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

COLUMNS = ("id", "action", "detail", "reason")
KEEP, DROP, RELABEL, SAME_AS = "keep", "drop", "relabel", "same-as"
ACTIONS = (KEEP, DROP, RELABEL, SAME_AS)
SUGGESTED, DECIDED = "suggested: ", "decided: "
"""Beginning of a reason, before and after a person has looked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the file."""

    id: str
    """Id of the row, see `Table.ids`."""
    action: str
    """One of `ACTIONS`."""
    detail: str = ""
    """Detail of the action, see the module."""
    reason: str = ""
    """Reason, for people."""

    @property
    def open(self) -> bool:
        """Whether it is still a suggestion. A changed action is a decision, whatever the reason says."""
        as_made = self.action == SAME_AS or (self.action == KEEP and not self.detail)
        return as_made and self.reason.startswith(SUGGESTED)

    @property
    def subject(self) -> tuple[str, ...]:
        """The row, or the pair of rows, that it is about; a file has one decision for each."""
        is_pair = self.action == SAME_AS or (self.action == KEEP and self.detail)
        return tuple(sorted((self.id, self.detail))) if is_pair else (self.id,)


def read(path: Path) -> list[Decision]:
    """The decisions in a file, in its order.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it is another kind of file, or a line is malformed or contradicts another.
    """
    try:
        # Spreadsheets may put a byte order mark before the name of the first column.
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8; save it as CSV in UTF-8") from error
    lines = csv.reader(io.StringIO(text), strict=True)
    decided: dict[tuple[str, ...], tuple[Decision, int]] = {}
    try:
        header = [cell.strip() for cell in next(lines, [])]
        if header != list(COLUMNS):
            raise DataError(f"{path}: its first line is {','.join(header)!r}, not {','.join(COLUMNS)!r}")
        for cells in lines:
            if not any(cells):
                continue
            place = f"{path}, line {lines.line_num}"
            decision = _decision([cell.strip() for cell in cells], place)
            other, line = decided.setdefault(decision.subject, (decision, lines.line_num))
            if (other.action, other.detail) != (decision.action, decision.detail) and not _same_pair(other, decision):
                raise DataError(
                    f"{place}: {decision.action} {decision.detail}".rstrip()
                    + f" for {decision.id}, but line {line} says {other.action} {other.detail}".rstrip()
                    + "; leave one of the two"
                )
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: not a line of CSV ({error})") from error
    return [decision for decision, _ in decided.values()]


def _same_pair(one: Decision, other: Decision) -> bool:
    """Whether two decisions about a pair differ only in the order of its rows."""
    return one.action == other.action and len(one.subject) > 1


def _decision(cells: Sequence[str], place: str) -> Decision:
    if len(cells) != len(COLUMNS):
        raise DataError(f"{place}: {len(cells)} cells instead of {len(COLUMNS)} ({', '.join(COLUMNS)})")
    decision = Decision(*cells)
    if not decision.id:
        raise DataError(f"{place}: lacks the id of a row")
    if decision.action not in ACTIONS:
        raise DataError(f"{place}: {unknown('action', decision.action, ACTIONS)}")
    if decision.action == DROP and decision.detail:
        raise DataError(f"{place}: drop takes no detail, but has {decision.detail!r}")
    if decision.action == RELABEL and decision.detail not in LABELS:
        raise DataError(f"{place}: {unknown('label', decision.detail, LABELS)}")
    if decision.action == SAME_AS and not decision.detail:
        raise DataError(f"{place}: same-as needs the id of another row in the column detail")
    if decision.detail == decision.id:
        raise DataError(f"{place}: {decision.id} is paired with itself")
    return decision


def write(decisions: Iterable[Decision], path: Path) -> None:
    """Write decisions, sorted by id; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, text(decisions))


def text(decisions: Iterable[Decision]) -> str:
    """The text that `write` writes."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(dataclasses.astuple(decision) for decision in ordered(decisions))
    return lines.getvalue()


def ordered(decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions sorted by id, with the numbers in it by value."""
    return sorted(decisions, key=lambda decision: (_natural(decision.id), decision.action, _natural(decision.detail)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


def merged(decided: Iterable[Decision], suggested: Iterable[Decision]) -> list[Decision]:
    """Decisions with new suggestions added. What a person has decided stays, and so does every pair.

    Open suggestions to keep a row are replaced by the new ones.
    """
    stay = {d.subject: d for d in decided if not (d.open and d.action == KEEP)}
    return list(({suggestion.subject: suggestion for suggestion in suggested} | stay).values())


def apply(table: Table, decisions: Iterable[Decision]) -> tuple[Table, Counter[str]]:
    """Apply decisions.

    Rows of one photo get the same group, by which `splits.disjoint` keeps them in one split. Decisions about rows that
    the table lacks are only counted, since one file may serve several tables.

    Returns:
        The table, and how many rows were changed, by the kind of change.
    """
    decisions = list(decisions)
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    pairs = [(d.id, d.detail) for d in decisions if d.action == SAME_AS]
    group = _joined(table.group, row_of, pairs)
    label, votes, stays = table.label.copy(), table.votes.copy(), np.ones(len(table), np.bool_)
    done: Counter[str] = Counter()
    done["now with the rows of the same photo"] = int((group != table.group).sum())
    for decision in decisions:
        row = row_of.get(decision.id)
        if row is None:
            done["not in this table"] += 1
        elif decision.action == DROP:
            stays[row] = False
            done["left out"] += 1
        elif decision.action == RELABEL:
            label[row], votes[row] = LABELS.index(decision.detail), 0
            done["given another label"] += 1
    return take(dataclasses.replace(table, group=group, label=label, votes=votes), stays), +done


def _joined(group: NDArray[np.int64], row_of: dict[str, int], pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """Groups, int64[N], after pairs of ids have joined them: the smallest of each. Ids the table lacks connect, too."""
    names, of_row = np.unique(group, return_inverse=True)
    nodes: dict[str, int] = {}
    for name in (name for pair in pairs for name in pair):
        nodes.setdefault(name, int(of_row[row_of[name]]) if name in row_of else len(names) + len(nodes))
    ends = np.array([[nodes[one], nodes[other]] for one, other in pairs], np.intp).reshape(-1, 2)
    size = len(names) + len(nodes)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    least = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(least, component[: len(names)], names)
    joined: NDArray[np.int64] = least[component[of_row]]
    return joined
