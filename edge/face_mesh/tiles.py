"""The squares of a picture that the face detector looks at, one by one.

The detector finds faces between a quarter and nearly the whole of what it is shown. So squares of several sizes are
laid over the picture, each size twice the last: a face that is small in one is large enough in another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.face_mesh.tracking import Region

SHARE = 0.25
"""Least height of a face, as a share of its tile, that the detector finds reliably (docs/performance.md)."""

SMALLEST = 0.75
"""Height of a face, as a share of the least that is looked for, below which it is none: at such sizes both models see
faces in leaves and ornaments."""

STRIDE = 0.75
"""Distance of neighbouring tiles, as a share of their side. The smallest face of a size lies whole in one of them."""

AROUND = 2.0
"""Side of the tile about a face that is looked for again, relative to its region: the face is then a third of it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """An upright square of a picture; what lies outside of the picture is black."""

    x: float
    """Left edge, px."""
    y: float
    """Upper edge, px."""
    size: float
    """Length of a side, px."""

    @classmethod
    def whole(cls, width: int, height: int) -> Tile:
        """The smallest square that contains a picture."""
        side = max(width, height)
        return cls((width - side) / 2, (height - side) / 2, side)

    @classmethod
    def around(cls, region: Region) -> Tile:
        """The tile in which to look for a face that is expected at `region`."""
        size = AROUND * region.size
        return cls(region.x - size / 2, region.y - size / 2, size)


def layout(width: int, height: int, min_face: float) -> list[list[Tile]]:
    """The tiles in which every face of at least `min_face` px is found, by size: the whole picture first."""
    tiles = [[Tile.whole(width, height)]]
    sizes = []
    size = min_face / SHARE
    while size < max(width, height):
        sizes.append(size)
        size *= 2
    tiles.extend(
        [Tile(x, y, size) for y in _starts(height, size) for x in _starts(width, size)] for size in reversed(sizes)
    )
    return tiles


def _starts(length: int, size: float) -> list[float]:
    """Edges of the tiles that cover a side of the picture, evenly spaced."""
    room = length - size
    if room <= 0:
        return [room / 2]
    steps = math.ceil(room / (STRIDE * size))
    return [room * i / steps for i in range(steps + 1)]
