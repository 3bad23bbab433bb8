from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.classifier.features import RIGID_POINTS, Features, canonical
from host_training.compare.measures import MEASURES, measured
from host_training.data.landmark_sets import mirrored

RIGID = np.array(RIGID_POINTS, np.intp)
NAMES = [measure.name for measure in MEASURES]


@pytest.fixture(scope="session")
def reference(faces):
    return Features.fit(np.concatenate([faces, mirrored(faces)]), RIGID).reference


@pytest.fixture(scope="session")
def measure(reference):
    """Measures of faces as they come from the mesh, by name."""

    def by_name(landmarks):
        aligned, _ = canonical(landmarks.astype(np.float32), RIGID, reference)
        return dict(zip(NAMES, measured(aligned).T, strict=True))

    return by_name


@given(
    place=st.tuples(*[st.floats(-500, 500)] * 3),
    scale=st.floats(0.3, 20),
    angle=st.floats(-np.pi, np.pi),
)
def test_measures_are_invariant_to_position_size_and_rotation(faces, measure, place, scale, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = faces.astype(np.float64) @ turn.T * scale + np.array(place)

    before, after = measure(faces), measure(moved)

    for name in NAMES:
        np.testing.assert_allclose(after[name], before[name], atol=2e-3, err_msg=name)


def test_a_mirror_swaps_left_and_right_and_turns_what_points_sideways(faces, measure):
    straight, reflected = measure(faces), measure(mirrored(faces))

    for each in MEASURES:
        other = re.sub("(left|right)$", lambda side: {"left": "right", "right": "left"}[side[0]], each.name)
        sign = -1 if each.kind == "sideways" else 1
        np.testing.assert_allclose(reflected[each.name], sign * straight[other], atol=1e-4, err_msg=each.name)


def test_sides_differ_in_real_faces(faces, measure):
    values = measure(faces)

    for name in NAMES:
        if name.endswith("_left"):
            assert np.abs(values[name] - values[name.replace("_left", "_right")]).max() > 1e-3, name


def test_every_measure_has_a_name_of_its_own_and_its_action_units():
    assert len(set(NAMES)) == len(NAMES) <= 50
    assert all(re.match(r"AU\d+\b", each.action_units) for each in MEASURES)


@pytest.mark.parametrize(
    ("points", "shift", "grows"),
    [
        ((17, 14, 152), (0, 0.1, 0), "mouth_opening jaw_drop mouth_roundness"),
        ((61,), (0, -0.1, 0), "lip_corner_height_right"),
        ((291,), (0, -0.1, 0), "lip_corner_height_left"),
        ((291,), (0.1, 0, 0), "mouth_width"),
        (
            (46, 52, 55, 70, 105, 107),
            (0, -0.1, 0),
            "brow_inner_height_right brow_middle_height_right brow_outer_height_right",
        ),
        ((285, 336), (0, -0.1, 0), "brow_slope_left"),
        ((158, 159, 160), (0, -0.05, 0), "eye_opening_right upper_lid_height_right"),
        ((380, 374, 373), (0, 0.05, 0), "eye_opening_left"),
        ((13, 14, 152), (0.1, 0, 0), "jaw_sideways mouth_sideways"),
        ((0, 17), (0, 0, -0.1), "upper_lip_depth lower_lip_depth"),
    ],
)
def test_each_measure_follows_its_muscle(faces, reference, points, shift, grows):
    aligned, _ = canonical(faces, RIGID, reference)
    moved = aligned.copy()
    moved[:, list(points)] += np.array(shift, np.float32)

    growth = dict(zip(NAMES, (measured(moved) - measured(aligned)).T, strict=True))

    for name in grows.split():
        assert (growth[name] > 0).all(), name


def test_lengths_are_in_inter_ocular_distances():
    face = np.random.default_rng(0).normal(0, 1, (1, 478, 3)).astype(np.float32)
    face[0, [33, 263]] = [[-2, 0, 0], [2, 0, 0]]
    face[0, [61, 291]] = [[-1, 3, 0], [1, 3, 0]]

    (mouth_width,) = measured(face)[:, NAMES.index("mouth_width")]

    assert mouth_width == pytest.approx(0.5)
