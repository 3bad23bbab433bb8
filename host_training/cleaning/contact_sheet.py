"""The page on which a person decides about suspicious rows and pairs: one HTML file that works without a server."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from host_training.data import decisions
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.output import write_text
from host_training.reporting import mesh_drawing, page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.cleaning.near_duplicates import Pair
    from host_training.cleaning.suspects import Suspect
    from host_training.data.decisions import Decision
    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

SIDE = 128
"""px, the longer side of an embedded picture, at most."""
SURROUNDINGS = 0.35
"""Share of a face's box that is shown around it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What there is to decide about a table."""

    suspects: Sequence[Suspect]
    """Rows with a doubtful label, for the page."""
    doubtful: int
    """How many there are in all."""
    pairs: Sequence[Pair]
    """Rows of one photo, for the page."""
    all_pairs: int
    """How many there are in all."""
    lines: Sequence[Decision]
    """Everything decided or suggested so far, with a line for each of the above."""


def write(
    path: Path, table: Table, findings: Findings, pictures: Mapping[int, Pixels | ImageFile], *, name: str, file: str
) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: the HTML file.
        table: the rows.
        findings: what is shown of them.
        pictures: those at hand, by row; of other rows the mesh is drawn.
        name: of the table, for the title.
        file: name of the file of decisions that the page saves.

    Raises:
        EdgeError: a picture cannot be read.
        OutputError: the page cannot be written.
    """
    lines = decisions.ordered(findings.lines)
    line_of = {decision.subject: number for number, decision in enumerate(lines)}
    ids = table.ids.tolist()

    def side(row: int) -> dict[str, Any]:
        picture = pictures.get(row)
        return {
            "id": ids[row],
            "split": str(table.split[row]),
            "picture": picture and _data_uri(picture.load(), table.landmarks[row]),
            "drawing": mesh_drawing.svg(table.landmarks[row], title=f"landmarks of {ids[row]}"),
        }

    suspects = [
        {
            "number": f"L{number}",
            "line": line_of[(ids[suspect.row],)],
            "side": side(suspect.row),
            "given": suspect.given,
            "said": suspect.said,
            "confidence": suspect.confidence,
            "votes": _votes(table.votes[suspect.row]),
        }
        for number, suspect in enumerate(findings.suspects, 1)
    ]
    pairs = [
        {
            "number": f"P{number}",
            "line": line_of[tuple(sorted((ids[pair.first], ids[pair.second])))],
            "sides": [side(pair.first), side(pair.second)],
            "words": words(pair),
        }
        for number, pair in enumerate(findings.pairs, 1)
    ]
    template = page.environment().get_template("cleaning/templates/contact_sheet.html")
    text = template.render(
        table=name,
        file=file,
        suspects=suspects,
        doubtful=findings.doubtful,
        not_shown="test" in table.split,
        pairs=pairs,
        all_pairs=findings.all_pairs,
        labels=LABELS,
        columns=decisions.COLUMNS,
        lines=[dataclasses.astuple(decision) for decision in lines],
        suggestion=decisions.SUGGESTED,
        decision=decisions.DECIDED,
    )
    write_text(path, text)


def words(pair: Pair) -> str:
    """How much alike two rows are."""
    what = "mirrored, " if pair.mirrored else ""
    if np.isfinite(pair.agreement):
        what += f"pictures correlate at {pair.agreement:.2f}, "
    return f"{what}landmarks {pair.distance:.3f} apart"


def _votes(votes: NDArray[np.uint8]) -> list[tuple[str, int]]:
    """What was voted for, the most frequent first."""
    return [
        (VOTE_COLUMNS[column], int(votes[column]))
        for column in np.argsort(-votes.astype(int), kind="stable")
        if votes[column]
    ]


def _data_uri(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> str:
    """The face and a little around it, as a PNG in a URI."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    around = SURROUNDINGS * float(np.max(high - low))
    x, y = np.maximum(low - around, 0).astype(int)
    right, bottom = np.maximum(high + around, 1).astype(int)
    face = rgb[y:bottom, x:right]
    if not face.size:  # the table was measured on a larger version
        face = rgb
    scale = min(1, SIDE / max(face.shape[:2]))
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
