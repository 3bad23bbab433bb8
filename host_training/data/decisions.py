"""What people decided about rows of a keypoint table: a CSV to edit, compare and keep beside the table.

    id,action,detail,reason
    fer2013/17,relabel,anger,decided: the brows are down
    fer2013/42,drop,,a cartoon
    fer2013/99,same-as,fer2013/30511,suggested: the same photo (0.97)

* `keep`: the row stays as it is. With an id as its detail: the two do not show the same photo.
* `drop`: the row is left out.
* `relabel`: its votes count no more, and its label is the detail, one of `labels.LABELS`.
* `same-as`: it shows the same photo as the row whose id is the detail; the two stand on one side of every split.

A `keep` or `same-as` whose reason begins with `suggested: ` is what nobody has looked at yet.
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
"""How a reason begins, before and after a person looked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One line."""

    id: str
    """As in `Table.ids`."""
    action: str
    """One of `ACTIONS`."""
    detail: str = ""
    """See the actions above."""
    reason: str = ""
    """For people."""

    @property
    def open(self) -> bool:
        """Whether it is a suggestion as it was made; whoever changes its action has decided, whatever the reason."""
        as_made = self.action == SAME_AS or (self.action == KEEP and not self.detail)
        return as_made and self.reason.startswith(SUGGESTED)

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is about, and what only one decision may be about: a row, or a pair of rows."""
        is_pair = self.action == SAME_AS or (self.action == KEEP and self.detail)
        return tuple(sorted((self.id, self.detail))) if is_pair else (self.id,)


def read(path: Path) -> list[Decision]:
    """The decisions in a file, in its order.

    Raises:
        NoInputError: it cannot be read.
        DataError: it is no such file, or a line is malformed or contradicts another.
    """
    try:
        # A spreadsheet may put a byte order mark before the first column's name.
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
    """Whether two decisions about a pair only name its rows in another order."""
    return one.action == other.action and len(one.subject) > 1


def _decision(cells: Sequence[str], place: str) -> Decision:
    if len(cells) != len(COLUMNS):
        raise DataError(f"{place}: {len(cells)} cells instead of {len(COLUMNS)} ({', '.join(COLUMNS)})")
    decision = Decision(*cells)
    if not decision.id:
        raise DataError(f"{place}: lacks the id of a row")
    if decision.action not in ACTIONS:
        raise DataError(f"{place}: {decision.action!r} is none of {', '.join(ACTIONS)}")
    if decision.action == DROP and decision.detail:
        raise DataError(f"{place}: drop takes no detail, but there is {decision.detail!r}")
    if decision.action == RELABEL and decision.detail not in LABELS:
        raise DataError(f"{place}: {unknown('label', decision.detail, LABELS)}")
    if decision.action == SAME_AS and not decision.detail:
        raise DataError(f"{place}: same-as wants the id of another row in the column detail")
    if decision.detail == decision.id:
        raise DataError(f"{place}: {decision.id} is compared with itself")
    return decision


def write(decisions: Iterable[Decision], path: Path) -> None:
    """Write decisions in the order of their ids; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, text(decisions))


def text(decisions: Iterable[Decision]) -> str:
    """The file as `write` writes it."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(dataclasses.astuple(decision) for decision in ordered(decisions))
    return lines.getvalue()


def ordered(decisions: Iterable[Decision]) -> list[Decision]:
    """By id, numbers in it by their value."""
    return sorted(decisions, key=lambda decision: (_natural(decision.id), decision.action, _natural(decision.detail)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


def merged(decided: Iterable[Decision], suggested: Iterable[Decision]) -> list[Decision]:
    """Decisions with new suggestions: what a person decided stays, and so does every pair.

    A suggestion to keep a row that nobody has looked at gives way to the new ones.
    """
    stay = {d.subject: d for d in decided if not (d.open and d.action == KEEP)}
    return list(({suggestion.subject: suggestion for suggestion in suggested} | stay).values())


def apply(table: Table, decisions: Iterable[Decision]) -> tuple[Table, Counter[str]]:
    """Do what was decided.

    Rows of one photo get the same group; `splits.disjoint` then keeps them on one side. Of a decision about a row
    that the table does not have, only the count is told: a file of decisions may serve several tables.

    Returns:
        The table, and how many rows something was done to, by what it was.
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
    """The least group of all that pairs of ids connect. Ids that the table lacks connect too."""
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
