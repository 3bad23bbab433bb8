"""The contact sheet, on which a person decides about doubtful labels and pairs: one HTML file, without a server."""

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

MAX_SIDE = 128
"""Maximum longer side of an embedded picture in px."""
MARGIN = 0.35
"""Margin around a face, in longer sides of its box."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a person can decide about a table."""

    suspects: Sequence[Suspect]
    """Rows with a doubtful label that the page shows."""
    doubtful: int
    """Number of all rows with a doubtful label."""
    pairs: Sequence[Pair]
    """Pairs of rows with one photo that the page shows."""
    all_pairs: int
    """Number of all such pairs."""
    lines: Sequence[Decision]
    """All decisions and suggestions so far; each of the rows and pairs above has one."""


def write(
    path: Path, table: Table, findings: Findings, pictures: Mapping[int, Pixels | ImageFile], *, name: str, file: str
) -> None:
    """Write the page; the file appears whole or not at all.

    Args:
        path: the HTML file.
        table: the rows.
        findings: what the page shows.
        pictures: row -> picture; for other rows the page shows a drawing of the mesh.
        name: of the table, for the title.
        file: name of the decisions file that the page saves.

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
            "predicted": suspect.predicted,
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
    """Figures on how similar the rows of a pair are."""
    what = "mirrored, " if pair.mirrored else ""
    if np.isfinite(pair.agreement):
        what += f"pictures correlate at {pair.agreement:.2f}, "
    return f"{what}landmarks {pair.distance:.3f} apart"


def _votes(votes: NDArray[np.uint8]) -> list[tuple[str, int]]:
    """Votes by choice, the most frequent first."""
    return [
        (VOTE_COLUMNS[column], int(votes[column]))
        for column in np.argsort(-votes.astype(int), kind="stable")
        if votes[column]
    ]


def _data_uri(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> str:
    """The face with a margin, as a PNG in a data URI."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    margin = MARGIN * float(np.max(high - low))
    x, y = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.maximum(high + margin, 1).astype(int)
    face = rgb[y:bottom, x:right]
    if not face.size:  # the table was measured on a larger version of the picture
        face = rgb
    scale = min(1, MAX_SIDE / max(face.shape[:2]))
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
