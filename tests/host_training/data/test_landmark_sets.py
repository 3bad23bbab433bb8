from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.features import canonical
from host_training.data.landmark_sets import MIRROR, REGIONS, mirrored, points_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = np.arange(478)


def misfit(face: NDArray[np.float32], other: NDArray[np.float32]):
    """How far each point of `other`, laid over `face`, is off, in root mean square radii."""
    centred = face - face.mean(axis=0)
    unit = centred / np.sqrt(np.square(centred).sum(axis=1).mean())
    aligned, _ = canonical(other[None], ALL, unit)
    return np.linalg.norm(aligned[0] - unit, axis=1)


@pytest.fixture
def average(faces: NDArray[np.float32]):
    """A nearly symmetrical face: the mean of the real ones."""
    first = faces[0] - faces[0].mean(axis=0)
    aligned, _ = canonical(faces, ALL, first)
    return aligned.mean(axis=0)


def test_a_mirror_image_of_a_mirror_image_is_the_face_itself(faces: NDArray[np.float32]):
    assert (MIRROR[MIRROR] == ALL).all()
    np.testing.assert_array_equal(mirrored(mirrored(faces)), faces)


def test_every_point_of_an_average_face_lies_where_its_partner_does_in_the_mirror(average: NDArray[np.float32]):
    assert misfit(average, mirrored(average[None])[0]).max() < 0.12


def test_the_fit_would_show_points_that_are_not_exchanged(average: NDArray[np.float32]):
    reflected_only = average * np.array([-1, 1, 1], np.float32)

    assert misfit(average, reflected_only).max() > 1


def test_no_other_partner_would_fit_better(average: NDArray[np.float32]):
    other = mirrored(average[None])[0]
    centred = average - average.mean(axis=0)
    aligned, _ = canonical(other[None], ALL, centred)
    nearest = np.linalg.norm(aligned[0][:, None] - centred[None], axis=2).argmin(axis=1)

    # Lips that touch lie so close that noise may swap upper and lower; nothing else may.
    assert (nearest == ALL).mean() > 0.95


@pytest.mark.parametrize(("left", "right"), [(33, 263), (61, 291), (468, 473), (234, 454), (70, 300)])
def test_eyes_mouth_irises_cheeks_and_brows_change_sides(left: int, right: int):
    assert MIRROR[left] == right


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_is_its_own_mirror_image(name: str):
    assert {int(MIRROR[point]) for point in REGIONS[name]} == set(REGIONS[name])


def test_points_of_overlapping_regions_come_once():
    points = points_of(("lips", "lips", "nose"))

    assert (np.diff(points) > 0).all()
    assert set(points.tolist()) == set(REGIONS["lips"]) | set(REGIONS["nose"])
