"""Networks that read feature vectors, crops or both, with inputs in any order."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.bundle import bundle as bundles
from edge.classifier.network import Classifier, logits, network, quality
from edge.errors import ConfigError
from edge.interpreter import Model
from edge.values import Face
from tests.support.crop_bundles import DATA, FACE_CROP, LABELS

pytest_plugins = ["tests.support.crop_bundles"]

NETWORKS = ("landmarks_crop", "crop_landmarks", "crop", "crop_float")


@pytest.fixture(scope="module")
def load(crop_features):
    """Load and check a network by name."""
    return lambda name: network(DATA / f"{name}.tflite", crop_features(name), len(LABELS))


@pytest.fixture(scope="module")
def classifiers(load, crop_features) -> dict[str, Classifier]:
    return {name: Classifier(load(name), crop_features(name), 1.0) for name in NETWORKS}


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (20, 48, 48)).astype(np.uint8)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1, (20, 12)).astype(np.float32)


def test_the_order_of_inputs_in_a_file_does_not_matter(load, vectors, crops):
    one, other = load("landmarks_crop"), load("crop_landmarks")
    assert [each.shape for each in one.inputs] == [each.shape for each in other.inputs][::-1]
    assert np.array_equal(logits(one, vectors, crops), logits(other, vectors, crops))


def test_both_inputs_matter(load, vectors, crops):
    reference = logits(load("landmarks_crop"), vectors, crops)
    assert np.abs(reference - logits(load("landmarks_crop"), vectors[::-1], crops)).max() > 0.5
    assert np.abs(reference - logits(load("landmarks_crop"), vectors, 255 - crops)).max() > 0.5


def test_an_int8_network_is_within_two_steps_of_the_float_one(load, crops):
    smooth = np.array([cv2.GaussianBlur(crop, (0, 0), 3) for crop in crops])
    step = load("crop").output_quantisation[0]
    difference = np.abs(logits(load("crop"), None, smooth) - logits(load("crop_float"), None, smooth))
    assert difference.max() < 2 * step


def test_crops_are_normalised_around_the_mean(load):
    """The float network is linear without a bias, so its outputs reveal its inputs."""
    grey = np.stack([np.full((48, 48), value, np.uint8) for value in (128, 176, 80, 255)])
    middle, above, below, white = logits(load("crop_float"), None, grey)
    assert middle == pytest.approx(0, abs=1e-5)
    assert below == pytest.approx(-above, abs=1e-4)
    assert white == pytest.approx(above * 127 / 48, abs=1e-4)


def test_missing_crops_raise_value_error(load, vectors, crops):
    with pytest.raises(ValueError, match="nothing is given"):
        logits(load("landmarks_crop"), vectors)
    with pytest.raises(ValueError, match="shorter"):
        logits(load("landmarks_crop"), vectors, crops[:-1])


def test_without_faces_there_are_no_readings(load, vectors, crops, classifiers):
    assert logits(load("landmarks_crop"), vectors[:0], crops[:0]).shape == (0, len(LABELS))
    assert classifiers["crop"].read([], np.zeros((480, 640, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("file", "contract"), [("crop", "landmarks_crop"), ("landmarks_crop", "crop"), ("crop", "landmarks")]
)
def test_a_network_with_other_inputs_is_rejected(crop_features, file, contract):
    with pytest.raises(ConfigError, match="the bundle says"):
        network(DATA / f"{file}.tflite", crop_features(contract), len(LABELS))


def test_a_model_of_the_face_mesh_is_rejected(models, crop_features):
    assert [each.shape for each in Model(models.landmarker).inputs] == [(1, 256, 256, 3)]
    with pytest.raises(ConfigError, match="the bundle says"):
        network(models.landmarker, crop_features("crop"), len(LABELS))


@pytest.mark.parametrize("name", NETWORKS)
def test_read_takes_the_crops_from_the_picture(classifiers, portraits, name):
    for rgb, face in portraits:
        (reading,) = classifiers[name].read([face], rgb)
        (expected,) = classifiers[name].probabilities(face.landmarks[None], FACE_CROP(rgb, face.landmarks)[None])
        assert reading.probabilities == pytest.approx(expected, abs=1e-6)
        assert reading.track_id == face.track_id
        assert reading.quality > 0.7


def test_faces_of_one_picture_are_read_independently(classifiers, portraits):
    (one, first), (other, second) = portraits[0], portraits[2]
    both = np.hstack([one, other])
    shifted = Face(7, second.landmarks + np.array([640, 0, 0], np.float32), second.presence)
    readings = classifiers["landmarks_crop"].read([first, shifted], both)
    alone = [classifiers["landmarks_crop"].read([face], rgb)[0] for rgb, face in (portraits[0], portraits[2])]
    for reading, expected in zip(readings, alone, strict=True):
        assert reading.probabilities == pytest.approx(expected.probabilities, abs=0.03)


def test_blur_lowers_the_quality_only_with_crops(classifiers, portraits, landmark_bundle):
    rgb, face = portraits[0]
    smear = cv2.GaussianBlur(rgb, (0, 0), 25)
    (sharp,), (blurred,) = (classifiers["crop"].read([face], picture) for picture in (rgb, smear))
    assert blurred.quality < 0.25
    assert sharp.quality > 0.8
    by_landmarks = bundles.load(landmark_bundle).classifier
    assert by_landmarks.read([face], rgb)[0].quality == by_landmarks.read([face], smear)[0].quality > 0.8


def test_a_small_blurred_face_is_not_penalised_twice(portraits):
    small = portraits[0].face.landmarks * np.float32(0.1)
    assert quality(small, 1.0, sharp=0.6) == quality(small, 1.0) < 0.6
    assert quality(portraits[0].face.landmarks, 1.0, sharp=0.6) == 0.6


@pytest.mark.parametrize("name", NETWORKS)
@given(
    landmarks=arrays.arrays(
        np.float32, (478, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False), fill=st.just(0.0)
    )
)
def test_any_landmarks_give_a_finite_reading(classifiers, portraits, name, landmarks):
    (reading,) = classifiers[name].read([Face(1, landmarks, 1.0)], portraits[0].rgb)
    assert reading.probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert 0 <= reading.quality <= 1
    assert np.isfinite(reading.box).all()
