"""Lenses, and the sensor mode that shows everything."""

from __future__ import annotations

import math

import pytest

from edge.camera import optics


def mode(size, crop, fps, bit_depth=10):
    return {"size": size, "crop_limits": crop, "fps": fps, "bit_depth": bit_depth}


MODULE_2 = [
    # As `Picamera2.sensor_modes` lists them.
    mode((640, 480), (1000, 752, 1280, 960), 206.65, 8),
    mode((1640, 1232), (0, 0, 3280, 2464), 41.85, 8),
    mode((1920, 1080), (680, 692, 1920, 1080), 47.57, 8),
    mode((3280, 2464), (0, 0, 3280, 2464), 21.19, 8),
    mode((640, 480), (1000, 752, 1280, 960), 206.65),
    mode((1640, 1232), (0, 0, 3280, 2464), 41.85),
    mode((1920, 1080), (680, 692, 1920, 1080), 47.57),
    mode((3280, 2464), (0, 0, 3280, 2464), 21.19),
]
MODULE_1 = [
    mode((640, 480), (16, 0, 2560, 1920), 58.92),
    mode((1296, 972), (0, 0, 2592, 1944), 46.34),
    mode((1920, 1080), (348, 434, 1928, 1080), 32.81),
    mode((2592, 1944), (0, 0, 2592, 1944), 15.63),
]


@pytest.mark.parametrize(
    ("modes", "size", "fps", "chosen"),
    [
        (MODULE_2, (640, 480), 15.0, (1640, 1232)),
        (MODULE_2, (1640, 1232), 41.0, (1640, 1232)),
        (MODULE_2, (1920, 1080), 15.0, (3280, 2464)),
        (MODULE_2, (1920, 1080), 30.0, (1640, 1232)),
        (MODULE_2, (640, 480), 90.0, (1640, 1232)),
        (MODULE_1, (640, 480), 15.0, (1296, 972)),
        (MODULE_1, (1920, 1080), 15.0, (2592, 1944)),
    ],
)
def test_the_mode_sees_everything_then_is_fast_then_small(modes, size, fps, chosen):
    found = optics.full_view(modes, size, fps)
    assert (found["size"], found["bit_depth"]) == (chosen, 10)


def test_a_mode_that_lacks_some_rows_at_the_edge_sees_everything():
    modes = [mode((4608, 2592), (0, 0, 4608, 2592), 14.0), mode((2304, 1280), (0, 16, 4608, 2560), 56.0)]
    assert optics.full_view(modes, (640, 480), 30.0) is modes[1]


@pytest.mark.parametrize("modes", [[], [{"format": "NV12"}]])
def test_a_camera_without_raw_modes_has_no_choice(modes):
    assert optics.full_view(modes, (640, 480), 15.0) is None


@pytest.mark.parametrize(
    ("model", "degrees"),
    [("imx219", 62.2), ("imx708_noir", 66), ("imx708_wide_noir", 102), ("imx477", None), ("", None)],
)
def test_lenses_are_known_by_the_name_of_the_sensor(model, degrees):
    assert optics.lens(model) == degrees


def test_a_part_of_a_field_of_view():
    assert optics.part(90.0, 1.0) == pytest.approx(90.0)
    assert optics.part(90.0, 1 / math.sqrt(3)) == pytest.approx(60.0)
    # Raspberry Pi states 62.2 by 48.8 degrees for Camera Module 2, whose sensor is 3280 x 2464.
    assert optics.part(62.2, 2464 / 3280) == pytest.approx(48.8, abs=0.1)
