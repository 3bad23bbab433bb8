"""The line drawing of a face: whole, small, upright, and nothing in it that a page could stumble over."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edge.preview.contours import BOLD_LINES, FINE_LINES, IRISES
from host_training.data.landmark_sets import MIRROR, REGIONS
from host_training.reporting.mesh_drawing import svg

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def faces():
    with np.load(GOLDEN) as golden:
        return golden["landmarks"]


def parsed(drawing):
    return ET.fromstring(drawing)  # noqa: S314 - our own text


def drawn_points(drawing):
    """float[K, 2] of the faint lines and float[L, 2] of the bold ones."""
    paths = [path.get("d") for path in parsed(drawing).iter(f"{SVG}path")]
    return [np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2) for path in paths]


def test_every_face_is_well_formed_small_and_inside_its_square(faces):
    for face in faces:
        drawing = svg(face, size=120)
        assert len(drawing) < 6000
        points = np.concatenate(drawn_points(drawing))
        assert points.min() >= 0
        assert points.max() <= 120
        assert np.ptp(points, axis=0).max() == pytest.approx(120, rel=0.1)


def test_it_is_upright_and_not_mirrored(faces):
    _, bold = drawn_points(svg(faces[0]))
    lips, brows = bold[: len(BOLD_LINES[0])], bold[-len(BOLD_LINES[-1]) :]
    assert brows[:, 1].max() < lips[:, 1].min()
    # Landmark 33 is the corner of the eye at the picture's left.
    eyes = np.cumsum([0, *map(len, BOLD_LINES)])
    assert bold[eyes[3]][0] < bold[eyes[2]][0]


def test_a_face_keeps_its_proportions(faces):
    fine, _ = drawn_points(svg(faces[0], size=400))
    width, height = np.ptp(fine, axis=0)
    true_width, true_height, _ = np.ptp(faces[0][np.concatenate(FINE_LINES)], axis=0)
    assert width / height == pytest.approx(true_width / true_height, rel=0.01)


def test_size_and_place_in_the_picture_do_not_show(faces):
    assert svg(faces[0] * 4 + 100) == svg(faces[0] * 2)


def test_the_lines_are_their_own_mirror_image_and_keep_to_their_regions():
    pairs = {frozenset(pair) for line in FINE_LINES + BOLD_LINES for pair in itertools.pairwise(line)}
    assert {frozenset(MIRROR[list(pair)].tolist()) for pair in pairs} == pairs
    named = set().union(*(REGIONS[name] for name in ("lips", "eyes", "brows")))
    assert {point for line in BOLD_LINES for point in line} == named
    assert {point for rim in IRISES for point in rim} < set(REGIONS["irises"])


def test_it_takes_the_colour_of_the_text_around_it(faces):
    root = parsed(svg(faces[0]))
    assert (root.get("stroke"), root.get("fill")) == ("currentColor", "none")


def test_a_title_is_read_out_and_cannot_break_the_page(faces):
    root = parsed(svg(faces[0], title='<script> & "me"'))
    assert root.find(f"{SVG}title").text == '<script> & "me"'
    assert root.get("role") == "img"


def test_without_a_title_a_screen_reader_passes_over_it(faces):
    root = parsed(svg(faces[0]))
    assert root.get("aria-hidden") == "true"
    assert root.find(f"{SVG}title") is None


def test_points_that_all_fall_together_draw_nothing_wrong():
    drawing = svg(np.ones((478, 3), np.float32))
    assert "nan" not in drawing
    assert "inf" not in drawing
