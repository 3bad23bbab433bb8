from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from host_training.data import shape_code
from host_training.data.shape_code import UNITS, ShapeCode, from_steps, to_steps

coordinates = st.floats(-2000, 2000, width=32)
faces_of_any_shape = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(7), st.just(3)), elements=coordinates)
steps_of_any_shape = hnp.arrays(
    np.int16, st.tuples(st.integers(0, 6), st.just(12)), elements=st.integers(-UNITS // 2, UNITS // 2)
)


def off(landmarks: np.ndarray, again: np.ndarray) -> np.ndarray:
    """The largest error of each face in steps, less what float32 itself can't tell at such coordinates."""
    side = np.ptp(landmarks, axis=1).max(axis=1)
    blur = 4 * np.spacing(np.abs(landmarks).max(axis=(1, 2)).astype(np.float32)) + np.float32(2e-6)
    return (np.abs(again - landmarks).max(axis=(1, 2)) - blur) / np.maximum(side, 1e-6) * UNITS


@given(faces_of_any_shape)
def test_a_face_keeps_its_place_to_half_a_step(faces: np.ndarray):
    again = from_steps(*to_steps(faces))

    assert again.shape == faces.shape
    assert again.dtype == np.float32
    assert (off(faces, again) <= 0.52).all()


def test_real_faces_do_too_at_every_size_and_place(faces: np.ndarray):
    for scale in (0.01, 1, 100):
        for shift in (0, 20, -20):
            moved = ((faces / np.ptp(faces, axis=1).max() + shift) * scale).astype(np.float32)
            assert (off(moved, from_steps(*to_steps(moved))) <= 0.52).all()


@settings(max_examples=300)
@given(
    hnp.arrays(np.float32, (3, 7, 3), elements=st.floats(0, 1, width=32)),
    st.floats(0.01, 4000),
    st.floats(-60, 60),
)
def test_a_face_that_was_read_back_is_put_on_the_same_grid(shape: np.ndarray, side: float, place: float):
    shape[:, 0], shape[:, 1] = 0, 1  # so that it is as large as said, and at most 60 times that far from the corner
    box, steps = to_steps(((shape + place) * side).astype(np.float32))

    again, same = to_steps(from_steps(box, steps))

    np.testing.assert_array_equal(again, box)
    np.testing.assert_array_equal(same, steps)


def test_points_that_all_lie_in_one_place_are_no_trouble():
    landmarks = np.full((2, 478, 3), 17.3, np.float32)

    with np.errstate(all="raise"):
        again = from_steps(*to_steps(landmarks))

    np.testing.assert_allclose(again, landmarks, atol=1e-5)


@given(steps_of_any_shape)
def test_coefficients_and_residual_give_back_the_very_same_steps(steps: np.ndarray):
    code = ShapeCode.fit(steps)

    np.testing.assert_array_equal(code.decode(*code.encode(steps)), steps)


@given(steps_of_any_shape, steps_of_any_shape)
def test_so_do_those_of_faces_that_the_model_was_not_made_from(known: np.ndarray, others: np.ndarray):
    code = ShapeCode.fit(known)

    np.testing.assert_array_equal(code.decode(*code.encode(others)), others)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_faces_make_a_model_too(faces: np.ndarray, count: int):
    _, steps = to_steps(faces[:count])
    code = ShapeCode.fit(steps)

    assert len(code.components) == max(1, count - 1)  # Parquet knows no lists of nothing
    np.testing.assert_array_equal(code.decode(*code.encode(steps)), steps)


def test_the_farthest_outlier_overflows_nothing():
    """A component along the outlier itself makes its coefficient as large as one can be: past int16."""
    corner = np.where(np.arange(478 * 3) % 2, UNITS // 2, -UNITS // 2).astype(np.int16)
    along = (corner / np.linalg.norm(corner)).astype(np.float16)
    code = ShapeCode((-corner).astype(np.int16), along[None])

    coefficients, residual = code.encode(corner[None])

    assert coefficients[0, 0] == np.iinfo(np.int16).max
    np.testing.assert_array_equal(code.decode(coefficients, residual)[0], corner)


def test_the_sums_are_exact_so_that_every_machine_reads_the_same(faces: np.ndarray):
    _, steps = to_steps(np.concatenate([faces, faces[:, ::-1]]))
    code = ShapeCode.fit(steps)
    coefficients, _ = code.encode(steps)

    decoded = code.decode(coefficients, np.zeros_like(steps))

    # A float16 is a whole number of 2^-24: these sums know no rounding.
    whole = np.ldexp(code.components.astype(np.float64), 24).astype(np.int64)
    sums = coefficients.astype(np.int64) @ whole
    np.testing.assert_array_equal(decoded, code.mean + np.rint(np.ldexp(sums.astype(np.float64), -24)))


def test_many_faces_are_coded_in_portions(faces: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    _, steps = to_steps(faces)
    code = ShapeCode.fit(steps)
    whole = code.encode(steps)

    monkeypatch.setattr(shape_code, "ROWS", 5)

    for one, other in zip(code.encode(steps), whole, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(code.decode(*whole), steps)


def test_a_model_of_like_faces_leaves_little_over(faces: np.ndarray):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(len(faces)), 300).astype(np.float32)
    _, scaled = to_steps(faces)
    steps = np.rint(weights @ scaled).astype(np.int16)

    _, residual = ShapeCode.fit(steps).encode(steps)

    assert np.abs(residual).max() <= 3
