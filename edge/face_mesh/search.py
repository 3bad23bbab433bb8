"""Where to look for new faces next: a queue of tiles, and a budget of processor time.

Each tile is looked at again some time after the last look: soon if something in it has changed since, else within
`REST_S`. The tile that is most overdue comes first. The budget limits how many are looked at in a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.face_mesh import motion
from edge.face_mesh.tiles import Tile, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge.face_mesh.tracking import Region

CHANGED_S = 0.2
"""Time after which the whole picture is looked at again if something has changed in it. It doubles with each smaller
size of tiles, of which there are four times as many."""

CHANGED_MAX_S = 1.2
"""Maximum of that time: who walks in at the other end of a room is found within two seconds."""

REST_S = 8.0
"""Time after which a tile is looked at again in which nothing has changed."""

LATE = 2.0
"""Tiles in which something has changed are as urgent after so many times `CHANGED_MAX_S` as they get."""

FOLLOWING = 2.5
"""So many times longer are these times while a face is followed."""

ASIDE = 0.06
"""Every change is looked at twice, the second time in a tile that lies beside the first by so many times its size: what
the detector misses once it may see between other pixels."""

BURST_S = 0.25
"""Time for which the budget is saved up, s."""


class Search:
    """Decides which tiles the detector looks at, and keeps to the budget."""

    def __init__(self, share: float, min_face: float) -> None:
        """Nothing has been looked at.

        Args:
            share: processor time that may be spent, as a share of one core.
            min_face: least height of a face that is looked for, px.
        """
        self._share = share
        self._min_face = min_face
        self._credit_s = 0.0
        self._at: float | None = None
        self._shape: tuple[int, ...] = ()
        self._tiles: list[Tile] = []

    def _start(self, shape: tuple[int, ...], small: NDArray[np.uint8]) -> None:
        """Look at everything anew, because the pictures have another size."""
        self._shape = shape
        height, width = shape[:2]
        levels = layout(width, height, self._min_face)
        self._tiles = [tile for level in levels for tile in level]
        self._small = small
        self._last = np.full(len(self._tiles), -np.inf)
        self._changed = np.ones(len(self._tiles), bool)
        self._looked_once = np.zeros(len(self._tiles), bool)
        periods = [min(CHANGED_S * 2**i, CHANGED_MAX_S) for i in range(len(levels))]
        self._periods = np.repeat(periods, [len(level) for level in levels])
        # Where something has changed since the last look is known for each size of tiles.
        self._seen = [small.copy() for _ in levels]
        self._levels = np.repeat(range(len(levels)), [len(level) for level in levels])
        scale = max(small.shape) / max(width, height)
        self._scale = scale
        self._kernels = [np.ones((2 * round(level[0].size * scale / 2) + 1,) * 2, np.uint8) for level in levels]
        rows = [min(max(round((tile.y + tile.size / 2) * scale), 0), small.shape[0] - 1) for tile in self._tiles]
        columns = [min(max(round((tile.x + tile.size / 2) * scale), 0), small.shape[1] - 1) for tile in self._tiles]
        self._rows, self._columns = np.array(rows), np.array(columns)

    def step(self, small: NDArray[np.uint8], shape: tuple[int, ...], now: float, followed: Sequence[Region]) -> None:
        """Take in the next frame.

        Args:
            small: the small grey picture of the frame, see `motion.small`.
            shape: of the frame, px.
            now: when it was captured, s, monotonic.
            followed: where the faces are that need not be looked for.
        """
        if shape != self._shape:
            self._start(shape, small)
        elapsed = BURST_S if self._at is None else now - self._at
        self._at = now
        self._credit_s = min(self._credit_s + self._share * elapsed, self._share * BURST_S)
        limit = motion.threshold(self._small, small)
        self._small = small
        bodies = [self._body(region) for region in followed]
        changed = np.isinf(self._last)
        for level, (seen, kernel) in enumerate(zip(self._seen, self._kernels, strict=True)):
            for rows, columns in bodies:
                seen[rows, columns] = small[rows, columns]
            moved = np.asarray(cv2.absdiff(seen, small) > limit, np.uint8)
            here = self._levels == level
            changed[here] |= cv2.dilate(moved, kernel)[self._rows[here], self._columns[here]] > 0
        self._changed = changed
        times = np.where(changed, self._periods, REST_S)
        # Relative to its time, so that large tiles, where near faces are, come before many small ones. Nothing gets so
        # late that others have to wait for long.
        late = np.minimum(now - self._last, np.where(changed, LATE * CHANGED_MAX_S, np.inf))
        self._urgency = late / (FOLLOWING * times if followed else times)

    def tiles(self) -> Iterator[Tile]:
        """The tiles to look at in this frame, the most urgent first. Call `spend` after each."""
        assert self._at is not None  # noqa: S101  `step` comes first
        while self._credit_s > 0:
            number = int(np.argmax(self._urgency))
            if self._urgency[number] < 1:
                return
            tile = self._tiles[number]
            self._last[number] = self._at
            self._urgency[number] = 0
            second = self._looked_once[number]
            self._looked_once[number] = self._changed[number] and not second
            if not self._looked_once[number]:
                rows, columns = self._cells(tile.x, tile.y, tile.size)
                self._seen[self._levels[number]][rows, columns] = self._small[rows, columns]
            aside = ASIDE * tile.size if second else 0.0
            yield Tile(tile.x + aside, tile.y + aside, tile.size)

    def spend(self, seconds: float) -> None:
        """Take processor time, s, from the budget."""
        self._credit_s -= seconds

    def _body(self, region: Region) -> tuple[slice, slice]:
        """Cells of a face and the body below it: nobody is seen through them, so their motion is no reason to look."""
        rows, columns = self._cells(region.x - region.size, region.y - region.size / 2, 2 * region.size)
        return slice(rows.start, None), columns

    def _cells(self, left: float, top: float, size: float) -> tuple[slice, slice]:
        """Rows and columns of the small picture that a square, px, covers."""
        scale = self._scale
        return (
            slice(max(0, int(top * scale)), max(0, int(np.ceil((top + size) * scale)))),
            slice(max(0, int(left * scale)), max(0, int(np.ceil((left + size) * scale)))),
        )
