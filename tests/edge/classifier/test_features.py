"""The feature contract: feature vectors don't depend on the position and size of a face."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import bundle as bundles
from edge.classifier import features as features_module
from edge.classifier.crop import FaceCrop
from edge.classifier.features import RIGID_POINTS, Features, canonical
from edge.errors import ConfigError
from tests.support.released import FUSED_BUNDLE


@pytest.fixture(scope="module")
def features() -> Features:
    return Features.load(FUSED_BUNDLE / bundles.FEATURES)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Real faces, float32[N, 478, 3] px."""
    with np.load(FUSED_BUNDLE / bundles.GOLDEN) as golden:
        return golden["landmarks"]


def rotation_z(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-2000, 2000),
    y=st.floats(-2000, 2000),
    scale=st.floats(0.2, 8),
    angle=st.floats(-np.pi, np.pi),
)
def test_translation_scale_and_in_plane_rotation_change_nothing(features, faces, *, x, y, scale, angle):
    moved = faces.astype(np.float64) @ rotation_z(angle) * scale + [x, y, 0]
    aligned, _ = canonical(moved, features.rigid, features.reference)
    expected, _ = canonical(faces.astype(np.float64), features.rigid, features.reference)
    assert np.abs(aligned - expected).max() < 1e-4


def test_moved_pixels_in_float32_give_the_same_vector(features, faces):
    turned = faces @ rotation_z(0.7).astype(np.float32)
    moved = (turned * np.float32(3) + np.array([320, 240, 0], np.float32)).astype(np.float32)
    aligned, _ = canonical(moved, features.rigid, features.reference)
    expected, _ = canonical(faces, features.rigid, features.reference)
    assert np.abs(aligned - expected).max() < 1e-4


def test_a_turned_head_is_aligned_and_its_frontality_is_known(features, faces):
    upright, _ = canonical(faces, features.rigid, features.reference)
    angle = np.radians(30)
    yaw = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]], np.float32)
    aligned, pose = canonical(upright @ yaw, features.rigid, features.reference)
    assert np.allclose(aligned, upright, atol=1e-4)
    assert pose.frontality == pytest.approx(np.cos(angle), abs=1e-4)


def test_the_rotation_of_a_mirrored_face_is_proper(features, faces):
    _, pose = canonical(faces * np.array([-1, 1, 1], np.float32), features.rigid, features.reference)
    assert np.linalg.det(pose.rotation) == pytest.approx(1, abs=1e-4)


def test_rows_do_not_influence_each_other(features, faces):
    together, _ = features(faces)
    for i in range(len(faces)):
        alone, _ = features(faces[i : i + 1])
        assert np.allclose(together[i], alone[0], atol=1e-5)


def test_a_face_without_extent_is_finite(features):
    vectors, _ = features(np.zeros((1, 478, 3), np.float32))
    assert np.isfinite(vectors).all()


def test_computation_is_vectorised(features, faces):
    """A thousand rows execute as many lines of Python as one."""

    def lines(rows):
        count = 0

        def trace(frame, event, _):
            nonlocal count
            count += event == "line"
            return trace if frame.f_code.co_filename == features_module.__file__ else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            features(rows)
        finally:
            sys.settrace(before)
        return count

    assert lines(np.repeat(faces[:1], 1000, axis=0)) == lines(faces[:1]) > 5


def test_fit_recovers_the_reference_from_moved_copies_of_a_face(faces):
    generator = np.random.default_rng(1)
    copies = np.stack(
        [
            faces[0] @ rotation_z(generator.uniform(-1, 1)).astype(np.float32) * np.float32(generator.uniform(0.5, 2))
            + generator.uniform(-500, 500, 3).astype(np.float32)
            for _ in range(50)
        ]
    )
    fitted = Features.fit(copies, np.arange(478))
    aligned, pose = canonical(copies, fitted.rigid, fitted.reference)
    assert np.allclose(aligned[:, fitted.rigid], fitted.reference, atol=1e-3)
    assert pose.frontality == pytest.approx(1, abs=1e-3), "the average training face looks straight ahead"
    assert np.sqrt(np.square(fitted.reference).sum(axis=1).mean()) == pytest.approx(1, abs=1e-5)


def test_rigid_points_are_distinct():
    assert len(set(RIGID_POINTS)) == len(RIGID_POINTS)


def test_the_hash_is_the_same_after_saving_and_loading(features, tmp_path):
    features.save(tmp_path / "features.npz")
    assert Features.load(tmp_path / "features.npz").contract_hash == features.contract_hash


@pytest.mark.parametrize("field", ["points", "rigid", "reference", "mean", "scale"])
def test_every_part_of_the_contract_is_in_the_hash(features, field):
    parts = {name: getattr(features, name).copy() for name in ("points", "rigid", "reference", "mean", "scale")}
    parts[field].flat[0] += 1
    assert Features(**parts).contract_hash != features.contract_hash


