"""What report, model card and the page about accuracy all say about the range of a model."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from host_training.evaluation import face_range
from host_training.evaluation.face_range import LIMIT_S, READ_S, SOON_S, STANDS, WALKS
from host_training.evaluation.lenses import FACE_HEIGHT_M, LENSES

if TYPE_CHECKING:
    from host_training.evaluation.face_range import Condition, Range, Read
    from host_training.evaluation.metrics import Interval

DISTANCE = (
    f"The distances are those of a face {100 * FACE_HEIGHT_M:.0f} cm high, from the hairline to the chin, near the "
    "middle of the picture, for a camera that uses its whole sensor. A picture of 4:3 from a sensor of 16:9 is cut out "
    "of its middle, so the same face has more of its px."
)
LIMITS = (
    "The faces are grey photographs of about 48 px, so larger ones have more px here but no more detail. A real face "
    "at the same distance may also be blurred by motion, turned away or in the shadow."
)
BAR = 20
"""Width of the bar of a share, in characters."""

Row = tuple[int, tuple[float, ...], dict[str, "Condition"]]
"""Height of the face in px, its distances in m for `LENSES`, and the figures by way of coming into view."""


def by_picture(found: Range | None, mine: str) -> dict[tuple[int, int], list[Row]]:
    """By width and height of the picture, the figures for each height of the face; empty if `mine` was not measured."""
    if found is None or any(mine not in each.read for each in found.conditions):
        return {}
    pictures: dict[tuple[int, int], list[Row]] = {}
    ordered = sorted(found.conditions, key=lambda each: (each.width, each.height, each.face))
    for (width, height, face), conditions in groupby(ordered, lambda each: (each.width, each.height, each.face)):
        picture = (width, height)
        distances = tuple(lens.metres(face, picture) for lens in LENSES)
        pictures.setdefault(picture, []).append((face, distances, {each.arrival: each for each in conditions}))
    return pictures


def introduction(found: Range) -> str:
    """How it was measured, in words."""
    ways = "; ".join(f"*{arrival}*: {words}" for arrival, words in face_range.ARRIVALS.items())
    slower = f"; here of one {found.slowdown:g} times slower than the one that measured" if found.slowdown != 1 else ""
    return (
        f"{found.rows:,} {found.split} faces, pasted into {len(found.scenes)} photographs without people and seen as "
        f"a stream of {face_range.FPS:g} frames a second, through search, mesh, classifier and expression machine at "
        f"their default settings. *Read right* is the share of all faces for which a device shows the right expression "
        f"{READ_S:g} s after it found them; a face that it doesn't find within {LIMIT_S:g} s is an error. *Uncertain* "
        f"is the share of the faces found for which it shows `uncertain` then. {ways}. The search's budget is "
        f"a share of the processor's time, so small faces are found later on a slower processor{slower}."
    )


def markdown(found: Range | None, mine: str, *, bars: bool = False) -> list[str]:
    """Paragraphs and tables; none if the range of the bundle `mine` was not measured.

    Args:
        found: the range.
        mine: id of the bundle.
        bars: whether shares are drawn as bars of characters, for a file that can't hold a plot.
    """
    pictures = by_picture(found, mine)
    if found is None or not pictures:
        return []
    columns = [
        "face, px",
        *(f"{lens.name}, m" for lens in LENSES),
        f"found in {SOON_S:g} s, walks",
        f"found in {LIMIT_S:g} s, stands",
        "read right, walks",
        *[""] * bars,
        "read right, stands",
        "uncertain, walks",
    ]
    blocks = [introduction(found), f"{DISTANCE} {LIMITS}"]
    for (width, height), rows in pictures.items():
        lines = [columns, ["---"] * len(columns)]
        for face, distances, by_arrival in rows:
            walks, stands = by_arrival[WALKS], by_arrival[STANDS]
            lines.append(
                [
                    str(face),
                    *(f"{metres:.1f}" for metres in distances),
                    _share(walks.found_soon, walks.found_soon_interval),
                    _share(stands.found, stands.found_interval),
                    _read(walks.read[mine]),
                    *[bar(walks.read[mine].right)] * bars,
                    _read(stands.read[mine]),
                    f"{walks.read[mine].uncertain:.1%}",
                ]
            )
        blocks += [f"At {width}x{height}:", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return [*blocks, f"    {found.command}"]


def bar(share: float) -> str:
    """A share as a bar of `BAR` characters."""
    full = round(BAR * share)
    return "█" * full + "░" * (BAR - full)


def _read(read: Read) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(read.right, *read.right_interval)


def _share(share: float, interval: Interval) -> str:
    low, high = interval
    return f"{share:.1%} ({100 * low:.1f} to {100 * high:.1f})"
