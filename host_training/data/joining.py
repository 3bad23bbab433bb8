"""Several keypoint tables as one, whatever their rows are called."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.decisions import SAME_AS, SUGGESTED, Decision
from host_training.data.keypoints import REPEATED, concatenate
from host_training.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from host_training.data.keypoints import Table


def copies(table: Table, pictures: NDArray[np.int64]) -> list[Decision]:
    """Decisions that say again which rows show one photo: those of one group whose pictures differ.

    Args:
        table: N rows, with the groups that decisions have joined.
        pictures: int64[N], the groups before that.
    """
    ids, first = table.ids.tolist(), dict[int, int]()
    found = {}
    for row, (group, picture) in enumerate(zip(table.group.tolist(), pictures.tolist(), strict=True)):
        other = first.setdefault(group, row)
        if picture != pictures[other]:
            found[group, picture] = Decision(ids[row], SAME_AS, ids[other], f"{SUGGESTED}the same photo")
    return list(found.values())


def join(tables: Sequence[Table], names: Sequence[str]) -> tuple[Table, int]:
    """All rows of some tables, in their order.

    Two people's folders may have one name, and so may the pictures in them. A row whose id an earlier table has gets a
    number after its source, as in `happy/1.jpg#2`.

    Args:
        tables: at least one.
        names: of the tables, for the message.

    Returns:
        The table, and the number of rows with a new id.

    Raises:
        TableError: two tables have the same picture of the same person under one id.
    """
    known: dict[str, tuple[int, str, str]] = {}
    parts, renamed = [], 0
    for table, name in zip(tables, names, strict=True):
        sources, ids = table.source.tolist(), table.ids.tolist()
        taken = known.keys() | set(ids)
        shows = list(zip(table.group.tolist(), table.subject.tolist(), strict=True))
        for row, own in enumerate(ids):
            number, wanted = 1, own
            while wanted in taken if number > 1 else wanted in known:
                if wanted in known and known[wanted][:2] == shows[row]:
                    raise TableError(f"{name}: {own} is also in {known[wanted][2]}; leave one of the two tables out")
                number += 1
                wanted = f"{REPEATED.sub('', own)}#{number}"
            if number > 1:
                sources[row] = f"{REPEATED.sub('', sources[row])}#{number}"
                taken.add(wanted)
                renamed += 1
            ids[row] = wanted
        known |= {own: (*shown, name) for own, shown in zip(ids, shows, strict=True)}
        parts.append(dataclasses.replace(table, source=np.array(sources, np.str_)))
    return concatenate(parts), renamed