def test_a_damaged_contract_is_reported(features, tmp_path):
    path = tmp_path / "features.npz"
    features.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="not a feature contract"):
        Features.load(path)


def test_arrays_of_wrong_shapes_are_rejected(features, tmp_path):
    path = tmp_path / "features.npz"
    Features(features.points[:-1], features.rigid, features.reference, features.mean, features.scale).save(path)
    with pytest.raises(ConfigError, match="do not fit"):
        Features.load(path)


@pytest.fixture(scope="module")
def with_crop(features) -> Features:
    return dataclasses.replace(features, crop=FaceCrop(48))


@pytest.fixture(scope="module")
def crop_only(faces) -> Features:
    return Features.fit(faces, np.array([], np.intp), FaceCrop(48))


def test_the_hash_without_a_crop_is_that_of_the_released_bundle(landmark_bundle):
    manifest = json.loads((landmark_bundle / bundles.MANIFEST).read_text())
    assert Features.load(landmark_bundle / bundles.FEATURES).contract_hash == manifest["feature_contract"]


def test_the_crop_is_in_the_hash(features, with_crop):
    without = dataclasses.replace(features, crop=None)
    larger = dataclasses.replace(features, crop=FaceCrop(64))
    assert len({each.contract_hash for each in (without, with_crop, larger)}) == 3


def test_inputs_have_a_fixed_order(with_crop, crop_only):
    assert with_crop.inputs == ("landmarks", "crop")
    assert dataclasses.replace(with_crop, crop=None).inputs == ("landmarks",)
    assert crop_only.inputs == ("crop",)


def test_without_points_the_pose_is_known(features, faces, crop_only):
    vectors, pose = crop_only(faces)
    assert vectors.shape == (len(faces), 0)
    assert crop_only.size == 0
    assert pose.frontality == pytest.approx(features(faces)[1].frontality, abs=0.2)


def test_the_crop_is_the_same_after_saving_and_loading(with_crop, crop_only, tmp_path):
    for each in (with_crop, crop_only, dataclasses.replace(with_crop, crop=None)):
        each.save(tmp_path / "features.npz")
        loaded = Features.load(tmp_path / "features.npz")
        assert (loaded.crop, loaded.contract_hash) == (each.crop, each.contract_hash)


@pytest.mark.parametrize("crop", [0, -48, 10_000, 48.0, "48", [48, 48], np.array([], np.int32)])
def test_an_invalid_crop_is_reported(with_crop, tmp_path, crop):
    path = tmp_path / "features.npz"
    with_crop.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "crop": crop})
    with pytest.raises(ConfigError, match="not a feature contract"):
        Features.load(path)


def test_a_contract_without_inputs_is_rejected(crop_only, tmp_path):
    dataclasses.replace(crop_only, crop=None).save(tmp_path / "features.npz")
    with pytest.raises(ConfigError, match="do not fit"):
        Features.load(tmp_path / "features.npz")


def test_a_contract_without_a_pose_is_rejected(features, tmp_path):
    none = {"rigid": np.array([], np.intp), "reference": np.zeros((0, 3), np.float32)}
    dataclasses.replace(features, **none).save(tmp_path / "features.npz")
    with pytest.raises(ConfigError, match="do not fit"):
        Features.load(tmp_path / "features.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reference_that_is_not_finite_is_rejected(features, tmp_path, value):
    dataclasses.replace(features, reference=features.reference * np.float32(value)).save(tmp_path / "features.npz")
    with pytest.raises(ConfigError, match="do not fit"):
        Features.load(tmp_path / "features.npz")


def test_the_average_neutral_face_is_part_of_the_contract(faces, tmp_path):
    features = Features.fit(faces, np.arange(478))
    neutral = features(faces)[0].mean(axis=0)
    with_neutral = dataclasses.replace(features, neutral=neutral)
    with_neutral.save(tmp_path / "features.npz")

    loaded = Features.load(tmp_path / "features.npz")

    np.testing.assert_array_equal(loaded.neutral, neutral)
    assert loaded.contract_hash == with_neutral.contract_hash != features.contract_hash


@pytest.mark.parametrize("neutral", [np.zeros(3, np.float32), np.full(478 * 3, np.nan, np.float32)])
def test_an_invalid_average_neutral_face_is_rejected(faces, tmp_path, neutral):
    features = Features.fit(faces, np.arange(478))
    dataclasses.replace(features, neutral=neutral).save(tmp_path / "features.npz")

    with pytest.raises(ConfigError, match="do not fit"):
        Features.load(tmp_path / "features.npz")
