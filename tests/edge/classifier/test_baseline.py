"""The neutral baseline: what it subtracts from a feature vector, and how it is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import bundle as bundles
from edge.bundle.locate import Installation
from edge.classifier.baseline import SHARE, Baseline
from edge.daemon.shadow import Shadow
from edge.errors import ConfigError
from edge.settings import ModelSettings, Settings
from edge.values import LANDMARKS, Face, Frame
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = LANDMARK_BUNDLE
BUNDLE = bundles.load(FOLDER)
with np.load(FOLDER / bundles.GOLDEN) as golden:
    FACES = golden["landmarks"].astype(np.float32)
MEASURED = "2025-03-14T15:09:26.535Z"


def turned(faces: NDArray[np.float32], angles: tuple[float, float, float]) -> NDArray[np.float32]:
    """Faces, float32[N, 478, 3], rotated about the three axes by angles in rad."""
    for axis, angle in enumerate(angles):
        one, other = [i for i in range(3) if i != axis]
        turn = np.eye(3, dtype=np.float32)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        faces = (faces @ turn).astype(np.float32)
    return faces.astype(np.float32)


def test_the_released_bundles_support_a_baseline():
    assert BUNDLE.supports_baseline
    assert bundles.load(FUSED_BUNDLE).supports_baseline


def test_for_the_average_face_nothing_is_subtracted():
    ((vector,), _) = BUNDLE.features(FACES[:1])
    average = replace(BUNDLE.features, neutral=vector)
    vector = Baseline.of(FACES[:1], average).vector(average)
    assert vector is not None
    assert np.abs(vector).max() < 1e-4


def test_for_another_face_a_share_of_the_difference_is_subtracted():
    baseline = Baseline.of(FACES[:1], BUNDLE.features)
    ((vector,), _) = BUNDLE.features(FACES[:1])
    whole, share, nothing = (baseline.vector(BUNDLE.features, share) for share in (1.0, SHARE, 0.0))
    assert BUNDLE.features.neutral is not None
    np.testing.assert_allclose(whole, vector - BUNDLE.features.neutral, atol=1e-3)
    np.testing.assert_allclose(share, SHARE * whole, atol=1e-6)
    assert not nothing.any()
    np.testing.assert_array_equal(baseline.vector(BUNDLE.features), share)


def test_a_contract_without_the_average_face_supports_no_baseline():
    assert Baseline.of(FACES[:1], BUNDLE.features).vector(replace(BUNDLE.features, neutral=None)) is None


angles = st.floats(-0.5, 0.5)


@given(st.tuples(angles, angles, angles), st.floats(0.2, 5), st.tuples(*[st.floats(-2000, 2000)] * 3))
def test_position_size_and_rotation_of_the_head_do_not_matter(turn, size, place):
    before = Baseline.of(FACES[:3], BUNDLE.features).vector(BUNDLE.features)
    moved = turned(FACES[:3], turn) * np.float32(size) + np.array(place, np.float32)
    after = Baseline.of(moved.astype(np.float32), BUNDLE.features).vector(BUNDLE.features)
    np.testing.assert_allclose(after, before, atol=0.05)


def test_a_baseline_changes_readings_and_removing_it_restores_them():
    without = BUNDLE.classifier.probabilities(FACES)
    person = BUNDLE.with_baseline(Baseline.of(FACES[:1], BUNDLE.features))
    assert np.abs(person.classifier.probabilities(FACES) - without).max() > 0.05
    assert (person.id, person.labels) == (BUNDLE.id, BUNDLE.labels)
    np.testing.assert_array_equal(person.with_baseline(None).classifier.probabilities(FACES), without)


def test_a_shadow_uses_the_same_baseline():
    settings = replace(Settings(), model=ModelSettings(shadow=str(FOLDER)))
    in_use, baseline = bundles.load(FUSED_BUNDLE), Baseline.of(FACES[:1], BUNDLE.features)
    installation, frame = Installation.of(settings), Frame(np.zeros((0, 0, 3), np.uint8), 1.0, still=True)

    def shown(shadow: Shadow) -> dict[str, float]:
        shadow.step([Face(1, FACES[1], 1.0)], frame, 1.0)
        return shadow.shown()[0].probabilities

    without, initial, later = (
        Shadow(settings, installation, in_use),
        Shadow(settings, installation, in_use, baseline=baseline),
        Shadow(settings, installation, in_use),
    )
    later.set_baseline(baseline)
    assert shown(initial) == shown(later) != shown(without)


def test_a_baseline_is_loaded_as_it_was_dumped():
    baseline = Baseline.of(FACES, BUNDLE.features, MEASURED)
    again = Baseline.load(baseline.dump())
    np.testing.assert_array_equal(again.face, baseline.face)
    assert again.face.dtype == np.float32
    assert again.measured == MEASURED


def dumped(face: NDArray[np.float32]) -> bytes:
    return Baseline(face, MEASURED).dump()


WHOLE = dumped(FACES[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE.replace(b"face", b"farce"),
        dumped(FACES[0][:-1]),
        dumped(FACES[:2]),
        dumped(np.full((LANDMARKS, 3), np.nan, np.float32)),
        dumped(np.zeros((LANDMARKS, 3), np.float32)),
        dumped(FACES[0] * np.array([1, 1, 0], np.float32)),
        Baseline(FACES[0], "some day").dump(),
    ],
)
def test_damage_is_reported_in_one_line(data):
    with pytest.raises(ConfigError, match=r"the neutral face is damaged.*calibrate again") as error:
        Baseline.load(data)
    assert str(error.value).isprintable()
