from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.classifier.network import RIGHT_IRIS
from host_training.data.keypoints import take
from host_training.evaluation import slices
from tests.support.tables import table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table
    from host_training.evaluation.slices import Slice

FEATURES = Path(__file__).parents[3] / "model" / "fused" / "features.npz"


def rows_with(count: int = 12, *, missed: int = 0, distance: float = 20.0, **columns: NDArray) -> Table:
    """Rows with so many px between the irises, the last of them without a face; nothing else is known of them."""
    landmarks = np.zeros((count, 478, 3), np.float32)
    landmarks[:, RIGHT_IRIS, 0] = distance
    landmarks[count - missed :] = np.nan
    return table_of(landmarks, **columns)


def judged(
    table: Table, right: NDArray | None = None, frontality: NDArray | None = None
) -> dict[str, tuple[Slice, ...]]:
    right = np.ones(len(table), np.bool_) if right is None else right
    return slices.by_slice(table, right & table.found, np.arange(len(table)), frontality)


def names(parts: tuple[Slice, ...]) -> list[str]:
    return [part.name for part in parts]


def test_a_slice_counts_its_own_rows():
    brightness = np.array([0.1] * 4 + [0.5] * 8, np.float32)
    right = np.array([True, False, False, False] + [True] * 6 + [False] * 2)

    dark, medium = judged(rows_with(brightness=brightness), right)["brightness"]

    assert (dark.name, dark.rows, dark.found, dark.accuracy) == ("below 0.2", 4, 4, 0.25)
    assert (medium.name, medium.rows, medium.found, medium.accuracy) == ("0.4 to 0.6", 8, 8, 0.75)


def test_what_lies_on_a_border_stands_above_it():
    brightness = np.array([0.0, 0.199, 0.2, 0.4, 0.8, 1.0], np.float64)

    parts = judged(rows_with(6, brightness=brightness))["brightness"]

    assert {part.name: part.rows for part in parts} == {
        "below 0.2": 2,
        "0.2 to 0.4": 1,
        "0.4 to 0.6": 1,
        "0.8 and more": 2,
    }


def test_what_is_not_known_of_a_row_keeps_it_out():
    sharpness = np.array([np.nan] * 5 + [0.02] * 7, np.float32)

    (sharp,) = judged(rows_with(sharpness=sharpness))["sharpness"]

    assert (sharp.name, sharp.rows) == ("0.01 and more", 7)


def test_what_is_known_of_no_row_is_no_dimension():
    assert judged(rows_with()).keys() == {"size", "data_set"}
    assert judged(rows_with(missed=12)).keys() == {"data_set"}


@pytest.mark.parametrize(
    ("degrees", "name"),
    [(0, "frontal, up to 15°"), (14, "frontal, up to 15°"), (16, "15° to 30°"), (44, "30° to 45°"), (80, "over 45°")],
)
def test_pose_is_the_angle_from_the_line_of_sight(degrees: float, name: str):
    parts = judged(rows_with(), frontality=np.full(12, np.cos(np.radians(degrees))))

    assert names(parts["pose"]) == [name]


@pytest.mark.parametrize(
    ("distance", "name"), [(11.9, "below 12 px"), (12, "12 to 18 px"), (24, "24 to 48 px"), (200, "96 px and more")]
)
def test_size_is_the_distance_between_the_irises(distance: float, name: str):
    assert names(judged(rows_with(distance=distance))["size"]) == [name]


def test_a_missed_face_is_an_error_of_its_data_set_and_of_no_pose_or_size():
    parts = judged(rows_with(12, missed=3), frontality=np.ones(9))

    assert [(part.rows, part.found, part.accuracy) for part in parts["data_set"]] == [(12, 9, 0.75)]
    assert [(part.rows, part.found, part.accuracy) for part in parts["pose"]] == [(9, 9, 1)]
    assert [(part.rows, part.found, part.accuracy) for part in parts["size"]] == [(9, 9, 1)]


def test_each_data_set_is_a_slice():
    data_set = np.array(["jaffe"] * 4 + ["ckplus"] * 8)

    parts = judged(rows_with(data_set=data_set))["data_set"]

    assert [(part.name, part.rows) for part in parts] == [("ckplus", 8), ("jaffe", 4)]


def test_a_slice_of_few_rows_promises_nothing():
    brightness = np.array([0.1] * 9 + [0.5] * 40, np.float32)
    right = np.arange(49) % 4 > 0

    dark, medium = judged(rows_with(49, brightness=brightness), right)["brightness"]

    assert dark.interval == (0, 1)
    low, high = medium.interval
    assert 0.5 < low < medium.accuracy < high < 1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_slices_of_a_dimension_share_out_its_rows(rows: list[tuple[float, bool]]):
    brightness, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])

    parts = judged(rows_with(len(rows), brightness=brightness), right)["brightness"]

    assert sum(part.rows for part in parts) == len(rows)
    assert sum(part.accuracy * part.rows for part in parts) == pytest.approx(right.sum())
    assert all(part.interval[0] - 1e-9 <= part.accuracy <= part.interval[1] + 1e-9 for part in parts)


def test_slices_do_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(0)
    table = rows_with(60, brightness=rng.random(60))
    right, order = rng.random(60) < 0.7, rng.permutation(60)

    mixed = judged(take(table, order), right[order])["brightness"]

    straight = judged(table, right)["brightness"]
    assert [dataclasses.replace(part, interval=(0, 1)) for part in mixed] == [
        dataclasses.replace(part, interval=(0, 1)) for part in straight
    ]
