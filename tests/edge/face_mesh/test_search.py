"""The search looks where something changes, then everywhere, and keeps to its budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.face_mesh import motion
from edge.face_mesh.search import FOLLOWING, REST_S, Search
from edge.face_mesh.tiles import SHARE, Tile, layout
from edge.face_mesh.tracking import Region

FPS = 15
SIZE = (640, 480)
SHAPE = (480, 640, 3)
EMPTY = np.full(SHAPE, 90, np.uint8)


@settings(deadline=None, max_examples=100)
@given(st.integers(200, 2000), st.integers(200, 2000), st.integers(16, 200), st.data())
def test_every_face_lies_whole_in_a_tile_in_which_it_is_large_enough(width, height, least, data):
    face = data.draw(st.floats(least, max(least, min(width, height))))
    x, y = (data.draw(st.floats(0, max(0.0, side - face))) for side in (width, height))
    fitting = [
        tile
        for level in layout(width, height, least)
        for tile in level
        if tile.x <= x + 1e-6
        and tile.y <= y + 1e-6
        and x + face <= tile.x + tile.size + 1e-6
        and y + face <= tile.y + tile.size + 1e-6
    ]
    assert max(face / tile.size for tile in fitting) >= min(SHARE, face / max(width, height)) - 1e-6


class Camera:
    """A search that is shown pictures at 15 frames/s, each look of which costs the same."""

    def __init__(self, share: float = 0.1, cost_s: float = 0.002) -> None:
        self.search = Search(share, 20)
        self.cost_s = cost_s
        self.frame = 0

    def show(
        self, rgb: np.ndarray, *, seconds: float, followed: list[Region] | None = None
    ) -> list[tuple[float, Tile]]:
        """The tiles that were looked at, and when."""
        looks = []
        for _ in range(round(seconds * FPS)):
            now = self.frame / FPS
            self.search.step(motion.small(rgb), rgb.shape, now, followed or [])
            for tile in self.search.tiles():
                looks.append((now, tile))
                self.search.spend(self.cost_s)
            self.frame += 1
        return looks


@pytest.mark.parametrize("cost_s", [0.001, 0.004, 0.02])
def test_the_budget_is_kept(cost_s):
    looks = Camera(0.1, cost_s).show(EMPTY, seconds=60)
    assert len(looks) * cost_s <= 0.1 * 60 + 0.025 + cost_s


def test_everything_is_seen_at_all_sizes_within_some_seconds_though_nothing_moves():
    camera = Camera()
    camera.show(EMPTY, seconds=2 * REST_S)
    looks = camera.show(EMPTY, seconds=REST_S + 1)
    assert {tile for _, tile in looks} == {tile for level in layout(*SIZE, 20) for tile in level}


def test_a_quiet_room_is_looked_at_less_than_the_budget_allows():
    camera = Camera(share=1.0)
    camera.show(EMPTY, seconds=REST_S)
    tiles = sum(len(level) for level in layout(*SIZE, 20))
    assert len(camera.show(EMPTY, seconds=10 * REST_S)) == pytest.approx(10 * tiles, rel=0.1)


@pytest.mark.parametrize("place", [(40, 40), (300, 200), (600, 440)])
def test_where_something_changes_is_looked_at_first(place):
    camera = Camera()
    camera.show(EMPTY, seconds=20)
    changed = EMPTY.copy()
    x, y = place
    changed[y : y + 24, x : x + 20] = 200
    looks = camera.show(changed, seconds=0.5)
    first = [tile for _, tile in looks][:8]
    assert sum(tile.x <= x + 10 <= tile.x + tile.size and tile.y <= y + 12 <= tile.y + tile.size for tile in first) >= 4
    assert any(tile.size == 80 for tile in first)


def test_noise_is_no_change():
    rng = np.random.default_rng(0)
    camera = Camera(share=1.0)
    quiet = len(camera.show(EMPTY, seconds=2 * REST_S))
    noisy = Camera(share=1.0)
    looks = 0
    for _ in range(round(2 * REST_S * FPS)):
        rgb = np.clip(EMPTY + rng.normal(0, 6, SHAPE), 0, 255).astype(np.uint8)
        looks += len(noisy.show(rgb, seconds=1 / FPS))
    assert looks <= 1.2 * quiet


def test_a_face_that_is_followed_is_no_change_and_slows_the_search():
    camera = Camera(share=1.0)
    face = Region(300, 200, 150, 0)
    looks = 0
    for i in range(20 * FPS):
        rgb = EMPTY.copy()
        rgb[170:230, 270:330] = 90 + i % 2 * 100
        looks += len(camera.show(rgb, seconds=1 / FPS, followed=[face]))
    tiles = sum(len(level) for level in layout(*SIZE, 20))
    assert looks <= tiles * (1 + math.ceil(20 / (FOLLOWING * REST_S)))


def test_pictures_of_another_size_start_it_anew():
    camera = Camera()
    camera.show(EMPTY, seconds=5)
    looks = camera.show(np.full((720, 1280, 3), 90, np.uint8), seconds=1)
    assert looks[0][1] == Tile.whole(1280, 720)
