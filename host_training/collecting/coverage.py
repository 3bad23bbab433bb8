"""Coverage of a collection: people x expressions x poses x light, and what it still lacks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from host_training.collecting.measuring import LIGHT_NAMES, POSE_NAMES
from host_training.data.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Cell: TypeAlias = tuple[str, int, int, int]
"""Subject, and indices into `LABELS`, `POSE_NAMES` and `LIGHT_NAMES`."""

ENOUGH_ROWS = 5
"""Rows of a person that are enough for a cell: an expression held for a second. More of them are much alike."""
ENOUGH_PEOPLE = 3
"""People that are enough for a cell: with fewer, training, validation and test cannot each have one."""

COLUMNS = tuple((pose, light) for pose in range(len(POSE_NAMES)) for light in range(len(LIGHT_NAMES)))
"""Conditions of the columns, as indices of pose and light."""


class Coverage:
    """Numbers of rows by person, expression and conditions."""

    def __init__(self) -> None:
        self._rows: Counter[Cell] = Counter()

    def add(self, cells: Iterable[Cell]) -> None:
        """Add rows."""
        self._rows.update(cells)

    def remove(self, cells: Iterable[Cell]) -> None:
        """Remove rows."""
        self._rows.subtract(cells)
        self._rows += Counter()  # drops counts of 0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._rows.total()

    @property
    def subjects(self) -> list[str]:
        """Subjects with rows."""
        return sorted({subject for subject, *_ in self._rows})

    def people(self) -> NDArray[np.intp]:
        """int[labels, columns]: number of people with enough rows of a label under the conditions of a column."""
        return self._count({cell for cell, rows in self._rows.items() if rows >= ENOUGH_ROWS})

    def of(self, subject: str) -> NDArray[np.intp]:
        """int[labels, columns]: 1 where this person has enough rows."""
        return self._count({c for c, rows in self._rows.items() if rows >= ENOUGH_ROWS and c[0] == subject})

    def counts(self) -> NDArray[np.intp]:
        """int[labels, columns]: number of rows."""
        return self._count(self._rows)

    def thin(self) -> list[str]:
        """What each expression lacks, the one that lacks most first; empty if nothing is lacking."""
        people, able = self.people(), self._able()
        order = sorted(range(len(LABELS)), key=lambda label: (able[label], int(people[label].sum())))
        return [f"{LABELS[label]}: {lack}" for label in order if (lack := _lack(able[label], people[label].tolist()))]

    def for_page(self, subject: str) -> dict[str, Any]:
        """The coverage as JSON values for the page.

        Args:
            subject: the person whose own cells are marked.
        """
        return {
            "subjects": len(self.subjects),
            "rows": self.rows,
            "enough": ENOUGH_PEOPLE,
            "least": ENOUGH_ROWS,
            "poses": POSE_NAMES,
            "lights": LIGHT_NAMES,
            "people": self.people().tolist(),
            "counts": self.counts().tolist(),
            "own": self.of(subject).tolist(),
            "thin": self.thin(),
        }

    def text(self) -> str:
        """The coverage as text for the terminal."""
        people, counts = self.people(), self.counts()
        head = [["", *(POSE_NAMES[pose] for pose, _ in COLUMNS)], ["", *(LIGHT_NAMES[light] for _, light in COLUMNS)]]
        body = [
            [name, *(f"{people[i, j]}/{counts[i, j]}" for j in range(len(COLUMNS)))] for i, name in enumerate(LABELS)
        ]
        first, *rest = (max(map(len, column)) for column in zip(*head, *body, strict=True))
        lines = [
            "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], rest, strict=True))])
            for row in (*head, *body)
        ]
        thin = self.thin()
        persons = f"{len(self.subjects)} {'person' if len(self.subjects) == 1 else 'people'}"
        lines += ["", f"people with {ENOUGH_ROWS} rows or more / rows; in all {persons}, {self.rows} rows"]
        lines += ["still thin:", *(f"  {line}" for line in thin)] if thin else ["nothing is thin"]
        return "\n".join(lines)

    def _able(self) -> list[int]:
        """Number of people with enough rows of each label under any conditions."""
        each = {(subject, label) for (subject, label, *_), rows in self._rows.items() if rows >= ENOUGH_ROWS}
        return [sum(other == label for _, other in each) for label in range(len(LABELS))]

    def _count(self, cells: Iterable[Cell]) -> NDArray[np.intp]:
        counted = np.zeros((len(LABELS), len(COLUMNS)), np.intp)
        weights = cells if isinstance(cells, Counter) else dict.fromkeys(cells, 1)
        for (_, label, pose, light), weight in weights.items():
            counted[label, pose * len(LIGHT_NAMES) + light] += weight
        return counted


def _lack(able: int, people: list[int]) -> str:
    """What one expression lacks; empty if nothing is lacking.

    Args:
        able: number of people with enough rows of it in any column.
        people: the same for each column.
    """
    if able < ENOUGH_PEOPLE:
        return f"{able} of {ENOUGH_PEOPLE} people" if able else "nobody yet"
    lacks: dict[int, list[int]] = {}
    for (pose, light), count in zip(COLUMNS, people, strict=True):
        if count < ENOUGH_PEOPLE:
            lacks.setdefault(pose, []).append(light)
    return ", ".join(
        POSE_NAMES[pose] if len(lights) == len(LIGHT_NAMES) else f"{POSE_NAMES[pose]} in {LIGHT_NAMES[lights[0]]} light"
        for pose, lights in lacks.items()
    )
